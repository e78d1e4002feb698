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

macro_rules! federation {
    ($(#[$doc:meta])* $name:ident, $identity:ident: $of:ty, $credentials:ty) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name {
            pub(crate) $identity: $of,
            pub(crate) tokens: Arc<dyn TokenSource>,
            pub(crate) kept: Kept<$credentials>,
        }

        impl $name {
            /// Whoever holds the tokens of `tokens` acts as this.
            #[must_use]
            pub fn new($identity: $of, tokens: Arc<dyn TokenSource>) -> Self {
                Self { $identity, tokens, kept: Kept::default() }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.$identity).finish()
            }
        }
    };
}

federation! {
    /// A role that is assumed with tokens of somebody else (AssumeRoleWithWebIdentity). Clones share the credentials.
    AwsFederation, role: AwsRole, aws_credential_types::Credentials
}
federation! {
    /// An application that is acted as with tokens of somebody else. Clones share the credentials.
    AzureFederation, app: AzureApp, reqsign_azure_storage::Credential
}
federation! {
    /// What a workload identity pool gives for tokens of somebody else. Clones share the credentials.
    GoogleFederation, pool: GooglePool, reqsign_google::Credential
}
