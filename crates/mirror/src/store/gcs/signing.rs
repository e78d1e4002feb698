use std::time::SystemTime;

use reqsign_core::{Context, ProvideCredential};
use reqsign_google::{
    Credential, DefaultCredentialProvider, EnvCredentialProvider, ExternalAccountConfig,
    ExternalAccountCredentialProvider, RequestSigner, ServiceAccountTokenCredentialProvider, StaticCredentialProvider,
    VmMetadataCredentialProvider, WellKnownCredentialProvider,
};
use serde_json::{Map, Value};

use crate::store::credentials::{Ends, GoogleFederation, KeptSigner, Origin, TokenService};
use crate::store::http::{Http, credential_context, encoded};
use crate::{GcsCredentials, GooglePool};

/// Enough for objects, and no more of the project.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

/// The variable that names a file with credentials.
const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// What the token of a ServiceAccount is, by RFC 8693.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The key of a service account and nothing else. Other kinds of credentials name files to read and addresses to send what is in
/// them to: whoever may write a Secret could so have what the operator's pod has. The error says what is wrong, not what is there.
fn service_account_key(json: &str) -> Result<String, String> {
    let found: Value = serde_json::from_str(json).map_err(|_| "the service account's key is not JSON".to_owned())?;
    if found["type"] != "service_account" {
        return Err("it is not a service account's key: that has \"type\": \"service_account\", and no other is taken"
            .to_owned());
    }
    let fields = ["type", "client_email", "private_key"].into_iter();
    let key: Map<_, _> = fields.filter_map(|name| Some((name.to_owned(), found.get(name)?.clone()))).collect();
    Ok(Value::Object(key).to_string())
}

impl Ends for Credential {
    fn end(&self) -> Option<SystemTime> {
        Some(self.token.as_ref()?.expires_at?.as_system_time())
    }
}

/// What signs; nothing for nobody. The error says why the credentials are none.
pub(super) fn signer(http: &Http, credentials: GcsCredentials) -> Result<Option<KeptSigner<Credential>>, String> {
    let (context, signer) = (credential_context(http), RequestSigner::new("storage").with_scope(SCOPE));
    Ok(Some(match credentials {
        GcsCredentials::Anonymous => return Ok(None),
        GcsCredentials::ServiceAccountKey(json) => {
            let key = service_account_key(&json)?;
            KeptSigner::new(context, Origin::Given, Tokens(StaticCredentialProvider::new(key)), signer)
        }
        // A file that is named has to do, as for Google's own libraries: what is wrong with it is said.
        GcsCredentials::Default if context.env_var(FILE).is_some_and(|path| !path.is_empty()) => {
            let file = Tokens(EnvCredentialProvider::new().with_scope(SCOPE));
            KeptSigner::new(context.with_http_send(TokenService::new(http)), Origin::Environment, file, signer)
        }
        GcsCredentials::Default => {
            let chain = DefaultCredentialProvider::builder()
                .well_known(WellKnownCredentialProvider::new().with_scope(SCOPE))
                .vm_metadata(VmMetadataCredentialProvider::new().with_scope(SCOPE));
            KeptSigner::new(context, Origin::Environment, Tokens(chain.build()), signer)
        }
        GcsCredentials::Federated(federation) => {
            let (context, kept) = (TokenService::context(http), federation.kept.clone());
            KeptSigner::new(context, Origin::Federation, Exchange(federation), signer).sharing(kept)
        }
    }))
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

/// Exchanges a new token each time, since one is good for minutes only.
#[derive(Debug)]
struct Exchange(GoogleFederation);

impl ProvideCredential for Exchange {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> reqsign_core::Result<Option<Credential>> {
        let GooglePool { audience, service_account, services } = &self.0.identity;
        let subject = TokenService::subject(&*self.0.tokens).await?;
        let mut config = ExternalAccountConfig::new(audience, JWT, format!("{}/v1/token", services.sts));
        if let Some(account) = service_account {
            config = config.with_service_account_impersonation_url(format!(
                "{}/v1/projects/-/serviceAccounts/{}:generateAccessToken",
                services.iam_credentials,
                encoded(account)
            ));
        }
        let exchange = ExternalAccountCredentialProvider::from_subject_token(config, subject).with_scope(SCOPE);
        exchange.provide_credential(context).await
    }
}

#[cfg(test)]
mod tests {
    use super::service_account_key;

    #[test]
    fn only_a_service_account_s_key_is_taken_and_only_what_it_needs() {
        let key = r#"{"type":"service_account","client_email":"e","private_key":"k","token_uri":"http://elsewhere"}"#;
        let taken = service_account_key(key).unwrap();
        assert!(taken.contains("\"private_key\":\"k\"") && !taken.contains("elsewhere"), "{taken}");
        let file = r#"{"type":"external_account","token_url":"http://x","credential_source":{"file":"/etc/passwd"}}"#;
        for wrong in ["hunter2", "{}", r#"{"type":"authorized_user","refresh_token":"hunter2"}"#, file] {
            let error = service_account_key(wrong).unwrap_err();
            assert!(error.contains("service account's key") && !error.contains("hunter2"), "{error}");
        }
    }
}
