//! Signature Version 4, with credentials that are kept until they end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use http::{HeaderValue, Request};
use tokio::sync::Mutex;

use crate::error::chain;
use crate::http::{Chunks, Failure};
use crate::{Checksum, StoreErrorKind};

/// How long before their end credentials are asked for anew: longer than any request may wait.
const RENEWED_BEFORE: Duration = Duration::from_mins(5);

/// Signs requests for one region.
#[derive(Clone)]
pub(super) struct Signer {
    region: Arc<str>,
    /// Nothing is signed for nobody.
    provider: Option<SharedCredentialsProvider>,
    known: Arc<Mutex<Option<Credentials>>>,
}

impl Signer {
    pub(super) fn new(region: &str, provider: Option<SharedCredentialsProvider>) -> Self {
        Self { region: region.into(), provider, known: Arc::default() }
    }

    /// Signs a request. Of its content the SHA-256 is signed where that is the checksum sent with it; else the content is not, but
    /// the header with its checksum is, against which the store checks it.
    pub(super) async fn sign(&self, request: &mut Request<Chunks>, content: Option<Checksum>) -> Result<(), Failure> {
        let Some(credentials) = self.credentials().await? else { return Ok(()) };
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
            .name("s3")
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

    /// Credentials that are good for some time; none for nobody. While new ones cannot be had, those that have not ended are.
    pub(super) async fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let Some(provider) = &self.provider else { return Ok(None) };
        let mut known = self.known.lock().await;
        let now = SystemTime::now();
        if let Some(credentials) = known.as_ref()
            && credentials.expiry().is_none_or(|end| end > now + RENEWED_BEFORE)
        {
            return Ok(Some(credentials.clone()));
        }
        match provider.provide_credentials().await {
            Ok(found) => Ok(Some(known.insert(found).clone())),
            Err(error) => match known.as_ref().filter(|known| known.expiry().is_some_and(|end| end > now)) {
                Some(known) => {
                    tracing::warn!(error = %chain(&error), "cannot renew the credentials yet");
                    Ok(Some(known.clone()))
                }
                None => Err(Failure::new(StoreErrorKind::MissingCredentials, chain(&error))),
            },
        }
    }
}
