use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::Request;
use reqsign_core::{Context, Error, ErrorKind, ProvideCredential, ProvideCredentialDyn, SignRequest, SignRequestDyn};

use super::{Fresh, Kept, Sign, Source, Version};
use crate::store::http::{Chunks, Failure};
use crate::{Checksum, StoreErrorKind};

/// Credentials that may say when they end.
pub(crate) trait Ends {
    fn end(&self) -> Option<SystemTime>;
}

/// Where credentials are from: what it means that there are none depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A person gave them.
    Given,
    /// The environment.
    Environment,
    /// An exchange of tokens.
    Federation,
}

/// Signs for Azure and Google, with credentials that are kept until they end.
#[derive(Clone)]
pub(crate) struct KeptSigner<C> {
    context: Context,
    provider: Arc<dyn ProvideCredentialDyn<Credential = C>>,
    signer: Arc<dyn SignRequestDyn<Credential = C>>,
    origin: Origin,
    kept: Kept<C>,
}

impl<C> fmt::Debug for KeptSigner<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptSigner").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl<C: Ends + Clone + Send + Sync + Unpin + 'static> KeptSigner<C> {
    pub(crate) fn new(
        context: Context,
        origin: Origin,
        provider: impl ProvideCredential<Credential = C>,
        signer: impl SignRequest<Credential = C>,
    ) -> Self {
        Self { context, provider: Arc::new(provider), signer: Arc::new(signer), origin, kept: Kept::default() }
    }

    /// With credentials that others keep too.
    pub(crate) fn sharing(mut self, kept: Kept<C>) -> Self {
        self.kept = kept;
        self
    }

    /// Looks for credentials that a person has not given, so that those that are not there are missed now.
    pub(crate) async fn find(&self) -> Result<(), Failure> {
        if self.origin == Origin::Given { Ok(()) } else { self.kept.get(self).await.map(drop) }
    }
}

impl<C: Ends + Send + Sync + Unpin + 'static> Source<C> for KeptSigner<C> {
    async fn fresh(&self) -> Result<Fresh<C>, Failure> {
        let found = self.provider.provide_credential_dyn(&self.context).await;
        let found = found.and_then(|found| found.ok_or_else(|| Error::credential_invalid("there are none")));
        let credentials = found.map_err(|error| failure(&error, self.origin))?;
        let end = credentials.end();
        Ok(Fresh { credentials, end })
    }
}

impl<C: Ends + Clone + Send + Sync + Unpin + 'static> Sign for KeptSigner<C> {
    async fn signed(
        &self,
        request: Request<Chunks>,
        _body: Option<Checksum>,
    ) -> Result<(Request<Chunks>, Option<Version>), Failure> {
        let (credentials, version) = self.kept.get(self).await?;
        let (mut head, body) = request.into_parts();
        let signed = self.signer.sign_request_dyn(&self.context, &mut head, Some(&credentials), None).await;
        signed.map_err(|error| failure(&error, self.origin))?;
        let renewable = credentials.end().is_some() || self.origin != Origin::Given;
        Ok((Request::from_parts(head, body), renewable.then_some(version)))
    }

    async fn replace(&self, refused: Version) -> Result<(), Failure> {
        self.kept.replace(refused, self).await
    }
}

/// What it means that there are no credentials, or that a request could not be signed with them.
fn failure(error: &Error, origin: Origin) -> Failure {
    let kind = match (error.kind(), origin) {
        (_, Origin::Federation) if error.is_retryable() => StoreErrorKind::IdentityUnavailable,
        _ if error.is_retryable() => StoreErrorKind::Unreachable,
        (ErrorKind::RateLimited, _) => StoreErrorKind::Throttled,
        (ErrorKind::RequestInvalid, _) => StoreErrorKind::Rejected,
        (_, Origin::Federation) => StoreErrorKind::IdentityRefused,
        (ErrorKind::PermissionDenied, _) | (_, Origin::Given) => StoreErrorKind::CredentialsRefused,
        (_, Origin::Environment) => StoreErrorKind::MissingCredentials,
    };
    // Without its causes: those may repeat what was given.
    Failure::new(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use reqsign_core::Error;

    use super::{Origin, failure};
    use crate::StoreErrorKind;

    #[test]
    fn what_a_missing_credential_means_depends_on_where_it_is_from() {
        let (lasting, passing) = (Error::credential_invalid("no"), Error::unexpected("no").set_retryable(true));
        for (origin, permanent, transient) in [
            (Origin::Given, StoreErrorKind::CredentialsRefused, StoreErrorKind::Unreachable),
            (Origin::Environment, StoreErrorKind::MissingCredentials, StoreErrorKind::Unreachable),
            (Origin::Federation, StoreErrorKind::IdentityRefused, StoreErrorKind::IdentityUnavailable),
        ] {
            assert_eq!(failure(&lasting, origin).kind, permanent, "{origin:?}");
            assert_eq!(failure(&passing, origin).kind, transient, "{origin:?}");
        }
    }
}
