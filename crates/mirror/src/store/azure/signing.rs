use std::time::SystemTime;

use reqsign_azure_storage::{
    Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider, WorkloadIdentityCredentialProvider,
};
use reqsign_core::{Context, ProvideCredential};

use crate::store::credentials::{AzureFederation, Ends, KeptSigner, Origin, TokenService};
use crate::store::http::{Http, credential_context};
use crate::{AzureApp, AzureCredentials};

impl Ends for Credential {
    fn end(&self) -> Option<SystemTime> {
        match self {
            Self::SharedKey { .. } => None,
            Self::SasToken { expires_at: end, .. } | Self::BearerToken { expires_in: end, .. } => {
                end.map(reqsign_core::time::Timestamp::as_system_time)
            }
        }
    }
}

/// What signs; nothing for nobody.
pub(super) fn signer(http: &Http, account: &str, credentials: AzureCredentials) -> Option<KeptSigner<Credential>> {
    let (context, signer) = (credential_context(http), RequestSigner::new());
    Some(match credentials {
        AzureCredentials::Anonymous => return None,
        AzureCredentials::AccountKey(key) => {
            let key = StaticCredentialProvider::new_shared_key(account, key.trim());
            KeptSigner::new(context, Origin::Given, key, signer)
        }
        AzureCredentials::SasToken(token) => {
            let token = token.trim().trim_start_matches('?');
            KeptSigner::new(context, Origin::Given, StaticCredentialProvider::new_sas_token(token), signer)
        }
        AzureCredentials::Default => {
            // Not those that run programs or read a person's files.
            let chain = DefaultCredentialProvider::builder().no_azure_cli().no_client_certificate();
            KeptSigner::new(context, Origin::Environment, chain.build(), signer)
        }
        AzureCredentials::Federated(federation) => {
            let (context, kept) = (TokenService::context(http), federation.kept.clone());
            KeptSigner::new(context, Origin::Federation, Exchange(federation), signer).sharing(kept)
        }
    })
}

/// Exchanges a new token each time, since one is good for minutes only.
#[derive(Debug)]
struct Exchange(AzureFederation);

impl ProvideCredential for Exchange {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> reqsign_core::Result<Option<Credential>> {
        let AzureApp { tenant_id, client_id, authority } = &self.0.identity;
        let subject = TokenService::subject(&*self.0.tokens).await?;
        let mut exchange = WorkloadIdentityCredentialProvider::new()
            .with_tenant_id(tenant_id)
            .with_client_id(client_id)
            .with_subject_token(subject);
        if let Some(authority) = authority {
            exchange = exchange.with_authority_host(authority);
        }
        exchange.provide_credential(context).await
    }
}
