//! What placement knows: the request and the fleet at one moment.

use std::collections::BTreeMap;

use skyfleet_api::cluster::Taint;
use skyfleet_api::model_deployment::Placement;

/// What a ModelDeployment asks for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Replicas over the whole fleet.
    pub replicas: i32,
    /// Which clusters may hold them.
    pub placement: Placement,
}

/// One member cluster as placement sees it.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    /// The cluster's name.
    pub name: String,
    /// Its labels, with provider, region and zone.
    pub labels: BTreeMap<String, String>,
    /// What keeps replicas away.
    pub taints: Vec<Taint>,
    /// Its API server answers and accepts the credentials.
    pub reachable: bool,
    /// It is leaving the fleet.
    pub leaving: bool,
    /// The model's data, as far as this cluster is concerned.
    pub data: Data,
}

/// The model's data near a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Data {
    /// The model needs none: it is in the image.
    #[default]
    NotNeeded,
    /// A bucket near the cluster holds, or will hold, the data.
    Near,
    /// No bucket of the dataset lies near the cluster.
    NoBucketNear,
}
