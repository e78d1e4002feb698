use std::fmt;
use std::sync::Arc;

use super::{Kept, TokenSource};

/// A role of AWS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AwsRole {
    /// Its name: `arn:aws:iam::ACCOUNT:role/NAME`.
    pub arn: String,
    /// What AWS calls the session in its logs: 2 to 64 letters, digits and `=,.@-_`.
    pub session_name: String,
    /// The region whose token service is asked.
    pub region: String,
    /// The token service's URL; `None` is what the environment says, or AWS's own.
    pub endpoint: Option<String>,
}

/// An application (or a managed identity) of Microsoft Entra.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AzureApp {
    /// The tenant it is in.
    pub tenant_id: String,
    /// Its client ID.
    pub client_id: String,
    /// The token service's URL; `None` is what the environment says, or the public cloud's.
    pub authority: Option<String>,
}

/// A provider of a workload identity pool of Google.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GooglePool {
    /// Its name: `//iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`.
    pub audience: String,
    /// The service account to act as; `None` asks as the principal of the pool itself.
    pub service_account: Option<String>,
    /// The URLs of the two token services.
    pub services: GoogleTokenServices,
}

/// Where Google gives tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GoogleTokenServices {
    /// The Security Token Service.
    pub sts: String,
    /// The IAM Service Account Credentials API.
    pub iam_credentials: String,
}

impl Default for GoogleTokenServices {
    fn default() -> Self {
        Self {
            sts: "https://sts.googleapis.com".to_owned(),
            iam_credentials: "https://iamcredentials.googleapis.com".to_owned(),
        }
    }
}

/// Somebody who is acted as with tokens of somebody else, and the credentials that were given for them. Clones share those.
pub struct Federation<I, C> {
    pub(crate) identity: I,
    pub(crate) tokens: Arc<dyn TokenSource>,
    pub(crate) kept: Kept<C>,
}

/// A role that is assumed with tokens of somebody else (`AssumeRoleWithWebIdentity`).
pub type AwsFederation = Federation<AwsRole, aws_credential_types::Credentials>;
/// An application that is acted as with tokens of somebody else.
pub type AzureFederation = Federation<AzureApp, reqsign_azure_storage::Credential>;
/// What a workload identity pool gives for tokens of somebody else.
pub type GoogleFederation = Federation<GooglePool, reqsign_google::Credential>;

impl<I, C> Federation<I, C> {
    /// Whoever holds the tokens of `tokens` acts as this.
    #[must_use]
    pub fn new(identity: I, tokens: Arc<dyn TokenSource>) -> Self {
        Self { identity, tokens, kept: Kept::default() }
    }
}

impl<I: Clone, C> Clone for Federation<I, C> {
    fn clone(&self) -> Self {
        Self { identity: self.identity.clone(), tokens: self.tokens.clone(), kept: self.kept.clone() }
    }
}

/// Without the credentials.
impl<I: fmt::Debug, C> fmt::Debug for Federation<I, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Federation").field(&self.identity).finish()
    }
}
