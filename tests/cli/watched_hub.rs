//! A stand-in for the hub's API server that is watched: it has ModelRoutes and ModelDeployments, says when they have changed, and has
//! nothing else.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

/// ModelRoutes and ModelDeployments.
type Objects = [Vec<Value>; 2];

pub(crate) struct WatchedHub {
    objects: watch::Sender<Objects>,
    kubeconfig: PathBuf,
    _folder: TempDir,
}

impl WatchedHub {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let (objects, watched) = watch::channel(Objects::default());
        let routes = Router::new().fallback(answer).with_state(watched);
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let content = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "hub",
            "clusters": [{"name": "hub", "cluster": {"server": server}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": "me"}}],
        });
        std::fs::write(&kubeconfig, content.to_string()).unwrap();
        Self { objects, kubeconfig, _folder: folder }
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Has these from now on, and no others.
    pub(crate) fn has(&self, routes: Vec<Value>, models: Vec<Value>) {
        self.objects.send_replace([routes, models]);
    }
}

async fn answer(State(mut watched): State<watch::Receiver<Objects>>, uri: Uri) -> Response {
    let Some((api, plural)) = uri.path().trim_start_matches("/apis/").rsplit_once('/') else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let place = ["modelroutes", "modeldeployments"].iter().position(|known| plural == *known);
    if !uri.query().unwrap_or_default().contains("watch=") {
        let items = place.map(|place| watched.borrow_and_update()[place].clone()).unwrap_or_default();
        let list = json!({"apiVersion": api, "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
        return axum::Json(list).into_response();
    }
    // What changes is never told by itself: the watch is too old then, and all is listed anew.
    watched.mark_unchanged();
    let changed = async move {
        let _ended = watched.changed().await;
        let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410});
        Ok::<_, Infallible>(json!({"type": "ERROR", "object": gone}).to_string() + "\n")
    };
    Body::from_stream(stream::once(changed)).into_response()
}
