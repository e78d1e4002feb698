//! Tells the hub now and then how requests go, in a ConfigMap of this gateway's own. The operator shows it in the statuses of ModelRoutes,
//! and places replicas by it where they do not tell their load themselves.

mod content;
mod due;
mod name;
mod sampler;

pub(crate) use content::{Content, Figures, LABEL, LABEL_VALUE, VERSION};
pub(super) use name::{BadName, name};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use skyfleet_gateway::Gateway;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use due::{Told, is_due, is_urgent};
use sampler::Sampler;

/// Between two looks at the gateway.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// The shortest time between two reports.
const REPORT_EVERY: Duration = Duration::from_secs(15);
/// For the hub to take one, or to delete it.
const HUB_LIMIT: Duration = Duration::from_secs(5);
/// Whose fields these are on the hub.
const FIELD_MANAGER: &str = "skyfleet-gateway";

/// The reports of this process.
pub(super) struct Reporting {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Reporting {
    /// Begins. The hub may be away as long as it likes: it is told when it is back.
    pub(super) fn start(hub: Client, namespace: &str, name: String, gateway: Arc<Gateway>) -> Self {
        let api = Api::namespaced(hub, namespace);
        let stop = CancellationToken::new();
        let reporter = Reporter { api, name, last: None, failed: false };
        Self { task: tokio::spawn(reporter.run(gateway, stop.clone())), stop }
    }

    /// Ends, and takes the report back: what is not so any more is not to be believed until it is too old.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the task that tells the hub of requests has failed");
        }
    }
}

struct Reporter {
    api: Api<ConfigMap>,
    name: String,
    last: Option<Last>,
    failed: bool,
}

/// What was written last.
struct Last {
    content: Content,
    written: Instant,
    version: Option<String>,
}

impl Reporter {
    async fn run(mut self, gateway: Arc<Gateway>, stop: CancellationToken) {
        let (mut sampler, mut since, mut is_first) = (Sampler::default(), Instant::now(), true);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            sampler.look(&gateway.status());
            let is_urgent = is_urgent(self.told().as_ref(), sampler.requested());
            if !std::mem::take(&mut is_first) && !is_urgent && since.elapsed() < REPORT_EVERY {
                continue;
            }
            let figures = sampler.figures(since.elapsed());
            let content = Content::new(Timestamp::now(), figures, sampler.take_requested());
            since = Instant::now();
            if is_urgent || is_due(self.told().as_ref(), &content.models) {
                // To its end even if it is to stop: what may have been written could not be taken back.
                Box::pin(self.write(content)).await;
            }
        }
        self.take_back().await;
    }

    fn told(&self) -> Option<Told<'_>> {
        let last = self.last.as_ref()?;
        let Content { models, requested, .. } = &last.content;
        Some(Told { models, requested, age: last.written.elapsed() })
    }

    async fn write(&mut self, content: Content) {
        let left_out = content.left_out;
        match self.apply(&content).await {
            Ok(written) => {
                if std::mem::take(&mut self.failed) {
                    tracing::info!("the hub is told of requests again");
                }
                if left_out > 0 {
                    tracing::debug!(left_out, "more is to be told than fits: the busiest are told");
                }
                self.last = Some(Last { content, written: Instant::now(), version: written.resource_version() });
            }
            // It is tried again with the next figures, and said once.
            Err(error) if !std::mem::replace(&mut self.failed, true) => {
                tracing::warn!(
                    report = self.name, %error,
                    "the hub takes no report of requests: statuses and placement go without. May this gateway create and \
                     patch ConfigMaps in the namespace of --report-namespace?"
                );
            }
            Err(error) => tracing::debug!(report = self.name, %error, "the hub takes no report of requests"),
        }
    }

    async fn apply(&self, content: &Content) -> Result<ConfigMap, ReportError> {
        let text = serde_json::to_string(content)?;
        let labels = [(LABEL, LABEL_VALUE), ("app.kubernetes.io/managed-by", FIELD_MANAGER)];
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(VERSION.to_owned(), text)])),
            ..ConfigMap::default()
        };
        // By force: an earlier process of this name may have written it.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        within(self.api.patch(&self.name, &params, &Patch::Apply(&object))).await
    }

    /// Deletes the report, unless another process of this name has written it since.
    async fn take_back(self) {
        let Some(version) = self.last.and_then(|last| last.version) else { return };
        let preconditions = Preconditions { resource_version: Some(version), ..Preconditions::default() };
        let params = DeleteParams::default().preconditions(preconditions);
        if let Err(error) = within(self.api.delete(&self.name, &params)).await {
            tracing::info!(report = self.name, %error, "the last report of requests stays until it is too old");
        }
    }
}

/// Why a report is not on the hub, or still is.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("no answer within {HUB_LIMIT:?}")]
    TimedOut,
    #[error(transparent)]
    Hub(#[from] kube::Error),
    #[error("it cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ReportError> {
    Ok(timeout(HUB_LIMIT, call).await.map_err(|_| ReportError::TimedOut)??)
}
