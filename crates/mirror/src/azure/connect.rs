use reqsign_azure_storage::{Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
use reqsign_core::Signer;

use super::AzureStore;
use crate::http::{Http, check_endpoint, credential_context, unsigned};
use crate::{AzureCredentials, AzureLocation, ConnectOptions, Place, StoreError, StoreErrorKind};

impl AzureStore {
    /// Prepares to speak to a container. Only credentials of the environment are looked up now; the store is first asked by
    /// the first request.
    ///
    /// # Errors
    /// [`StoreErrorKind::MissingCredentials`] when the environment has none, [`StoreErrorKind::Rejected`] when the endpoint,
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
        let given = !matches!(credentials, AzureCredentials::Default);
        let signer = signer(&http, &location.account, credentials);
        let container = format!("{endpoint}/{}", location.container);
        let store = Self { http, signer, given, container, location, place, options: options.into() };
        if !given {
            store.find_credentials().await?;
        }
        Ok(store)
    }

    /// Signs a request that is not sent, so that credentials that are not there are missed now.
    async fn find_credentials(&self) -> Result<(), StoreError> {
        let failed = |kind, detail: String| self.place.error(kind, "use the container", detail);
        let request = http::Request::get(&self.container).body(());
        let request = request.map_err(|error| failed(StoreErrorKind::Rejected, error.to_string()))?;
        let Some(signer) = &self.signer else { return Ok(()) };
        let outcome = signer.sign(&mut request.into_parts().0, None).await;
        outcome.map_err(|error| unsigned(&error, self.given)).map_err(|failure| failed(failure.kind, failure.detail))
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

fn signer(http: &Http, account: &str, credentials: AzureCredentials) -> Option<Signer<Credential>> {
    let (context, signer) = (credential_context(http), RequestSigner::new());
    Some(match credentials {
        AzureCredentials::Anonymous => return None,
        AzureCredentials::AccountKey(key) => {
            Signer::new(context, StaticCredentialProvider::new_shared_key(account, key.trim()), signer)
        }
        AzureCredentials::SasToken(token) => {
            let token = token.trim().trim_start_matches('?');
            Signer::new(context, StaticCredentialProvider::new_sas_token(token), signer)
        }
        AzureCredentials::Default => {
            // Not those that run programs or read a person's files.
            let chain = DefaultCredentialProvider::builder().no_azure_cli().no_client_certificate();
            Signer::new(context, chain.build(), signer)
        }
    })
}
