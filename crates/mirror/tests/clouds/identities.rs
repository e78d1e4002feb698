//! Tokens of Azure and Google that end, before servers that are told which are good.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use skyfleet_e2e::object_store::AZURITE_ACCOUNT;
use skyfleet_e2e::token_server::{self, ACCOUNT, AUDIENCE, CLIENT, Gate, TENANT, TokenServer};
use skyfleet_mirror::{
    AzureApp, AzureCredentials, AzureFederation, AzureLocation, GcsCredentials, GcsLocation, GoogleFederation,
    GooglePool, GoogleTokenServices, ObjectStore, StoreAccess, StoreError, StoreErrorKind, TokenError, TokenSource,
};

use crate::support::{Cloud, keys, put, quick};

const SUBJECT: &str = "subject-hunter2";

/// Says the same each time.
#[derive(Debug)]
struct Says(&'static str);

#[async_trait]
impl TokenSource for Says {
    async fn token(&self) -> Result<String, TokenError> {
        Ok(self.0.to_owned())
    }
}

/// A server, what stands before it, and who gives tokens.
struct Guarded {
    cloud: Cloud,
    gate: Gate,
    tokens: TokenServer,
}

impl Guarded {
    async fn new(cloud: Cloud) -> Self {
        let tokens = TokenServer::start(SUBJECT).await.unwrap();
        let kind = if cloud.is_azure() { token_server::Cloud::Azure } else { token_server::Cloud::Google };
        let endpoint = cloud.endpoint();
        let upstream = endpoint.trim_end_matches(&format!("/{AZURITE_ACCOUNT}"));
        let gate = Gate::start(kind, upstream, tokens.grants()).await.unwrap();
        cloud.bucket("models").await;
        Self { cloud, gate, tokens }
    }

    fn access(&self, says: &'static str, service_account: Option<&str>) -> StoreAccess {
        let (bucket, prefix, says) = ("models".to_owned(), String::new(), Arc::new(Says(says)));
        if self.cloud.is_azure() {
            let endpoint = Some(format!("{}/{AZURITE_ACCOUNT}", self.gate.endpoint()));
            let account = AZURITE_ACCOUNT.to_owned();
            let location = AzureLocation { endpoint, account, container: bucket, prefix };
            let (tenant_id, client_id) = (TENANT.to_owned(), CLIENT.to_owned());
            let app = AzureApp { tenant_id, client_id, authority: Some(self.tokens.endpoint()) };
            StoreAccess::Azure(location, AzureCredentials::Federated(AzureFederation::new(app, says)))
        } else {
            let location = GcsLocation { endpoint: Some(self.gate.endpoint()), bucket, prefix };
            let services = GoogleTokenServices { sts: self.tokens.endpoint(), iam_credentials: self.tokens.endpoint() };
            let (audience, service_account) = (AUDIENCE.to_owned(), service_account.map(str::to_owned));
            let pool = GooglePool { audience, service_account, services };
            StoreAccess::Gcs(location, GcsCredentials::Federated(GoogleFederation::new(pool, says)))
        }
    }

    async fn open(&self, says: &'static str) -> Result<Arc<dyn ObjectStore>, StoreError> {
        self.access(says, Some(ACCOUNT)).connect(quick()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_arrive_although_tokens_are_taken_back() {
    for cloud in [Cloud::azure().await, Cloud::google().await] {
        let guarded = Guarded::new(cloud).await;
        let store = guarded.open(SUBJECT).await.unwrap();
        let before = guarded.tokens.grants().given();
        for round in 0..4 {
            let names = (0..50).map(|number| format!("{round}-{number:02}"));
            futures::stream::iter(names)
                .for_each_concurrent(8, async |key| drop(put(&*store, &key, &Bytes::from_static(b"content")).await))
                .await;
            guarded.tokens.grants().revoke();
        }
        assert_eq!(keys(&*store, "").await.len(), 200);
        assert_eq!(guarded.tokens.refused(), 0);
        let (given, expired) = (guarded.tokens.grants().given(), guarded.gate.expired());
        // An exchange at Google is two.
        let rounds = (given - before) / if guarded.cloud.is_azure() { 1 } else { 2 };
        assert!(rounds == 4 && expired >= 4, "{rounds} rounds, {expired} refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_s_own_principal_needs_no_service_account() {
    let guarded = Guarded::new(Cloud::google().await).await;
    let store = guarded.access(SUBJECT, None).connect(quick()).await.unwrap();
    put(&*store, "key", &Bytes::from_static(b"content")).await;
    assert_eq!(guarded.tokens.grants().given(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_nobody_trusts_is_refused_with_what_was_said() {
    for (cloud, said) in [(Cloud::azure().await, "AADSTS70021"), (Cloud::google().await, "invalid_grant")] {
        let guarded = Guarded::new(cloud).await;
        let error = guarded.open("hunter2").await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::IdentityRefused, "{error}");
        assert!(error.detail.contains(said) && !format!("{error:?}").contains("hunter2"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_again_is_not_asked_for_without_end() {
    for cloud in [Cloud::azure().await, Cloud::google().await] {
        let guarded = Guarded::new(cloud).await;
        let elsewhere = TokenServer::start(SUBJECT).await.unwrap();
        let kind = if guarded.cloud.is_azure() { token_server::Cloud::Azure } else { token_server::Cloud::Google };
        // It knows none of the tokens that are given.
        let guarded =
            Guarded { gate: Gate::start(kind, "http://127.0.0.1:1", elsewhere.grants()).await.unwrap(), ..guarded };
        let store = guarded.open(SUBJECT).await.unwrap();
        let before = guarded.tokens.grants().given();
        let error = store.list_page("", None).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::CredentialsRefused, "{error}");
        assert!(guarded.tokens.grants().given() - before <= 2);
    }
}
