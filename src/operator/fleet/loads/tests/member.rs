//! A member's API server as far as loads are concerned: lists of pods, and the proxy to each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::Event;
use kube::{Client, Config};
use serde_json::{Value, json};
use skyfleet_api::ModelDeployment;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::super::{Pace, Source};
use crate::operator::fleet::{Access, Report, Triggers};
use crate::operator::metrics::Metrics;

/// What a pod does when it is asked.
#[derive(Clone)]
pub(super) enum Answer {
    Body(String),
    /// The same after a moment.
    Slow(String),
    Status(u16),
    Hang,
    HangInBody,
    Endless,
}

#[derive(Default)]
struct Pods {
    /// By name: the ModelDeployment, whether it is ready, and what it answers.
    all: Mutex<BTreeMap<String, (String, bool, Answer)>>,
    asked: Mutex<BTreeSet<String>>,
    selector: Mutex<Option<String>>,
    lists: AtomicUsize,
    lists_refused: AtomicBool,
    now: AtomicUsize,
    at_once: AtomicUsize,
}

pub(super) struct FakeMember {
    pods: Arc<Pods>,
    pub(super) source: Arc<Source>,
    writer: Mutex<reflector::store::Writer<Deployment>>,
    report: watch::Sender<Report>,
    triggered: tokio::sync::Mutex<mpsc::Receiver<ObjectRef<DeserializeGuard<ModelDeployment>>>>,
    _server: AbortOnDropHandle<()>,
}

impl FakeMember {
    pub(super) async fn start() -> Self {
        let pods = Arc::new(Pods::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(answer).with_state(pods.clone());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let (deployments, writer) = reflector::store();
        let usable = Report { reachable: Some(true), access: Access::Granted, ..Report::default() };
        let (report, reports) = watch::channel(usable);
        let (clusters, _) = mpsc::channel(1);
        let (models, triggered) = mpsc::channel(1);
        let source = Source {
            member: "aws-1".to_owned(),
            client: Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap(),
            hub_id: "hub-1".to_owned(),
            deployments,
            report: reports,
            triggers: Triggers { clusters, models },
            metrics: Metrics::new(),
            pace: Pace { interval: Duration::from_millis(20), request: Duration::from_secs(1) },
        };
        Self {
            pods,
            source: Arc::new(source),
            writer: Mutex::new(writer),
            report,
            triggered: tokio::sync::Mutex::new(triggered),
            _server: AbortOnDropHandle::new(server),
        }
    }

    pub(super) fn another_source(&self) -> Source {
        let source = &*self.source;
        Source {
            member: source.member.clone(),
            client: source.client.clone(),
            hub_id: source.hub_id.clone(),
            deployments: source.deployments.clone(),
            report: source.report.clone(),
            triggers: source.triggers.clone(),
            metrics: source.metrics.clone(),
            pace: source.pace,
        }
    }

    pub(super) fn pod(&self, name: &str, answer: Answer) {
        self.pod_of("minilm", name, answer);
    }

    pub(super) fn pod_of(&self, model: &str, name: &str, answer: Answer) {
        self.pods.all.lock().unwrap().insert(name.to_owned(), (model.to_owned(), true, answer));
    }

    pub(super) fn unready_pod(&self, name: &str) {
        self.pods.all.lock().unwrap().insert(name.to_owned(), ("minilm".to_owned(), false, Answer::Hang));
    }

    /// What the watch has shown of a Deployment.
    pub(super) fn deployment(&self, name: &str, ready: i32) {
        let metadata = json!({"name": name, "namespace": "team-a"});
        let deployment = serde_json::from_value(json!({"metadata": metadata, "status": {"readyReplicas": ready}}));
        self.writer.lock().unwrap().apply_watcher_event(&Event::Apply(deployment.unwrap()));
    }

    pub(super) fn lose(&self) {
        self.report.send_replace(Report { reachable: Some(false), ..Report::default() });
    }

    pub(super) fn refuse_lists(&self) {
        self.pods.lists_refused.store(true, Ordering::SeqCst);
    }

    pub(super) fn lists(&self) -> usize {
        self.pods.lists.load(Ordering::SeqCst)
    }

    pub(super) fn selector(&self) -> Option<String> {
        self.pods.selector.lock().unwrap().clone()
    }

    pub(super) fn asked(&self) -> BTreeSet<String> {
        self.pods.asked.lock().unwrap().clone()
    }

    /// The most requests to pods that were under way at once.
    pub(super) fn at_once(&self) -> usize {
        self.pods.at_once.load(Ordering::SeqCst)
    }

    /// Waits until no request is under way.
    pub(super) async fn settle(&self) {
        super::until("requests end", || self.pods.now.load(Ordering::SeqCst) == 0).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    pub(super) async fn triggered(&self) -> ObjectRef<DeserializeGuard<ModelDeployment>> {
        let next = async { self.triggered.lock().await.recv().await };
        tokio::time::timeout(Duration::from_mins(1), next).await.expect("a trigger in time").expect("an open channel")
    }

    /// The metric of an outcome.
    pub(super) fn counted(&self, outcome: &str) -> u64 {
        let series = format!(r#"skyfleet_load_reports_total{{member_cluster="aws-1",outcome="{outcome}"}} "#);
        let text = self.source.metrics.encode().unwrap();
        text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |value| value.parse().unwrap())
    }
}

async fn answer(State(pods): State<Arc<Pods>>, RawQuery(query): RawQuery, request: Request) -> Response {
    let path = request.uri().path();
    let Some(rest) = path.strip_prefix("/api/v1/namespaces/team-a/pods") else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match rest.strip_prefix('/').map(|rest| rest.strip_suffix(":8080/proxy/metrics")) {
        None => pods.list(&query.unwrap_or_default()),
        Some(Some(pod)) => {
            let asked = UnderWay::new(pods.clone());
            let answer = pods.all.lock().unwrap()[pod].2.clone();
            pods.asked.lock().unwrap().insert(pod.to_owned());
            respond(answer, asked).await
        }
        Some(None) => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Pods {
    fn list(&self, query: &str) -> Response {
        if self.lists_refused.load(Ordering::SeqCst) {
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden"});
            return (StatusCode::FORBIDDEN, status.to_string()).into_response();
        }
        let parameters = url(query);
        let selector = parameters.get("labelSelector").cloned().unwrap_or_default();
        let model = selector.rsplit('=').next().unwrap_or_default();
        let all = self.all.lock().unwrap();
        let items: Vec<Value> =
            all.iter().filter(|(_, (of, ..))| of == model).map(|(name, (_, ready, _))| pod(name, *ready)).collect();
        self.selector.lock().unwrap().replace(selector.clone());
        self.lists.fetch_add(1, Ordering::SeqCst);
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}).to_string().into_response()
    }
}

fn pod(name: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({
        "metadata": {"name": name, "uid": format!("uid-of-{name}")},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
    })
}

fn url(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| text.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), decode(value)))
        .collect()
}

/// A request that is under way.
struct UnderWay(Arc<Pods>);

impl UnderWay {
    fn new(pods: Arc<Pods>) -> Self {
        let now = pods.now.fetch_add(1, Ordering::SeqCst) + 1;
        pods.at_once.fetch_max(now, Ordering::SeqCst);
        Self(pods)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn respond(answer: Answer, under_way: UnderWay) -> Response {
    let chunk = || Ok::<_, std::io::Error>("queued 1\n".repeat(10_000));
    match answer {
        Answer::Body(body) => body.into_response(),
        Answer::Slow(body) => {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(under_way);
            body.into_response()
        }
        Answer::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Answer::Hang => std::future::pending().await,
        Answer::HangInBody => {
            let first = futures::stream::once(async move { chunk() });
            Body::from_stream(first.chain(futures::stream::pending())).into_response()
        }
        Answer::Endless => Body::from_stream(futures::stream::repeat_with(chunk)).into_response(),
    }
}
