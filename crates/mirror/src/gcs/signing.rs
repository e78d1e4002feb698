use reqsign_core::{Context, ProvideCredential, Signer};
use reqsign_google::{
    Credential, DefaultCredentialProvider, RequestSigner, ServiceAccountTokenCredentialProvider,
    StaticCredentialProvider,
};

use crate::GcsCredentials;
use crate::http::{Http, credential_context};

/// Enough for objects, and no more of the project.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

pub(super) fn signer(http: &Http, credentials: GcsCredentials) -> Option<Signer<Credential>> {
    let (context, signer) = (credential_context(http), RequestSigner::new("storage").with_scope(SCOPE));
    Some(match credentials {
        GcsCredentials::Anonymous => return None,
        GcsCredentials::ServiceAccountKey(json) => {
            Signer::new(context, Tokens(StaticCredentialProvider::new(json)), signer)
        }
        GcsCredentials::Default => Signer::new(context, Tokens(DefaultCredentialProvider::new()), signer),
    })
}

/// Gives a token for the key that a provider finds: the signer keeps a token, but would exchange a key for each request anew.
#[derive(Debug)]
struct Tokens<P>(P);

impl<P: ProvideCredential<Credential = Credential>> ProvideCredential for Tokens<P> {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> reqsign_core::Result<Option<Credential>> {
        let Some(found) = self.0.provide_credential(context).await? else { return Ok(None) };
        match found.service_account {
            Some(key) if found.token.is_none() => {
                let exchange = ServiceAccountTokenCredentialProvider::new(key).with_scope(SCOPE);
                exchange.provide_credential(context).await
            }
            _ => Ok(Some(found)),
        }
    }
}
