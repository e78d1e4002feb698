//! One question to one pod, or to the member for the pods there are. Both are bounded in time and size.

use axum::http::{Request, StatusCode, header};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::client::Body;
use skyfleet_api::labels;
use skyfleet_plan::load::{Reading, Report, Unreadable};
use skyfleet_plan::workload::pod_selector;

use super::{Key, Source};
use crate::operator::metrics::LoadReport;

/// The largest body that is read. A program with thousands of label sets stays below 1 MiB.
const LARGEST_BODY: usize = 4 << 20;
/// Prometheus' own format first: every program has it, and some write it better than the other.
const ACCEPT: &str = "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.9,*/*;q=0.1";

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer in time")]
    TimedOut,
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("the body is larger than {LARGEST_BODY} bytes")]
    TooLarge,
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
    #[error("{0}")]
    Request(#[from] kube::Error),
    #[error("the body broke off: {0}")]
    Body(axum::Error),
    #[error("the address is none: {0}")]
    Address(axum::http::Error),
}

impl Failure {
    pub(super) fn outcome(&self) -> LoadReport {
        match self {
            Self::TimedOut => LoadReport::TimedOut,
            Self::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => LoadReport::Denied,
            Self::Request(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => LoadReport::Denied,
            Self::TooLarge => LoadReport::TooLarge,
            Self::Unreadable(_) => LoadReport::Unreadable,
            Self::Status(_) | Self::Request(_) | Self::Body(_) | Self::Address(_) => LoadReport::Failed,
        }
    }
}

/// A pod that can be asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    /// First, so that the order of pods is one of chance: names would put one ReplicaSet's before another's.
    pub(super) uid: String,
    pub(super) name: String,
}

/// The ready pods of a ModelDeployment.
pub(super) async fn ready_pods(source: &Source, (namespace, name): &Key) -> Result<Vec<Asked>, Failure> {
    let (manager, hub) = (format!("{}={}", labels::MANAGED_BY, labels::MANAGER), labels::HUB);
    let selector = format!("{manager},{hub}={},{}", source.hub_id, pod_selector(name));
    let pods = Api::<Pod>::namespaced(source.client.clone(), namespace);
    // From the API server's memory: a pod that came or went this very second is seen the next time.
    let params = ListParams::default().labels(&selector).match_any();
    let list = within(source, async { Ok(pods.list(&params).await?) }).await?;
    Ok(list.items.into_iter().filter_map(asked).collect())
}

fn asked(pod: Pod) -> Option<Asked> {
    let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let serves = ready && pod.metadata.deletion_timestamp.is_none();
    serves.then_some(())?;
    Some(Asked { uid: pod.metadata.uid?, name: pod.metadata.name? })
}

/// What one pod reports.
pub(super) async fn report(source: &Source, namespace: &str, pod: &str, reading: &Reading) -> Result<Report, Failure> {
    let body = within(source, metrics(&source.client, namespace, pod, reading)).await?;
    Ok(Report::read(&body, reading)?)
}

async fn metrics(client: &Client, namespace: &str, pod: &str, reading: &Reading) -> Result<Vec<u8>, Failure> {
    let (port, path) = (reading.port(), reading.path());
    let address = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}");
    let request = Request::get(address).header(header::ACCEPT, ACCEPT).body(Body::empty()).map_err(Failure::Address)?;
    let response = client.send(request).await?;
    // A redirect is not followed: it could lead anywhere.
    if response.status() != StatusCode::OK {
        return Err(Failure::Status(response.status()));
    }
    let mut chunks = axum::body::Body::new(response.into_body()).into_data_stream();
    let mut body = Vec::new();
    while let Some(chunk) = chunks.try_next().await.map_err(Failure::Body)? {
        if body.len() + chunk.len() > LARGEST_BODY {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn within<T>(source: &Source, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(source.pace.request, answer).await.unwrap_or(Err(Failure::TimedOut))
}
