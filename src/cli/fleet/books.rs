//! The ledger over all ModelDeployments, and the question to placement for one of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use skyfleet_api::{Cluster, ModelDeployment};
use skyfleet_plan::capacity::{Ledger, ModelKey, PodShape, Resources, Room};
use skyfleet_plan::failover::Contact;
use skyfleet_plan::placement::Snapshot;
use skyfleet_plan::question::{Facts, candidate, request};
use skyfleet_plan::workload::pod_shape;

use super::Fleet;
use super::room::{Basis, Stock, Unknown, stock, without_wishes};

/// The moment that is asked about.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Moment {
    pub(in crate::cli) now: Timestamp,
    /// The share of the fleet that may vanish at once before the hub suspects itself.
    pub(in crate::cli) max_lost_share: f64,
}

/// What every cluster holds and has room for.
pub(in crate::cli) struct Books {
    ledger: Ledger,
    bases: BTreeMap<String, Basis>,
    /// What a replica needs, of each ModelDeployment that can be placed.
    shapes: BTreeMap<ModelKey, Arc<PodShape>>,
}

impl Books {
    /// Counts every cluster, and enters what the statuses of the ModelDeployments say was decided.
    pub(in crate::cli) fn open(fleet: &Fleet, unknown: Unknown) -> Self {
        let shape = |model: &ModelDeployment| pod_shape(&model.spec).ok().map(Arc::new);
        let shapes: BTreeMap<ModelKey, Arc<PodShape>> =
            fleet.models.iter().filter_map(|(key, model)| Some((key.clone(), shape(model)?))).collect();
        let mut books = Self { ledger: Ledger::default(), bases: BTreeMap::new(), shapes };
        for (name, cluster) in &fleet.clusters {
            let nodes = fleet.nodes.get(name).map(Vec::as_slice);
            let mut stock = stock(cluster, nodes, unknown);
            books.bases.insert(name.clone(), stock.basis);
            count_bound(&mut stock, name, fleet);
            books.ledger.count(name, stock.inventory, stock.terms);
        }
        for (key, model) in &fleet.models {
            books.enter(key, &in_force(model));
        }
        books
    }

    /// Enters a decision.
    pub(in crate::cli) fn enter(&mut self, key: &ModelKey, shares: &BTreeMap<String, i32>) {
        if let Some(shape) = self.shapes.get(key) {
            self.ledger.enter(key, shape, shares);
        }
    }

    /// What is known of each cluster's room.
    pub(in crate::cli) fn bases(&self) -> &BTreeMap<String, Basis> {
        &self.bases
    }

    /// What all ModelDeployments together request of a cluster.
    pub(in crate::cli) fn requested(&self, cluster: &str) -> Resources {
        self.ledger.requested(cluster)
    }

    /// Whether a ModelDeployment wants labels or taints of nodes that are not known somewhere.
    pub(in crate::cli) fn wishes_are_unchecked(&self, key: &ModelKey) -> bool {
        let picky = self.shapes.get(key).is_some_and(|shape| **shape != without_wishes(shape));
        picky && self.bases.values().any(|basis| matches!(basis, Basis::Status(_)))
    }

    /// The question to placement for one ModelDeployment; `None` where it is not known or no pod can be made of it.
    pub(in crate::cli) fn snapshot(
        &mut self,
        fleet: &Fleet,
        key: &ModelKey,
        contact: impl Fn(&str, &Cluster) -> Contact,
        moment: Moment,
    ) -> Option<Snapshot> {
        let (model, shape) = (fleet.models.get(key)?, self.shapes.get(key)?.clone());
        let mut candidates = Vec::new();
        for (name, cluster) in &fleet.clusters {
            let facts = Facts {
                contact: contact(name, cluster),
                data: fleet.data(key, model, cluster),
                room: self.room(name, &shape),
                load: None,
                ready: None,
            };
            candidates.push(candidate(cluster, model, &shape.requests, facts));
        }
        let request = request(model, replicas(model));
        Some(Snapshot { request, candidates, max_lost_share: moment.max_lost_share, now: moment.now })
    }

    fn room(&mut self, cluster: &str, shape: &PodShape) -> Room {
        match self.bases.get(cluster) {
            Some(Basis::Status(_)) => self.ledger.room(cluster, &without_wishes(shape)),
            _ => self.ledger.room(cluster, shape),
        }
    }
}

/// Replicas that a ModelDeployment asks for. Where load decides, it is what it has decided, or the least until then.
pub(in crate::cli) fn replicas(model: &ModelDeployment) -> i32 {
    let Some(scaling) = &model.spec.autoscaling else { return model.spec.replicas };
    let decided = model.status.as_ref().and_then(|status| status.autoscaling.as_ref()).map(|status| status.replicas);
    decided.unwrap_or(scaling.min_replicas)
}

/// What runs, or shall, by the status.
fn in_force(model: &ModelDeployment) -> BTreeMap<String, i32> {
    let placements = model.status.iter().flat_map(|status| &status.placements);
    placements.map(|placement| (placement.cluster.clone(), placement.desired + placement.retained)).collect()
}

/// The sums of a status have the pods in them that run already: they must not be taken off again.
fn count_bound(stock: &mut Stock, cluster: &str, fleet: &Fleet) {
    let (Basis::Status(_), Some(inventory)) = (stock.basis, stock.inventory.as_mut().and_then(Arc::get_mut)) else {
        return;
    };
    for (key, model) in &fleet.models {
        let placements = model.status.iter().flat_map(|status| &status.placements);
        for placement in placements.filter(|placement| placement.cluster == cluster) {
            inventory.bound.insert(key.clone(), i64::from(placement.replicas));
        }
    }
}
