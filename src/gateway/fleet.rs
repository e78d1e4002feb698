//! Where the replicas of a model are reached from this gateway, and which of them it may use: pure.

use std::collections::{HashMap, HashSet};

use skyfleet_api::Cluster;
use skyfleet_api::model_deployment::{PlacementStatus, Residency};
use skyfleet_gateway::config::{Endpoint, EndpointConfig};
use skyfleet_mirror::PricePerGb;

use super::pods::Pods;

/// The fleet as a gateway sees it.
#[derive(Clone, Copy)]
pub(crate) struct Fleet<'a> {
    /// The Cluster that the gateway runs in.
    own: Option<&'a str>,
    clusters: &'a Clusters,
    /// Pods in its own cluster, once they are known.
    pods: Option<&'a Pods>,
    /// The Clusters that it reaches through their API servers.
    relayed: Option<&'a HashSet<String>>,
}

/// The Clusters by name.
pub(crate) type Clusters = HashMap<String, Cluster>;

/// A replica set of one ModelDeployment in one cluster.
#[derive(Clone, Copy)]
pub(crate) struct Replicas<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) model: &'a str,
    pub(crate) placement: &'a PlacementStatus,
}

impl<'a> Fleet<'a> {
    /// As a gateway outside of all clusters sees it.
    pub(crate) fn from_outside(clusters: &'a Clusters) -> Self {
        Self { own: None, clusters, pods: None, relayed: None }
    }

    /// As a gateway in that cluster sees it.
    pub(super) fn from_within(own: Option<&'a str>, clusters: &'a Clusters, pods: Option<&'a Pods>) -> Self {
        Self { own, clusters, pods, relayed: None }
    }

    /// These Clusters are reached through their API servers where nothing else is open.
    pub(super) fn through_api_servers(self, relayed: &'a HashSet<String>) -> Self {
        Self { relayed: Some(relayed), ..self }
    }

    /// The Cluster that the gateway runs in.
    pub(super) fn own(&self) -> Option<&'a str> {
        self.own
    }

    /// Whether requests may be sent to a cluster. One that is not known is in no region and of no provider.
    pub(crate) fn may_use(&self, cluster: &str, residency: Option<&Residency>) -> bool {
        residency.is_none_or(|residency| {
            self.clusters
                .get(cluster)
                .is_some_and(|cluster| residency.allows(cluster.spec.provider, &cluster.spec.region))
        })
    }

    /// What a GB of answers costs on its way here, in thousand-millionths of the fleet's currency. Within a provider's region it is free.
    pub(super) fn egress_price(&self, cluster: &str) -> u64 {
        let place = |name: &str| self.clusters.get(name).map(|cluster| (cluster.spec.provider, &cluster.spec.region));
        let is_near = self.own.is_some_and(|own| place(own).is_some() && place(own) == place(cluster));
        let price = self.clusters.get(cluster).and_then(|cluster| cluster.spec.egress_price_per_gb.as_deref());
        // The API server lets nothing through that is no price.
        let price = price.filter(|_| !is_near).and_then(|price| price.parse::<PricePerGb>().ok());
        price.map_or(0, PricePerGb::as_billionths)
    }

    /// Where the replicas of a placement are reached: in its own cluster each pod, elsewhere the Service, which has the share of them all.
    pub(crate) fn endpoints(&self, replicas: Replicas<'_>) -> Vec<EndpointConfig> {
        let placement = replicas.placement;
        let is_own = self.own == Some(placement.cluster.as_str());
        match self.pods.filter(|_| is_own) {
            Some(pods) => {
                let pods = pods.of(replicas.namespace, replicas.model);
                pods.map(|pod| endpoint(&placement.cluster, (pod.name.as_str(), 1), (&pod.address, pod.port))).collect()
            }
            None => self.service(placement, is_own).into_iter().collect(),
        }
    }

    fn service(&self, placement: &PlacementStatus, is_own: bool) -> Option<EndpointConfig> {
        let weight = placement.ready.try_into().unwrap_or_default();
        let address = placement.endpoint.as_deref()?;
        let (host, port) = address.rsplit_once(':')?;
        let is_open = is_own || !is_inside(address);
        let is_relayed = || self.relayed.is_some_and(|relayed| relayed.contains(&placement.cluster));
        if weight == 0 || !is_open && !is_relayed() {
            return None;
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut found = endpoint(&placement.cluster, ("service", weight), (host, port.parse().ok()?));
        found.endpoint.is_relayed = !is_open;
        Some(found)
    }
}

/// Whether an endpoint is the name of a Service, which means something only in its own cluster.
pub(crate) fn is_inside(endpoint: &str) -> bool {
    endpoint.rsplit_once(':').and_then(|(host, _)| host.rsplit('.').next()) == Some("svc")
}

fn endpoint(cluster: &str, (name, weight): (&str, u32), (host, port): (&str, u16)) -> EndpointConfig {
    let (cluster, name, host) = (cluster.to_owned(), name.to_owned(), host.to_owned());
    EndpointConfig { endpoint: Endpoint { cluster, name, host, port, is_relayed: false }, weight, egress_price: 0 }
}
