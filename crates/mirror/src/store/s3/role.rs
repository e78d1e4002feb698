//! A role of AWS that is assumed with the tokens of somebody else.

use std::time::SystemTime;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use aws_sdk_sts::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::store::credentials::{AwsFederation, TokenError};
use crate::store::error::chain;
use crate::store::http::Failure;
use crate::{AwsRole, StoreErrorKind};

/// Asks AWS's Security Token Service.
#[derive(Clone)]
pub(super) struct RoleProvider {
    pub(super) federation: AwsFederation,
    sts: Client,
}

impl RoleProvider {
    pub(super) async fn new(federation: AwsFederation) -> Self {
        let region = Region::new(federation.identity.region.clone());
        // The request is not signed: the token says who asks.
        let environment = aws_config::defaults(BehaviorVersion::latest()).no_credentials().region(region).load().await;
        let mut config = aws_sdk_sts::config::Builder::from(&environment);
        config.set_endpoint_url(
            federation.identity.endpoint.clone().or_else(|| environment.endpoint_url().map(str::to_owned)),
        );
        Self { federation, sts: Client::from_conf(config.build()) }
    }

    /// New credentials for a new token. Boxed: it is seldom asked for, and would be a large part of every request.
    pub(super) fn assume(&self) -> BoxFuture<'_, Result<Credentials, Failure>> {
        self.exchange().boxed()
    }

    async fn exchange(&self) -> Result<Credentials, Failure> {
        let AwsRole { arn, session_name, .. } = &self.federation.identity;
        let token = self.federation.tokens.token().await.map_err(|error| match &error {
            TokenError::Unavailable(said) => Failure::new(StoreErrorKind::IdentityUnavailable, said),
            TokenError::Refused(said) => Failure::new(StoreErrorKind::IdentityRefused, said),
        })?;
        let request = self.sts.assume_role_with_web_identity();
        let request = request.role_arn(arn).role_session_name(session_name).web_identity_token(token);
        let given = request.send().await.map_err(|error| refusal(arn, &error))?.credentials;
        let unusable = || Failure::new(StoreErrorKind::Protocol, "the token service gave no credentials");
        let given = given.ok_or_else(unusable)?;
        let end = SystemTime::try_from(given.expiration).map_err(|_| unusable())?;
        Ok(Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            Some(end),
            "skyfleet",
        ))
    }
}

fn refusal(role: &str, error: &SdkError<AssumeRoleWithWebIdentityError>) -> Failure {
    let said = match error.as_service_error().and_then(|error| Some((error.code()?, error.message()))) {
        Some((code, Some(message))) => format!("{code}: {message}"),
        Some((code, None)) => code.to_owned(),
        // Not what it shows in full: that has the answer, with whatever is in it.
        None => chain(error),
    };
    let kind = if passes(error) { StoreErrorKind::IdentityUnavailable } else { StoreErrorKind::IdentityRefused };
    Failure::new(kind, format!("AWS STS does not give the role {role:?}: {said}"))
}

/// Whether it helps to ask again.
fn passes(error: &SdkError<AssumeRoleWithWebIdentityError>) -> bool {
    match error {
        SdkError::ServiceError(failure) => {
            let status = failure.raw().status();
            let code = failure.err().code();
            status.is_server_error() || matches!(code, Some("IDPCommunicationError" | "Throttling"))
        }
        SdkError::ConstructionFailure(_) => false,
        _ => true,
    }
}
