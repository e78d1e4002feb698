//! Labels, annotations and names that Skyfleet puts on objects, on the hub and in member clusters.

/// `app.kubernetes.io/managed-by`, on every object Skyfleet makes; its value is [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`] and the prefix of every field manager.
pub const MANAGER: &str = "skyfleet";
/// On objects in a member: the UID of the hub's `kube-system` namespace, which tells two hubs that share a member apart.
pub const HUB: &str = "skyfleet.dev/hub";
/// On objects in a member: the name of the ModelDeployment they belong to.
pub const MODEL_DEPLOYMENT: &str = "skyfleet.dev/model-deployment";
/// On objects in a member: the name of the DatasetReplica they belong to.
pub const DATASET_REPLICA: &str = "skyfleet.dev/dataset-replica";
/// On objects in a member: the UID of the ModelDeployment or DatasetReplica they belong to. A namesake made later has another.
pub const OWNER_UID: &str = "skyfleet.dev/owner-uid";
/// On objects and pods in a member: the name of the Cluster they were placed on.
pub const MEMBER_CLUSTER: &str = "skyfleet.dev/member-cluster";
/// On a ControllerRevision on the hub, and as an annotation on a Deployment in a member: the name of the revision it is of.
pub const REVISION: &str = "skyfleet.dev/revision";
/// The finalizer on objects whose deletion has work to do elsewhere.
pub const FINALIZER: &str = "skyfleet.dev/cleanup";
/// Set to `"true"` on an object that is being deleted: let it go now, without its members that cannot be reached. What is
/// left there is removed when the member is reached again.
pub const ABANDON_UNREACHABLE: &str = "skyfleet.dev/abandon-unreachable";
/// On a ModelDeployment that was scaled to zero: when a request last found no replica (RFC 3339). The operator sets it when a gateway
/// tells it so; anybody else may who wants the model to be served again.
pub const REQUESTED_AT: &str = "skyfleet.dev/requested-at";
/// Labels that a Cluster carries in placement besides its own: its provider, region and zone.
pub const PROVIDER: &str = "skyfleet.dev/provider";
/// See [`PROVIDER`]; the standard topology label.
pub const REGION: &str = "topology.kubernetes.io/region";
/// See [`PROVIDER`]; the standard topology label.
pub const ZONE: &str = "topology.kubernetes.io/zone";
