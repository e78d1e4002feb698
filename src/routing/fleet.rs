//! Where the replicas of a model are reached from this gateway, and which of them it may use: pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

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
    /// The network that it is in, if that is not said by its Cluster.
    network: Option<&'a str>,
    clusters: &'a Clusters,
    /// Pods of the Clusters whose EndpointSlices are known: of no other.
    pods: Option<&'a PodsOf>,
    /// The Clusters that it reaches through their API servers.
    relayed: Option<&'a HashSet<String>>,
}

/// Pods that take requests, by Cluster.
pub(super) type PodsOf = HashMap<String, KnownPods>;

/// What is known of the pods of a Cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownPods {
    pub(super) pods: Arc<Pods>,
    /// Its API server does not answer here any more, and the hub knows better.
    pub(super) is_outdated: bool,
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
    /// As a gateway outside of all clusters sees it, which knows no more than the hub.
    pub(crate) fn from_outside(clusters: &'a Clusters) -> Self {
        Self { own: None, network: None, clusters, pods: None, relayed: None }
    }

    /// As a gateway in that cluster sees it.
    pub(super) fn within(self, own: Option<&'a str>) -> Self {
        Self { own, ..self }
    }

    /// As a gateway in that network sees it.
    pub(super) fn in_network(self, network: Option<&'a str>) -> Self {
        Self { network, ..self }
    }

    /// The EndpointSlices of these Clusters say more than the hub.
    pub(super) fn with_pods(self, pods: &'a PodsOf) -> Self {
        Self { pods: Some(pods), ..self }
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

    /// Where the replicas of a placement are reached: each pod where the gateway reaches pods and knows them, elsewhere the Service, which
    /// has the share of them all.
    pub(crate) fn endpoints(&self, replicas: Replicas<'_>) -> Vec<EndpointConfig> {
        let cluster = replicas.placement.cluster.as_str();
        let known = self.pods.and_then(|pods| pods.get(cluster));
        let is_newer = known.is_some_and(|known| !known.is_outdated);
        // An API server that does not answer leads to no Service either.
        let is_best = is_newer || !self.is_open(replicas.placement);
        match known.map(|known| known.pods.of(replicas.namespace, replicas.model)) {
            Some(pods) if is_best && self.reaches_pods(cluster) => {
                pods.map(|pod| endpoint(cluster, (pod.name.as_str(), 1), (&pod.address, pod.port))).collect()
            }
            Some(pods) if is_newer => {
                self.service(replicas.placement, pods.count().try_into().ok()).into_iter().collect()
            }
            _ => self.service(replicas.placement, replicas.placement.ready.try_into().ok()).into_iter().collect(),
        }
    }

    /// Whether a connection from here to the pods of a cluster can be made: those of its own and of its network.
    fn reaches_pods(&self, cluster: &str) -> bool {
        let network = |name: &str| self.clusters.get(name).and_then(|cluster| cluster.spec.network.as_deref());
        let here = self.network.or_else(|| self.own.and_then(network));
        self.own == Some(cluster) || here.is_some() && here == network(cluster)
    }

    /// Whether the Service is reached without the API server.
    fn is_open(&self, placement: &PlacementStatus) -> bool {
        let is_outside = |address: &str| !is_inside(address);
        self.own == Some(placement.cluster.as_str()) || placement.endpoint.as_deref().is_some_and(is_outside)
    }

    fn service(&self, placement: &PlacementStatus, ready: Option<u32>) -> Option<EndpointConfig> {
        let weight = ready.filter(|ready| *ready > 0)?;
        let address = placement.endpoint.as_deref()?;
        let (host, port) = address.rsplit_once(':')?;
        let is_open = self.is_open(placement);
        let is_relayed = || self.relayed.is_some_and(|relayed| relayed.contains(&placement.cluster));
        if !is_open && !is_relayed() {
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

#[cfg(test)]
mod tests;
