//! The identities that Buckets name: tokens of their ServiceAccounts, and what the clouds gave for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use skyfleet_api::BucketSpec;
use skyfleet_mirror::{AwsFederation, AzureFederation, GoogleFederation, TokenError, TokenSource};
use tokio::time::timeout;

use super::dereference::Identity;
use super::trust::{Trust, trust};
use super::validate::Refusal;
use crate::buckets::Federation;

/// The shortest life of a token that an API server gives: it is exchanged at once and never kept.
const TOKEN_SECONDS: i64 = 600;
/// For one call to the hub.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long credentials are kept that no Bucket was seen to use: a look at each is due every minute.
const UNUSED: Duration = Duration::from_mins(15);

/// What the operator may not do where the chart was not told to let it.
pub(super) const FORBIDDEN: &str = "the operator may not read ServiceAccounts and ask for their tokens: let the chart allow it, \
     with rbac.serviceAccountTokens.enabled=true";

/// A ServiceAccount and as whom it acts. One that was made anew under its name is another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    namespace: String,
    name: String,
    uid: Option<String>,
    trust: Trust,
}

/// All identities in use. Buckets with the same one share its credentials.
pub(crate) struct Identities {
    hub: Client,
    /// The operator's own identity in its cloud may be used for Buckets that name no ServiceAccount.
    pub(super) own: bool,
    known: Mutex<HashMap<Key, (Federation, Instant)>>,
}

impl Identities {
    pub(crate) fn new(hub: Client, own: bool) -> Self {
        Self { hub, own, known: Mutex::default() }
    }

    /// The identity of a ServiceAccount, with what the cloud has given for it already.
    pub(super) fn federation(&self, namespace: &str, account: &ServiceAccount, trust: Trust) -> Federation {
        let name = account.metadata.name.clone().unwrap_or_default();
        let key = Key { namespace: namespace.to_owned(), name, uid: account.metadata.uid.clone(), trust };
        // What a panic left behind is still what it was.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, used)| used.elapsed() < UNUSED);
        let hub = &self.hub;
        let (federation, used) =
            known.entry(key).or_insert_with_key(|key| (federation(hub.clone(), key), Instant::now()));
        *used = Instant::now();
        federation.clone()
    }
}

fn federation(hub: Client, key: &Key) -> Federation {
    let audience = key.trust.audience().to_owned();
    acting_as(key.trust.clone(), Arc::new(ServiceAccountTokens::new(hub, &key.namespace, &key.name, audience)))
}

/// Whoever has these tokens acts as what the cloud trusts.
fn acting_as(trust: Trust, tokens: Arc<dyn TokenSource>) -> Federation {
    match trust {
        Trust::Aws(role) => Federation::Aws(AwsFederation::new(role, tokens)),
        Trust::Azure(app) => Federation::Azure(AzureFederation::new(app, tokens)),
        Trust::Google(pool) => Federation::Google(GoogleFederation::new(pool, tokens)),
    }
}

/// A token of the ServiceAccount for the cloud of the Bucket, good for ten minutes: for a program that runs elsewhere.
///
/// # Errors
/// The annotations do not say which cloud trusts it, or the hub gives no token.
pub(crate) async fn token(hub: &Client, spec: &BucketSpec, account: &ServiceAccount) -> Result<String, String> {
    let trust = trust(spec, account).map_err(|refusal| refusal.message)?;
    let (namespace, name) = (account.namespace().unwrap_or_default(), account.name_any());
    let tokens = ServiceAccountTokens::new(hub.clone(), &namespace, &name, trust.audience().to_owned());
    tokens.token().await.map_err(|error| error.to_string())
}

/// Acts as the ServiceAccount with tokens that were handed over.
pub(crate) fn with_tokens(
    spec: &BucketSpec,
    account: ServiceAccount,
    tokens: Arc<dyn TokenSource>,
) -> Result<Identity, Refusal> {
    let federation = acting_as(trust(spec, &account)?, tokens);
    Ok(Identity::Federated { federation, account: Box::new(account), version: None })
}

/// Tokens of one ServiceAccount for one cloud, from the hub's API server.
struct ServiceAccountTokens {
    accounts: Api<ServiceAccount>,
    namespace: String,
    name: String,
    audience: String,
}

impl ServiceAccountTokens {
    fn new(hub: Client, namespace: &str, name: &str, audience: String) -> Self {
        let accounts = Api::namespaced(hub, namespace);
        Self { accounts, namespace: namespace.to_owned(), name: name.to_owned(), audience }
    }
}

impl std::fmt::Debug for ServiceAccountTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceAccountTokens({}/{} for {})", self.namespace, self.name, self.audience)
    }
}

#[async_trait]
impl TokenSource for ServiceAccountTokens {
    async fn token(&self) -> Result<String, TokenError> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![self.audience.clone()],
                expiration_seconds: Some(TOKEN_SECONDS),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let params = PostParams::default();
        let answer = timeout(CALL_LIMIT, self.accounts.create_token_request(&self.name, &params, &request)).await;
        let what = format!("the hub gives no token of the ServiceAccount {:?}", self.name);
        let given = match answer {
            Ok(given) => given.map_err(|error| failure(&what, &error))?,
            Err(_) => return Err(TokenError::Unavailable(format!("{what}: no answer within {CALL_LIMIT:?}"))),
        };
        let token = given.status.map(|status| status.token).filter(|token| !token.is_empty());
        token.ok_or_else(|| TokenError::Unavailable(format!("{what}: its answer has none")))
    }
}

fn failure(what: &str, error: &kube::Error) -> TokenError {
    match error {
        kube::Error::Api(status) if status.code == 403 => TokenError::Refused(format!("{what}: {FORBIDDEN}")),
        kube::Error::Api(status) if status.code == 404 => TokenError::Refused(format!("{what}: there is none")),
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
            TokenError::Refused(format!("{what}: {}", status.message))
        }
        // What it cannot read may be a token.
        kube::Error::SerdeError(_) => TokenError::Unavailable(format!("{what}: its answer cannot be read")),
        other => TokenError::Unavailable(format!("{what}: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use skyfleet_mirror::TokenError;

    use super::failure;

    #[test]
    fn what_a_person_must_change_is_told_from_what_passes() {
        let api =
            |code: u16| kube::Error::Api(Box::new(Status { code, message: "said".to_owned(), ..Status::default() }));
        for (code, says) in [(403, "rbac.serviceAccountTokens.enabled"), (404, "there is none"), (422, "said")] {
            let error = failure("w", &api(code));
            assert!(matches!(&error, TokenError::Refused(text) if text.contains(says)), "{code}: {error}");
        }
        for code in [429, 500, 503] {
            assert!(matches!(failure("w", &api(code)), TokenError::Unavailable(_)), "{code}");
        }
    }
}
