//! Reads what a ModelDeployment depends on: the fleet, and the dataset its model is in.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::api::{Api, ListParams};
use skyfleet_api::{Cluster, DatasetReplica, ModelDeployment, ModelDeploymentSpec};

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
    pub(super) cluster: Cluster,
    pub(super) member: Option<Arc<Member>>,
}

/// The dataset that the model is in, and the Buckets it names.
pub(super) struct Dataset {
    pub(super) replica: Option<DatasetReplica>,
    pub(super) buckets: Buckets,
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

/// The fleet.
pub(super) async fn clusters(context: &Context) -> Result<Vec<FleetCluster>, ReconcileError> {
    let clusters = Api::<Cluster>::all(context.hub.clone());
    let clusters = clusters.list(&ListParams::default()).await.map_err(ReconcileError::hub("list the Clusters"))?;
    let with_member = |cluster: Cluster| FleetCluster { member: context.fleet.member(&cluster.name_any()), cluster };
    Ok(clusters.items.into_iter().map(with_member).collect())
}

async fn dataset(context: &Context, namespace: &str, name: &str) -> Result<Dataset, ReconcileError> {
    let replicas = Api::<DatasetReplica>::namespaced(context.hub.clone(), namespace);
    let replica = replicas.get_opt(name).await.map_err(ReconcileError::hub("read a DatasetReplica"))?;
    let buckets = match &replica {
        Some(replica) => buckets(&context.hub, namespace, &replica.spec).await?,
        None => Buckets::new(),
    };
    Ok(Dataset { replica, buckets })
}
