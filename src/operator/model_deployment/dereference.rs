//! Reads what a ModelDeployment depends on: the fleet, and the dataset its model is in.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::api::Api;
use skyfleet_api::model_deployment::Strategy;
use skyfleet_api::{Cluster, DatasetReplica, ModelDeployment, ModelDeploymentSpec};

use skyfleet_plan::load::Load;
use skyfleet_plan::workload::metrics;

use crate::operator::context::Context;
use crate::operator::dataset_replica::{Buckets, buckets};
use crate::operator::error::ReconcileError;
use crate::operator::fleet::Member;

/// Everything a pass decides on, read at one moment.
pub(super) struct Snapshot {
    pub(super) clusters: Vec<FleetCluster>,
    pub(super) dataset: Option<Dataset>,
}

/// A Cluster and, when the operator is connected to it, its member.
pub(super) struct FleetCluster {
    pub(super) cluster: Arc<Cluster>,
    pub(super) member: Option<Arc<Member>>,
}

/// The dataset that the model is in, and the Buckets it names.
pub(super) struct Dataset {
    pub(super) replica: Option<DatasetReplica>,
    pub(super) buckets: Buckets,
}

impl FleetCluster {
    /// What the model's replicas there report.
    pub(super) fn load(&self, model: &ModelDeployment) -> Option<Load> {
        let member = self.member.as_ref().filter(|member| member.usable())?;
        member.load(&model.namespace().unwrap_or_default(), &model.name_any())
    }
}

impl Snapshot {
    /// Members that can be changed now, by the name of their Cluster.
    pub(super) fn usable(&self) -> BTreeMap<&str, &Member> {
        let usable = |fleet: &'_ FleetCluster| fleet.member.as_ref().is_some_and(|member| member.usable());
        let named = |fleet: &FleetCluster| fleet.cluster.metadata.name.is_some();
        self.clusters
            .iter()
            .filter(|fleet| usable(fleet) && named(fleet))
            .filter_map(|fleet| Some((fleet.cluster.metadata.name.as_deref()?, fleet.member.as_deref()?)))
            .collect()
    }
}

/// Has the load of a model's replicas watched where a decision may depend on it, and no longer where none does.
pub(super) fn watch_loads(model: &ModelDeployment, clusters: &[FleetCluster]) {
    let (namespace, name) = (model.namespace().unwrap_or_default(), model.name_any());
    let wanted = metrics(&model.spec.runtime).filter(|_| depends_on_load(&model.spec));
    let placements = model.status.as_ref().map(|status| status.placements.as_slice()).unwrap_or_default();
    let holds = |cluster: &str| {
        placements.iter().any(|placement| placement.cluster == cluster && placement.desired + placement.retained > 0)
    };
    for fleet in clusters {
        let Some(member) = &fleet.member else { continue };
        match wanted.as_ref().filter(|_| holds(&fleet.cluster.name_any())) {
            // Names that are none were refused before.
            Some(metrics) => drop(member.watch_load(&namespace, &name, metrics)),
            None => member.forget_load(&namespace, &name),
        }
    }
}

/// Whether any decision on it depends on load.
fn depends_on_load(spec: &ModelDeploymentSpec) -> bool {
    matches!(spec.placement.strategy, Strategy::LeastConnection | Strategy::LeastResponseTime)
        || spec.autoscaling.is_some()
        || spec.rollout.as_ref().is_some_and(|rollout| rollout.max_error_percent.is_some())
}

/// The name of the DatasetReplica that a model is in.
pub(super) fn dataset_name(spec: &ModelDeploymentSpec) -> Option<&str> {
    spec.model.dataset_replica.as_ref().map(|dataset| dataset.name.as_str())
}

/// Reads everything.
pub(super) async fn snapshot(context: &Context, model: &ModelDeployment) -> Result<Snapshot, ReconcileError> {
    let dataset = match dataset_name(&model.spec) {
        Some(name) => Some(dataset(context, &model.namespace().unwrap_or_default(), name).await?),
        None => None,
    };
    Ok(Snapshot { clusters: clusters(context).await?, dataset })
}

/// The fleet, by the watch that also starts the passes: a pass knows at least what it was started for.
pub(super) async fn clusters(context: &Context) -> Result<Vec<FleetCluster>, ReconcileError> {
    // Before all are there, a cluster that is missing would look like one that has left.
    context.clusters.wait_until_ready().await.map_err(|_| ReconcileError::Stopping)?;
    let found = context.clusters.state();
    let member = |cluster: &Cluster| context.fleet.member(cluster.metadata.name.as_deref()?);
    Ok(found.into_iter().map(|cluster| FleetCluster { member: member(&cluster), cluster }).collect())
}

async fn dataset(context: &Context, namespace: &str, name: &str) -> Result<Dataset, ReconcileError> {
    let replicas = Api::<DatasetReplica>::namespaced(context.hub.clone(), namespace);
    let replica = replicas.get_opt(name).await.map_err(ReconcileError::hub("read a DatasetReplica"))?;
    let buckets = match &replica {
        Some(replica) => buckets(context, namespace, &replica.spec).await?,
        None => Buckets::new(),
    };
    Ok(Dataset { replica, buckets })
}
