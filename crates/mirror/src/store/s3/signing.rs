//! Signature Version 4, with credentials that are kept until they end.

use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use http::{HeaderValue, Request};

use super::role::RoleProvider;
use crate::store::credentials::{Fresh, Kept, Sign, Source, Version};
use crate::store::error::chain;
use crate::store::http::{Chunks, Failure};
use crate::{Checksum, StoreErrorKind};

/// Signs requests for one service in one region.
#[derive(Clone)]
pub(super) struct Signer {
    service: &'static str,
    region: Arc<str>,
    source: CredentialSource,
    kept: Kept<Credentials>,
}

/// Where credentials come from.
#[derive(Clone)]
pub(super) enum CredentialSource {
    /// A person.
    Given(Credentials),
    /// The environment.
    Chain(SharedCredentialsProvider),
    /// A role.
    Role(RoleProvider),
}

impl Source<Credentials> for CredentialSource {
    async fn fresh(&self) -> Result<Fresh<Credentials>, Failure> {
        let credentials = match self {
            Self::Given(credentials) => credentials.clone(),
            Self::Chain(provider) => {
                let missing = |error: CredentialsError| Failure::new(StoreErrorKind::MissingCredentials, chain(&error));
                provider.provide_credentials().await.map_err(missing)?
            }
            Self::Role(provider) => provider.assume().await?,
        };
        let end = credentials.expiry();
        Ok(Fresh { credentials, end })
    }
}

impl Sign for Signer {
    async fn signed(
        &self,
        mut request: Request<Chunks>,
        body: Option<Checksum>,
    ) -> Result<(Request<Chunks>, Option<Version>), Failure> {
        let (credentials, version) = self.kept.get(&self.source).await?;
        self.sign(&mut request, body, credentials)?;
        let is_given = matches!(self.source, CredentialSource::Given(_));
        Ok((request, (!is_given).then_some(version)))
    }

    async fn replace(&self, refused: Version) -> Result<(), Failure> {
        self.kept.replace(refused, &self.source).await
    }
}

impl Signer {
    pub(super) fn new(service: &'static str, region: &str, source: CredentialSource) -> Self {
        let kept = match &source {
            CredentialSource::Role(provider) => provider.federation.kept.clone(),
            CredentialSource::Given(_) | CredentialSource::Chain(_) => Kept::default(),
        };
        Self { service, region: region.into(), source, kept }
    }

    /// Looks for credentials, so that those that are not there are missed now.
    pub(super) async fn find(&self) -> Result<(), Failure> {
        self.kept.get(&self.source).await.map(drop)
    }

    /// Signs a request. Of its content the SHA-256 is signed where that is the checksum sent with it; else the content is not, but
    /// the header with its checksum is, against which the store checks it. A checksum that follows the content cannot be signed, and
    /// neither can one that the store is to tell.
    fn sign(
        &self,
        request: &mut Request<Chunks>,
        content: Option<Checksum>,
        credentials: Credentials,
    ) -> Result<(), Failure> {
        let identity = credentials.into();
        let rejected = |error: &dyn std::error::Error| Failure::new(StoreErrorKind::Rejected, chain(error));
        let mut settings = SigningSettings::default();
        // A key is no path: nothing in it is encoded twice or taken away.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| rejected(&error))?;
        let mut headers = Vec::with_capacity(request.headers().len());
        for (name, value) in request.headers() {
            let value = std::str::from_utf8(value.as_bytes()).map_err(|error| rejected(&error))?;
            headers.push((name.as_str(), value));
        }
        let body = match content {
            None if request.headers().contains_key("x-amz-trailer") => SignableBody::StreamingUnsignedPayloadTrailer,
            // One that comes without a checksum.
            None if has_content(request) => SignableBody::UnsignedPayload,
            None => SignableBody::empty(),
            Some(Checksum::Sha256(sha256)) => SignableBody::Precomputed(sha256.to_string()),
            Some(_) => SignableBody::UnsignedPayload,
        };
        let signable =
            SignableRequest::new(request.method().as_str(), request.uri().to_string(), headers.into_iter(), body);
        let signable = signable.map_err(|error| rejected(&error))?;
        let signed = sign(signable, &parameters.into()).map_err(|error| rejected(&error))?;
        signed.into_parts().0.apply_to_request_http1x(request);
        if let Some(authorization) = request.headers_mut().get_mut(http::header::AUTHORIZATION) {
            HeaderValue::set_sensitive(authorization, true);
        }
        Ok(())
    }
}

fn has_content(request: &Request<Chunks>) -> bool {
    request.headers().get(http::header::CONTENT_LENGTH).is_some_and(|length| length != "0")
}
