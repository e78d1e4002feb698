use super::GcsStore;
use super::signing::signer;
use crate::store::http::{Failure, Http, check_endpoint};
use crate::{ConnectOptions, GcsCredentials, GcsLocation, Place, StoreError, StoreErrorKind};

const GOOGLE: &str = "https://storage.googleapis.com";

impl GcsStore {
    /// Prepares to speak to a bucket. Only credentials that nobody gave are looked up now; the store is first asked by the
    /// first request.
    ///
    /// # Errors
    /// [`StoreErrorKind::MissingCredentials`] when the environment has none, [`StoreErrorKind::IdentityRefused`] when a
    /// federation gives none, [`StoreErrorKind::Rejected`] when the endpoint or
    /// the bucket cannot be one.
    pub async fn connect(
        location: GcsLocation,
        credentials: GcsCredentials,
        options: ConnectOptions,
    ) -> Result<Self, StoreError> {
        let place = place_of(&location);
        let rejected = |detail| place.error(StoreErrorKind::Rejected, "use the bucket", detail);
        let endpoint = check(&location).map_err(rejected)?;
        let http = Http::new(options).map_err(rejected)?;
        let invalid = |detail| place.error(StoreErrorKind::MissingCredentials, "use the bucket", detail);
        let signer = signer(&http, credentials).map_err(invalid)?;
        if let Some(signer) = &signer {
            // So that credentials that are not there are missed now.
            let missing = |failure: Failure| place.error(failure.kind, "use the bucket", failure.detail);
            signer.find().await.map_err(missing)?;
        }
        Ok(Self { http, signer, endpoint, location, place, options: options.into() })
    }
}

fn place_of(location: &GcsLocation) -> Place {
    // An endpoint that has more than an address is refused; until then, it is not shown.
    let endpoint = location.endpoint.as_deref().and_then(|url| check_endpoint(url).ok());
    Place {
        endpoint: endpoint.unwrap_or_else(|| "Google Cloud Storage".to_owned()).into(),
        bucket: location.bucket.as_str().into(),
        prefix: location.prefix.as_str().into(),
    }
}

/// The endpoint, once everything that becomes a part of URLs is what it should be.
fn check(location: &GcsLocation) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if location.bucket.is_empty() || !location.bucket.bytes().all(is_plain) {
        return Err("a bucket's name has only letters, digits, hyphens, underscores and dots".to_owned());
    }
    check_endpoint(location.endpoint.as_deref().unwrap_or(GOOGLE))
}
