//! A stand-in for the API server of a cluster: it has one EndpointSlice, says when that changes, and has nothing else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body as Answer;
use futures::stream;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::service_fn;

/// What it does with requests.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// There are pods with these addresses.
    Has(&'static [&'static str]),
    /// Who asks has no right to.
    Forbids,
    /// Nothing reaches it, and what did breaks off.
    Gone,
}

#[derive(Clone)]
pub(super) struct ApiServer {
    state: Arc<watch::Sender<State>>,
    requests: Arc<AtomicUsize>,
}

impl ApiServer {
    pub(super) fn new(state: State) -> Self {
        Self { state: Arc::new(watch::Sender::new(state)), requests: Arc::default() }
    }

    pub(super) fn becomes(&self, state: State) {
        self.state.send_replace(state);
    }

    /// How often it was asked.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn client(&self) -> Arc<Client> {
        let server = self.clone();
        let service = service_fn(move |request| {
            let answer = server.answer(&request);
            async move { answer }
        });
        Arc::new(Client::new(service, "default"))
    }

    fn answer(&self, request: &Request<Body>) -> io::Result<Response<Answer>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.subscribe();
        let now = state.borrow_and_update().clone();
        let (status, body) = match now {
            State::Gone => return Err(broken()),
            State::Forbids => (403, Answer::from(forbidden().to_string())),
            State::Has(_) if request.uri().to_string().contains("watch=") => (200, changes(state)),
            State::Has(pods) => {
                let list = json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList",
                    "metadata": {"resourceVersion": "1"}, "items": [slice(pods)],
                });
                (200, Answer::from(list.to_string()))
            }
        };
        Ok(Response::builder().status(status).body(body).expect("an answer"))
    }
}

/// What a watch says.
fn changes(state: watch::Receiver<State>) -> Answer {
    Answer::from_stream(stream::unfold(state, async |mut state| {
        state.changed().await.ok()?;
        let now = state.borrow_and_update().clone();
        let event = match now {
            State::Has(pods) => Ok(json!({"type": "MODIFIED", "object": slice(pods)}).to_string() + "\n"),
            State::Forbids | State::Gone => Err(broken()),
        };
        Some((event, state))
    }))
}

fn slice(pods: &[&str]) -> Value {
    let endpoints: Vec<_> = pods.iter().map(|pod| json!({"addresses": [pod]})).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": endpoints,
        "metadata": {
            "name": "llama-1", "namespace": "ml", "resourceVersion": "1",
            "labels": {"kubernetes.io/service-name": "llama", "app.kubernetes.io/managed-by": "skyfleet"},
        },
        "ports": [{"name": "http", "port": 8080}],
    })
}

fn forbidden() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": 403, "reason": "Forbidden",
        "message": "endpointslices.discovery.k8s.io is forbidden",
    })
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
