//! The ModelDeployments: made, changed, and watched on the hub.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use skyfleet_api::ModelDeployment;
use skyfleet_api::conditions::{ConditionType, is_true};
use skyfleet_api::model_deployment::PlacementStatus;
use skyfleet_bench::member::{Arrival, Observer};
use tokio_util::task::AbortOnDropHandle;

use crate::error::BenchError;
use crate::fleet::region;
use crate::hub::{Hub, named};
use crate::ledger::{Ledger, Look};
use crate::wait::until;

/// Replicas of each at first.
const REPLICAS: i64 = 3;
/// ModelDeployments that are created at once.
const AT_ONCE: usize = 16;
/// For all of them to be served on a loaded machine.
const LIMIT: Duration = Duration::from_mins(15);

/// The ledger, which members, the watch and the benchmark share. Each holds it for a moment only.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Ledger>>);

impl Book {
    // A panic while the lock is held ends the benchmark anyway.
    pub(crate) fn open(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What members tell of arrivals.
    pub(crate) fn observer(&self) -> Observer {
        let book = self.clone();
        Arc::new(move |Arrival { member, name, at, replicas, .. }: Arrival| {
            book.open().arrived(&name, &member, replicas, at);
        })
    }
}

/// The ModelDeployments; they are watched until this goes.
pub(crate) struct Models {
    pub(crate) count: usize,
    pub(crate) book: Book,
    api: Api<ModelDeployment>,
    _watch: AbortOnDropHandle<()>,
}

impl Models {
    /// Watches ModelDeployments; there are none yet.
    pub(crate) fn watch(hub: &Hub, book: Book, count: usize) -> Self {
        let watch = AbortOnDropHandle::new(tokio::spawn(watch(hub.client.clone(), book.clone())));
        Self { count, book, api: Api::default_namespaced(hub.client.clone()), _watch: watch }
    }

    /// Makes them all, each to be served in one region.
    pub(crate) async fn create(&self, hub: &Hub, members: usize) -> Result<(), BenchError> {
        let each = (0..self.count).map(|number| {
            let manifest = manifest(&model_name(number), &region(number % members));
            hub.create(self.api.clone(), manifest)
        });
        let each: Vec<_> = each.collect();
        futures::stream::iter(each).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
    }

    /// Waits until all have settled: are Ready, as far as members answer.
    pub(crate) async fn until_settled(&self) -> Result<(), BenchError> {
        until("every ModelDeployment to settle", LIMIT, Duration::from_millis(20), async || {
            let settled = self.book.open().count_settled();
            Ok(if settled == self.count { Ok(()) } else { Err(format!("{settled} of {}", self.count)) })
        })
        .await
    }

    /// Asks for so many replicas of one, as `kubectl scale` does.
    pub(crate) async fn scale(&self, name: &str, replicas: i64) -> Result<(), BenchError> {
        self.book.open().begin(name, replicas, Instant::now());
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let outcome = self.api.patch_scale(name, &PatchParams::default(), &patch).await;
        match &outcome {
            Ok(scale) => {
                self.book.open().accepted(name, scale.resource_version().and_then(|version| version.parse().ok()));
            }
            Err(_) => self.book.open().forget(name),
        }
        outcome.map(drop).map_err(BenchError::hub("scale a ModelDeployment"))
    }
}

/// The name of a ModelDeployment.
pub(crate) fn model_name(number: usize) -> String {
    format!("model-{number:04}")
}

fn manifest(name: &str, region: &str) -> serde_json::Value {
    let resources = json!({"requests": {"cpu": "10m", "memory": "32Mi"}});
    json!({
        "apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelDeployment", "metadata": named(name),
        "spec": {
            "model": {"name": "simulated", "image": {}},
            "runtime": {"preset": "custom", "image": "simulated:1", "port": 8080, "resources": resources},
            "replicas": REPLICAS,
            "placement": {
                "strategy": "RoundRobin",
                "clusterSelector": {"matchLabels": {"topology.kubernetes.io/region": region}},
            },
            // What is measured is the way of a change; moves of their own would be in between.
            "failover": {"policy": "Never"},
        },
    })
}

async fn watch(client: Client, book: Book) {
    let mut events = std::pin::pin!(watcher(Api::<ModelDeployment>::all(client), watcher::Config::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(model) | Event::InitApply(model)) => see(&book, &model),
            Ok(_) => {}
            Err(error) => eprintln!("           the watch on the hub failed and is tried again: {error}"),
        }
    }
}

fn see(book: &Book, model: &ModelDeployment) {
    let status = model.status.clone().unwrap_or_default();
    let look = match status.observed_generation == model.metadata.generation {
        false => Look::Old,
        true if is_true(&status.conditions, ConditionType::Ready) => Look::Ready,
        true => Look::Answered,
    };
    let placed = status.placements.iter().map(|placement| i64::from(placement.desired)).sum();
    let share = |placement: PlacementStatus| (placement.cluster, i64::from(placement.desired + placement.retained));
    let decided = status.placements.into_iter().map(share).collect();
    book.open().seen(&model.name_any(), decided, placed, look);
}
