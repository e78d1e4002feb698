//! What every controller shares.

use std::sync::Arc;

use kube::Client;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use skyfleet_api::{Cluster, ModelDeployment};
use skyfleet_plan::workload::Loader;

use super::books::Books;
use super::bucket::Identities;
use super::dataset_replica::JobLimits;
use super::events::Events;
use super::fleet::Fleet;
use super::gateway_reports::GatewayReports;
use super::lineage::Lineage;
use super::metrics::Metrics;
use super::own_writes::OwnWrites;
use super::streams::Streams;

/// The field manager of what the operator writes to objects of members and, by its status, of the hub.
pub(crate) const FIELD_MANAGER: &str = "skyfleet-operator";

/// What every controller shares.
pub(crate) struct Context {
    /// The hub.
    pub(crate) hub: Client,
    /// The hub's identity: the UID of its `kube-system` namespace.
    pub(crate) hub_id: String,
    /// The operator's own namespace, where the Secrets of Clusters are.
    pub(crate) namespace: String,
    /// The members' clients and what is known of them.
    pub(crate) fleet: Fleet,
    /// The Clusters, as the watch of the ModelDeployments' controller last showed them.
    pub(crate) clusters: Store<Cluster>,
    /// The ModelDeployments, as the watch of their controller last showed them.
    pub(crate) models: Store<DeserializeGuard<ModelDeployment>>,
    /// The ModelDeployments that were written last.
    pub(crate) own_writes: OwnWrites<ModelDeployment>,
    /// What is decided for all ModelDeployments together.
    pub(crate) books: Books,
    /// What gateways tell of the requests they send.
    pub(crate) gateway_reports: GatewayReports,
    /// The share of the fleet that may vanish at once before the hub suspects itself, 0 to 1.
    pub(crate) max_lost_share: f64,
    /// The identities that Buckets name.
    pub(crate) identities: Identities,
    /// What loads models in members.
    pub(crate) loader: Loader,
    /// When passes are made by Jobs in members.
    pub(crate) jobs: JobLimits,
    /// Takes events.
    pub(crate) events: Events,
    /// Takes what is told to those who collect lineage.
    pub(crate) lineage: Lineage,
    /// What DatasetReplicas in mode Stream are told of.
    pub(crate) streams: Arc<Streams>,
    /// What is measured.
    pub(crate) metrics: Metrics,
}
