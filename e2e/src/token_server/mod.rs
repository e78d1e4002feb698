//! The token services of the clouds, in one server: they give credentials that end after as long as a test says, for a token
//! that they trust.

mod answers;
mod gate;
mod grants;

pub use gate::{Cloud, Gate};
pub use grants::Grants;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::object_store::ObjectStoreError;
use answers::{google, oauth, sts};

/// The role of AWS that is given.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/models";
/// The tenant of Azure that is asked.
pub const TENANT: &str = "11111111-1111-1111-1111-111111111111";
/// The application of Azure that is acted as.
pub const CLIENT: &str = "22222222-2222-2222-2222-222222222222";
/// The provider of Google that is asked.
pub const AUDIENCE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/hub/providers/k8s";
/// The service account of Google that is acted as.
pub const ACCOUNT: &str = "models@lab.iam.gserviceaccount.com";

/// A server that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct TokenServer {
    address: SocketAddr,
    trust: Arc<Trust>,
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct Trust {
    /// The one token that is trusted.
    subject: String,
    grants: Grants,
    refused: AtomicUsize,
}

impl TokenServer {
    /// Runs a server on a free port of the loopback interface that trusts one token.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(subject: &str) -> Result<Self, ObjectStoreError> {
        let failed = |source| ObjectStoreError::System { action: "listen".to_owned(), source };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let trust =
            Arc::new(Trust { subject: subject.to_owned(), grants: Grants::default(), refused: AtomicUsize::new(0) });
        let routes = Router::new()
            .route("/", post(assume_role))
            .route("/{tenant}/oauth2/v2.0/token", post(entra))
            .route("/v1/token", post(exchange))
            .route("/v1/projects/-/serviceAccounts/{account}", post(impersonate))
            .with_state(trust.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            // It ends with the test.
            let _ended = axum::serve(listener, routes).await;
        });
        Ok(Self { address, trust, _server: server })
    }

    /// The URL of all services.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was given, and how long that is good.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.trust.grants
    }

    /// Requests that were refused.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.trust.refused.load(Ordering::SeqCst)
    }

    /// Credentials are good for `valid` from now on, and said to be for `said`.
    pub fn set_lifetime(&self, valid: Duration, said: Duration) {
        self.trust.grants.set_lifetime(valid, said);
    }
}

/// The fields of a form.
struct Form(Vec<(String, String)>);

impl Form {
    fn of(body: &str) -> Self {
        Self(form_urlencoded::parse(body.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The name of the first field that is not as it should be.
    fn wrong<'a>(&self, wanted: &[(&'a str, &str)]) -> Option<&'a str> {
        wanted.iter().find(|(name, value)| self.get(name) != *value).map(|(name, _)| *name)
    }
}

impl Trust {
    fn refuse(&self, answer: Response) -> Response {
        self.refused.fetch_add(1, Ordering::SeqCst);
        answer
    }
}

async fn assume_role(State(trust): State<Arc<Trust>>, headers: HeaderMap, body: String) -> Response {
    let form = Form::of(&body);
    let wanted = [("Action", "AssumeRoleWithWebIdentity"), ("Version", "2011-06-15"), ("RoleArn", ROLE)];
    if let Some(wrong) = form.wrong(&wanted) {
        return trust.refuse(sts::refusal("AccessDenied", &format!("{wrong} is another one")));
    }
    if headers.contains_key("authorization") || form.get("RoleSessionName").is_empty() {
        return trust.refuse(sts::refusal("ValidationError", "signed, or without a session's name"));
    }
    if form.get("WebIdentityToken") != trust.subject {
        return trust.refuse(sts::refusal("InvalidIdentityToken", "No OpenIDConnect provider found"));
    }
    sts::given(&trust.grants.give("ASIA"))
}

async fn entra(State(trust): State<Arc<Trust>>, Path(tenant): Path<String>, body: String) -> Response {
    let wanted = [
        ("grant_type", "client_credentials"),
        ("scope", "https://storage.azure.com/.default"),
        ("client_id", CLIENT),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &trust.subject),
    ];
    let wrong = if tenant == TENANT { Form::of(&body).wrong(&wanted) } else { Some("tenant") };
    match wrong {
        Some(wrong) => {
            let said = format!("AADSTS70021: no matching federated identity record: {wrong}.\r\nTrace ID: 1");
            trust.refuse(oauth::refusal("invalid_client", &said))
        }
        None => oauth::given(&trust.grants.give_for_azure(TENANT)),
    }
}

async fn exchange(State(trust): State<Arc<Trust>>, body: String) -> Response {
    let form = Form::of(&body);
    let wanted = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("audience", AUDIENCE),
        ("subject_token", &trust.subject),
    ];
    match form.wrong(&wanted) {
        Some(wrong) => trust.refuse(oauth::refusal("invalid_grant", wrong)),
        None if form.get("scope").is_empty() => trust.refuse(oauth::refusal("invalid_scope", "none")),
        None => oauth::given(&trust.grants.give("sts.")),
    }
}

async fn impersonate(
    State(trust): State<Arc<Trust>>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let is_known = bearer.is_some_and(|token| token.starts_with("sts.") && trust.grants.is_good(token));
    if !is_known || account != format!("{ACCOUNT}:generateAccessToken") || !body.contains("devstorage") {
        return trust
            .refuse(google::refusal(StatusCode::FORBIDDEN, "Permission 'iam.serviceAccounts.getAccessToken' denied"));
    }
    google::given(&trust.grants.give("ya29."))
}
