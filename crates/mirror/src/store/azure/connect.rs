use super::AzureStore;
use super::signing::signer;
use super::tagging::RULES;
use crate::store::http::{Failure, Http, check_endpoint};
use crate::store::tag_support::TagSupport;
use crate::{AzureCredentials, AzureLocation, ConnectOptions, Place, StoreError, StoreErrorKind};

impl AzureStore {
    /// Prepares to speak to a container. Only credentials that nobody gave are looked up now; the store is first asked by the
    /// first request.
    ///
    /// # Errors
    /// [`StoreErrorKind::MissingCredentials`] when the environment has none, [`StoreErrorKind::IdentityRefused`] when a
    /// federation gives none, [`StoreErrorKind::Rejected`] when the endpoint,
    /// the account or the container cannot be one.
    pub async fn connect(
        location: AzureLocation,
        credentials: AzureCredentials,
        options: ConnectOptions,
    ) -> Result<Self, StoreError> {
        let place = place_of(&location);
        let rejected = |detail| place.error(StoreErrorKind::Rejected, "use the container", detail);
        let endpoint = check(&location).map_err(rejected)?;
        let http = Http::new(options).map_err(rejected)?;
        let signer = signer(&http, &location.account, credentials);
        let container = format!("{endpoint}/{}", location.container);
        if let Some(signer) = &signer {
            // So that credentials that are not there are missed now.
            let missing = |failure: Failure| place.error(failure.kind, "use the container", failure.detail);
            signer.find().await.map_err(missing)?;
        }
        let options = options.into();
        Ok(Self { http, signer, container, location, place, options, tag_support: TagSupport::new(RULES) })
    }
}

fn endpoint_of(location: &AzureLocation) -> String {
    let azure = || format!("https://{}.blob.core.windows.net", location.account);
    location.endpoint.clone().unwrap_or_else(azure)
}

fn place_of(location: &AzureLocation) -> Place {
    // An endpoint that has more than an address is refused; until then, it is not shown.
    let endpoint = check_endpoint(&endpoint_of(location)).unwrap_or_else(|_| "Azure Blob Storage".to_owned());
    Place {
        endpoint: endpoint.into(),
        bucket: location.container.as_str().into(),
        prefix: location.prefix.as_str().into(),
    }
}

/// The endpoint, once everything that becomes a part of URLs is what it should be.
fn check(location: &AzureLocation) -> Result<String, String> {
    let named = |name: &str, more: &[u8]| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    if !named(&location.account, b"-") {
        return Err("a storage account's name has only letters and digits".to_owned());
    }
    // With a dollar sign: `$root`, `$web`.
    if !named(&location.container, b"-$_") {
        return Err("a container's name has only letters, digits and hyphens".to_owned());
    }
    check_endpoint(&endpoint_of(location))
}
