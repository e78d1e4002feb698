//! The load of ModelDeployments in one member, from their pods' own metrics. It is measured only where somebody asked for
//! it, and each ModelDeployment by a task of its own, so that one with broken pods holds up no other.
//!
//! Pods are reached through the proxy of the member's API server, which needs the right `get` on `pods/proxy`. Without it
//! nothing is known of the load, and everything else goes on.

mod ask;
mod collector;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::runtime::reflector::{ObjectRef, Store};
use skyfleet_api::model_deployment::RuntimeMetrics;
use skyfleet_plan::load::{Load, Reading, ReadingError};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::contact::Report;
use super::member::jittered;
use super::{Metrics, Triggers};
use collector::Collector;

/// Requests to the pods of one member at once.
const REQUESTS_AT_ONCE: usize = 4;

/// How often and how long.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Between two reports.
    pub(super) interval: Duration,
    /// For one request.
    pub(super) request: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { interval: Duration::from_secs(15), request: Duration::from_secs(5) }
    }
}

/// What is needed to ask, and who is told.
pub(super) struct Source {
    pub(super) member: String,
    pub(super) client: Client,
    pub(super) hub_id: String,
    pub(super) deployments: Store<Deployment>,
    pub(super) report: watch::Receiver<Report>,
    pub(super) triggers: Triggers,
    pub(super) metrics: Metrics,
    pub(super) pace: Pace,
}

/// A ModelDeployment: its namespace and name.
type Key = (String, String);

/// What is measured in one member.
pub(super) struct Loads {
    source: Arc<Source>,
    requests: Arc<Semaphore>,
    interests: Mutex<BTreeMap<Key, Interest>>,
}

struct Interest {
    metrics: RuntimeMetrics,
    load: watch::Receiver<Option<Load>>,
    /// Ends with the interest, and with the member.
    _task: AbortOnDropHandle<()>,
}

impl Loads {
    pub(super) fn new(source: Source) -> Self {
        let requests = Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
        Self { source: Arc::new(source), requests, interests: Mutex::default() }
    }

    /// Begins to measure, unless that is done already.
    ///
    /// # Errors
    /// The metrics are none that can be looked for; nothing is measured then.
    pub(super) fn watch(&self, namespace: &str, name: &str, metrics: &RuntimeMetrics) -> Result<(), ReadingError> {
        let key = (namespace.to_owned(), name.to_owned());
        let mut interests = self.lock();
        if interests.get(&key).is_some_and(|interest| interest.metrics == *metrics) {
            return Ok(());
        }
        // What other metrics said is nothing to compare with.
        interests.remove(&key);
        let reading = Reading::new(metrics)?;
        let (sender, load) = watch::channel(None);
        let collector = Collector::new(self.source.clone(), self.requests.clone(), key.clone(), reading);
        let task = AbortOnDropHandle::new(tokio::spawn(collect_forever(self.source.clone(), collector, sender)));
        interests.insert(key, Interest { metrics: metrics.clone(), load, _task: task });
        Ok(())
    }

    /// Ends it.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        self.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// The last that was measured.
    pub(super) fn load(&self, namespace: &str, name: &str) -> Option<Load> {
        self.lock().get(&(namespace.to_owned(), name.to_owned())).and_then(|interest| interest.load.borrow().clone())
    }

    // A panic while the lock is held can't leave the map half-changed: each change is one map operation.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Interest>> {
        self.interests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn collect_forever(source: Arc<Source>, mut collector: Collector, loads: watch::Sender<Option<Load>>) {
    loop {
        if source.can_tell(collector.key())
            && let Some(load) = collector.round(Timestamp::now).await
        {
            loads.send_replace(Some(load));
            source.tell(collector.key());
        }
        sleep(jittered(source.pace.interval)).await;
    }
}

impl Source {
    /// Whether there is somebody to ask. A ModelDeployment that is gone costs nothing even where it was not forgotten.
    fn can_tell(&self, (namespace, name): &Key) -> bool {
        let deployment = self.deployments.get(&ObjectRef::new(name).within(namespace));
        let ready = deployment.and_then(|found| found.status.as_ref().and_then(|status| status.ready_replicas));
        self.report.borrow().usable() && ready.is_some_and(|ready| ready > 0)
    }

    /// A full queue is no reason to wait: there is work enough then, and the next report comes soon.
    fn tell(&self, (namespace, name): &Key) {
        let _full_or_closed = self.triggers.models.try_send(ObjectRef::new(name).within(namespace));
    }
}

#[cfg(test)]
mod tests;
