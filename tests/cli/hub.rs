//! A stand-in for the hub's API server: it answers what it was told to answer, and keeps what it was asked to change.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bare;

pub(crate) const MODEL: &str = "/apis/skyfleet.dev/v1alpha1/namespaces/default/modeldeployments/minilm";

#[derive(Default)]
struct Answers {
    objects: BTreeMap<String, (u16, String)>,
    /// Answers to changes, before they are taken.
    refusals: VecDeque<u16>,
    changes: Vec<(String, Value)>,
}

pub(crate) struct Hub {
    answers: Arc<Mutex<Answers>>,
    kubeconfig: PathBuf,
    _folder: TempDir,
}

impl Hub {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Mutex::new(Answers::default()));
        let routes = Router::new().fallback(answer).with_state(answers.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let content = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "hub",
            "clusters": [{"name": "hub", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "hub", "context": {"cluster": "hub", "user": "me"}}],
        });
        std::fs::write(&kubeconfig, content.to_string()).unwrap();
        Self { answers, kubeconfig, _folder: folder }
    }

    /// From now on this path answers so.
    pub(crate) fn answers(&self, path: &str, value: &Value) {
        self.says(path, 200, &value.to_string());
    }

    /// From now on this path answers with a text.
    pub(crate) fn says(&self, path: &str, status: u16, text: &str) {
        self.answers.lock().unwrap().objects.insert(path.to_owned(), (status, text.to_owned()));
    }

    /// The next change is refused.
    pub(crate) fn refuses_a_change(&self, status: u16) {
        self.answers.lock().unwrap().refusals.push_back(status);
    }

    /// What was changed: paths and merge patches.
    pub(crate) fn changes(&self) -> Vec<(String, Value)> {
        self.answers.lock().unwrap().changes.clone()
    }

    pub(crate) fn skyfleet(&self, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

async fn answer(State(answers): State<Arc<Mutex<Answers>>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut answers = answers.lock().unwrap();
    let path = uri.path().to_owned();
    if method == Method::PATCH {
        if let Some(status) = answers.refusals.pop_front() {
            return failure(status, "the object has been modified");
        }
        let patch: Value = serde_json::from_slice(&body).unwrap();
        answers.changes.push((path.clone(), patch));
    }
    match answers.objects.get(&path) {
        Some((status, text)) => {
            let status = StatusCode::from_u16(*status).unwrap();
            (status, [(CONTENT_TYPE, "application/json")], text.clone()).into_response()
        }
        None => failure(404, &format!("{path} not found")),
    }
}

fn failure(status: u16, message: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
        "reason": if status == 409 { "Conflict" } else { "NotFound" }, "code": status});
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
