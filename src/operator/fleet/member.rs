//! One member: its client, its probes and its watches, as one task that ends when the member leaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod, Secret, Service};
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Error};
use skyfleet_api::model_deployment::RuntimeMetrics;
use skyfleet_plan::capacity::Inventory as Capacity;
use skyfleet_plan::load::{Load, ReadingError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Connection, ConnectionError};
use super::contact::{Contact, Probe, Report};
use super::inventory::{self, Inventory};
use super::loads::{Loads, Pace, Source};
use super::objects::Objects;
use super::{Metrics, Triggers};

/// Between two probes. Three failed ones and their time-outs are 30 s.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// For one small request.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Two probes are late by then. It is less than it takes to call a member silent.
const DOUBT: Duration = Duration::from_secs(12);
/// For a new member to answer and to show its objects, before the fleet goes on without it.
const SETTLE_LIMIT: Duration = Duration::from_secs(20);
/// Between two counts of nodes and pods.
const INVENTORY_INTERVAL: Duration = Duration::from_secs(30);
/// For counting nodes and pods.
const INVENTORY_TIMEOUT: Duration = Duration::from_secs(20);

/// A member cluster this operator is connected to.
pub(crate) struct Member {
    name: String,
    /// Speaks to the member. It has no read timeout of its own: give every call one.
    pub(crate) client: Client,
    /// What this hub has there.
    pub(crate) objects: Objects,
    loads: Loads,
    started: Instant,
    report: watch::Receiver<Report>,
    capacity: watch::Receiver<Option<Arc<Capacity>>>,
    answered: watch::Receiver<Instant>,
    /// When a call that was not answered ended.
    unanswered: watch::Sender<Option<Instant>>,
    synced: watch::Receiver<bool>,
}

/// What a probe loop tells.
struct Telling {
    report: watch::Sender<Report>,
    capacity: watch::Sender<Option<Arc<Capacity>>>,
    answered: watch::Sender<Instant>,
    triggers: Triggers,
    metrics: Metrics,
}

impl Member {
    /// Connects and starts to probe and watch.
    pub(super) async fn start(
        name: &str,
        connection: Connection,
        hub_id: &str,
        triggers: Triggers,
        metrics: Metrics,
    ) -> Result<(Arc<Self>, AbortOnDropHandle<()>), ConnectionError> {
        let client = connection.client().await?;
        let (objects, watches) = Objects::watch(&client, hub_id, &triggers);
        let (report_sender, report) = watch::channel(Report::default());
        let (capacity_sender, capacity) = watch::channel(None);
        let (synced_sender, synced) = watch::channel(false);
        let loads = Loads::new(Source {
            member: name.to_owned(),
            client: client.clone(),
            hub_id: hub_id.to_owned(),
            deployments: objects.deployments.clone(),
            report: report.clone(),
            triggers: triggers.clone(),
            metrics: metrics.clone(),
            pace: Pace::default(),
        });
        let (name, started) = (name.to_owned(), Instant::now());
        let (answered_sender, answered) = watch::channel(started);
        let unanswered = watch::Sender::new(None);
        let member =
            Arc::new(Self { name, client, objects, loads, started, report, capacity, answered, unanswered, synced });
        let telling = Telling {
            report: report_sender,
            capacity: capacity_sender,
            answered: answered_sender,
            triggers: triggers.clone(),
            metrics,
        };
        let probes = member.clone().probe_forever(hub_id.to_owned(), telling);
        let sync = member.clone().wait_for_sync(synced_sender, triggers);
        let tasks = tokio::spawn(async move {
            futures::join!(watches, probes, sync);
        });
        Ok((member, AbortOnDropHandle::new(tasks)))
    }

    /// The Cluster's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What is known of it.
    pub(crate) fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    /// Its nodes and what runs there, as they were last counted; `None` until then.
    pub(crate) fn capacity(&self) -> Option<Arc<Capacity>> {
        self.capacity.borrow().clone()
    }

    /// Whether it has not been heard for longer than it should.
    pub(crate) fn doubted(&self) -> bool {
        self.answered.borrow().elapsed() > DOUBT
    }

    /// Whether to call it now is likely to be in vain: it is doubted, or has not answered a probe since a call to it had no
    /// answer.
    pub(crate) fn silent(&self) -> bool {
        let answered = *self.answered.borrow();
        self.doubted() || self.unanswered.borrow().is_some_and(|unanswered| unanswered > answered)
    }

    /// A call to it had no answer in its time.
    pub(crate) fn gave_no_answer(&self) {
        self.unanswered.send_replace(Some(Instant::now()));
    }

    /// An address of one of its nodes.
    pub(crate) fn node_address(&self) -> Option<String> {
        self.report.borrow().inventory.as_ref()?.node_address.clone()
    }

    /// Whether its objects are known and can be changed.
    pub(crate) fn usable(&self) -> bool {
        *self.synced.borrow() && self.report.borrow().usable()
    }

    /// Whether it is known if the member is usable. One that shows itself but not its objects counts as not usable in the
    /// end: it must not hold up what the others can do.
    pub(crate) fn settled(&self) -> bool {
        let report = self.report.borrow();
        let known = report.reachable.is_some() && (!report.usable() || *self.synced.borrow());
        known || self.started.elapsed() > SETTLE_LIMIT
    }

    /// Has the load of a ModelDeployment's replicas here measured from now on; the first report comes within seconds, and
    /// each new one triggers the ModelDeployment. To say it again changes nothing, to say other metrics begins anew.
    ///
    /// # Errors
    /// The metrics are none that can be looked for; nothing is measured then.
    pub(crate) fn watch_load(&self, namespace: &str, name: &str, metrics: &RuntimeMetrics) -> Result<(), ReadingError> {
        self.loads.watch(namespace, name, metrics)
    }

    /// Ends what [`watch_load`](Self::watch_load) began.
    pub(crate) fn forget_load(&self, namespace: &str, name: &str) {
        self.loads.forget(namespace, name);
    }

    /// The last that was measured, however old: ask it whether it is fresh.
    pub(crate) fn load(&self, namespace: &str, name: &str) -> Option<Load> {
        self.loads.load(namespace, name)
    }

    async fn wait_for_sync(self: Arc<Self>, synced: watch::Sender<bool>, triggers: Triggers) {
        self.objects.synced().await;
        synced.send_replace(true);
        self.tell(&triggers).await;
    }

    async fn probe_forever(self: Arc<Self>, hub_id: String, telling: Telling) {
        let mut contact = Contact::default();
        let mut counted_at: Option<Instant> = None;
        loop {
            let probe = self.probe().await;
            if !matches!(probe, Probe::Failed { .. }) {
                telling.answered.send_replace(Instant::now());
            }
            contact.observe(probe, Timestamp::now());
            let due = counted_at.is_none_or(|at| at.elapsed() >= INVENTORY_INTERVAL);
            if due && contact.report().usable() {
                match self.count(&hub_id).await {
                    Ok((inventory, capacity)) => {
                        contact.counted(inventory);
                        telling.capacity.send_replace(Some(Arc::new(capacity)));
                    }
                    Err(error) => tracing::debug!(member = self.name, error, "nodes and pods could not be counted"),
                }
                counted_at = Some(Instant::now());
            }
            let new = contact.report();
            telling.metrics.member(&self.name, new.reachable == Some(true), contact.round_trip());
            if telling.report.send_if_modified(|old| std::mem::replace(old, new.clone()) != new) {
                self.tell(&telling.triggers).await;
            }
            sleep(jittered(PROBE_INTERVAL)).await;
        }
    }

    async fn tell(&self, triggers: &Triggers) {
        // A closed channel means that the controllers have ended, and this task is about to.
        let _closed = triggers.clusters.send(ObjectRef::new(&self.name)).await;
    }

    async fn probe(&self) -> Probe {
        let started = Instant::now();
        let version = match within(PROBE_TIMEOUT, self.client.apiserver_version()).await {
            Ok(version) => version.git_version,
            Err(failure) => return failure.into_probe(started.elapsed()),
        };
        let round_trip = started.elapsed();
        match within(PROBE_TIMEOUT, self.look_at_each_kind()).await {
            Ok(()) => Probe::Answered { version, round_trip },
            Err(failure) => failure.into_probe(round_trip),
        }
    }

    /// The version is shown to anybody; whether the credentials are good shows only where they matter.
    async fn look_at_each_kind(&self) -> Result<(), Error> {
        let one = ListParams::default().limit(1);
        let (deployments, services) =
            (Api::<Deployment>::all(self.client.clone()), Api::<Service>::all(self.client.clone()));
        let secrets = Api::<Secret>::all(self.client.clone());
        futures::try_join!(deployments.list_metadata(&one), services.list_metadata(&one), secrets.list_metadata(&one))?;
        Ok(())
    }

    async fn count(&self, hub_id: &str) -> Result<(Inventory, Capacity), String> {
        let cached = ListParams::default().match_any();
        let nodes = Api::<Node>::all(self.client.clone());
        let pods = Api::<Pod>::all(self.client.clone());
        let unfinished = cached.clone().fields("status.phase!=Succeeded,status.phase!=Failed");
        let both = async { futures::try_join!(nodes.list(&cached), pods.list(&unfinished)) };
        let (nodes, pods) = within(INVENTORY_TIMEOUT, both).await.map_err(|failure| failure.to_string())?;
        let capacity = Capacity::of(&nodes.items, &pods.items, hub_id);
        Ok((inventory::count(&nodes.items, &pods.items), capacity))
    }
}

/// Up to a tenth more or less, so that the probes of many members spread out.
pub(super) fn jittered(interval: Duration) -> Duration {
    let nanos = Timestamp::now().subsec_nanosecond().unsigned_abs() % 1000;
    interval.mul_f64(0.9 + f64::from(nanos) / 5000.0)
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("{0}")]
    Request(#[from] Error),
}

impl Failure {
    fn into_probe(self, round_trip: Duration) -> Probe {
        match self {
            Self::Request(Error::Api(status)) if status.code == 401 => {
                Probe::Refused { round_trip, message: status.message }
            }
            Self::Request(Error::Api(status)) if status.code == 403 => {
                Probe::Denied { round_trip, message: status.message }
            }
            Self::Request(error) => Probe::Failed { message: with_causes(&error) },
            Self::TimedOut(_) => Probe::Failed { message: self.to_string() },
        }
    }
}

/// The client's own words end at "client error (Connect)": whether the port is closed or the certificate is another's is
/// further down.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

async fn within<T>(limit: Duration, request: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match timeout(limit, request).await {
        Ok(outcome) => outcome.map_err(Failure::Request),
        Err(_) => Err(Failure::TimedOut(limit)),
    }
}
