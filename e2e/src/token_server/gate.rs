use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, Response, StatusCode, Uri, header};
use axum::{Router, response::IntoResponse as _};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use reqsign_azure_storage::{Credential, RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Signer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Grants;
use crate::object_store::{AZURITE_ACCOUNT, AZURITE_KEY, ObjectStoreError};

/// Whose answers a gate gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage.
    Google,
}

/// Stands before a server of a cloud that knows no tokens, and lets nobody through whose token is not good. It ends when this is
/// dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    keeper: Arc<Keeper>,
    _server: JoinSet<()>,
}

type Script = Box<dyn Fn() + Send + Sync>;

struct Keeper {
    cloud: Cloud,
    upstream: String,
    grants: Grants,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Azurite wants its key.
    signer: Option<Signer<Credential>>,
    expired: AtomicUsize,
    script: Mutex<Option<Script>>,
}

impl Gate {
    /// Stands on a free port of the loopback interface before the server at `upstream`, such as `http://127.0.0.1:10000`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(cloud: Cloud, upstream: &str, grants: &Grants) -> Result<Self, ObjectStoreError> {
        let failed = |source| ObjectStoreError::System { action: "listen".to_owned(), source };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let key = || StaticCredentialProvider::new_shared_key(AZURITE_ACCOUNT, AZURITE_KEY);
        let keeper = Arc::new(Keeper {
            cloud,
            upstream: upstream.to_owned(),
            grants: grants.clone(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            signer: (cloud == Cloud::Azure).then(|| Signer::new(Context::new(), key(), RequestSigner::new())),
            expired: AtomicUsize::new(0),
            script: Mutex::default(),
        });
        let routes = Router::new().fallback(pass).with_state(keeper.clone());
        let mut server = JoinSet::new();
        server.spawn(async move {
            // It ends with the test.
            let _ended = axum::serve(listener, routes).await;
        });
        Ok(Self { address, keeper, _server: server })
    }

    /// The URL before which it stands.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does this before each request is looked at, from now on.
    pub fn script(&self, script: impl Fn() + Send + Sync + 'static) {
        *self.keeper.script() = Some(Box::new(script));
    }

    /// Requests with a token that had ended.
    #[must_use]
    pub fn expired(&self) -> usize {
        self.keeper.expired.load(Ordering::SeqCst)
    }
}

async fn pass(State(keeper): State<Arc<Keeper>>, request: Request<Body>) -> Response<Body> {
    if let Some(script) = &*keeper.script() {
        script();
    }
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !keeper.grants.is_good(token) {
        if keeper.grants.is_known(token) {
            keeper.expired.fetch_add(1, Ordering::SeqCst);
        }
        return keeper.refusal();
    }
    match keeper.forward(request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

impl Keeper {
    // What a panic left behind is still what it was.
    fn script(&self) -> MutexGuard<'_, Option<Script>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self) -> Response<Body> {
        match self.cloud {
            Cloud::Azure => (
                StatusCode::UNAUTHORIZED,
                [("x-ms-error-code", "InvalidAuthenticationInfo")],
                "<Error><Code>InvalidAuthenticationInfo</Code><Message>Lifetime validation failed.</Message></Error>",
            )
                .into_response(),
            Cloud::Google => (
                StatusCode::UNAUTHORIZED,
                r#"{"error":{"code":401,"message":"Invalid Credentials","errors":[{"reason":"authError"}]}}"#,
            )
                .into_response(),
        }
    }

    async fn forward(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
        let (mut head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await?;
        head.uri = format!("{}{}", self.upstream, head.uri).parse::<Uri>()?;
        head.headers.remove(header::AUTHORIZATION);
        head.headers.remove(header::HOST);
        if let Some(signer) = &self.signer {
            signer.sign(&mut head, None).await?;
        }
        let response = self.client.request(Request::from_parts(head, Full::new(body))).await?;
        Ok(response.map(Body::new))
    }
}
