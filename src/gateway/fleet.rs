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
pub(super) type PodsOf = HashMap<String, Arc<Pods>>;

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
        let pods = self.pods.and_then(|pods| pods.get(cluster));
        let pods = pods.map(|pods| pods.of(replicas.namespace, replicas.model));
        match pods {
            Some(pods) if self.reaches_pods(cluster) => {
                pods.map(|pod| endpoint(cluster, (pod.name.as_str(), 1), (&pod.address, pod.port))).collect()
            }
            // What the EndpointSlices say is newer than the status.
            Some(pods) => self.service(replicas.placement, pods.count().try_into().ok()).into_iter().collect(),
            None => self.service(replicas.placement, replicas.placement.ready.try_into().ok()).into_iter().collect(),
        }
    }

    /// Whether a connection from here to the pods of a cluster can be made: those of its own and of its network.
    fn reaches_pods(&self, cluster: &str) -> bool {
        let network = |name: &str| self.clusters.get(name).and_then(|cluster| cluster.spec.network.as_deref());
        let here = self.network.or_else(|| self.own.and_then(network));
        self.own == Some(cluster) || here.is_some() && here == network(cluster)
    }

    fn service(&self, placement: &PlacementStatus, ready: Option<u32>) -> Option<EndpointConfig> {
        let weight = ready.filter(|ready| *ready > 0)?;
        let address = placement.endpoint.as_deref()?;
        let (host, port) = address.rsplit_once(':')?;
        let is_open = self.own == Some(placement.cluster.as_str()) || !is_inside(address);
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
mod tests {
    use serde_json::json;

    use super::*;

    /// Clusters, each with its network.
    fn clusters(all: &[(&str, Option<&str>)]) -> Clusters {
        let cluster = |(name, network): &(&str, Option<&str>)| {
            let spec = json!({"provider": "aws", "region": "r", "connection": {}, "network": network});
            let all = json!({"apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name}, "spec": spec});
            ((*name).to_owned(), serde_json::from_value(all).expect("a Cluster"))
        };
        all.iter().map(cluster).collect()
    }

    /// Pods of the model's Service with these addresses.
    fn pods(addresses: &[&str]) -> Arc<Pods> {
        let endpoints: Vec<_> = addresses.iter().map(|address| json!({"addresses": [address]})).collect();
        let slice = serde_json::from_value(json!({
            "metadata": {"namespace": "ml", "labels": {"kubernetes.io/service-name": "llama"}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": endpoints,
        }));
        Arc::new(Pods::new([&slice.expect("an EndpointSlice")]))
    }

    /// Where three replicas in cluster `a` are reached, each way with its weight; `~` is before those that the API server leads to.
    fn found(fleet: Fleet<'_>, (ready, address): (i32, &str)) -> Vec<String> {
        let placement = json!({"cluster": "a", "desired": 3, "ready": ready, "endpoint": address});
        let placement = serde_json::from_value(placement).expect("a placement");
        let endpoints = fleet.endpoints(Replicas { namespace: "ml", model: "llama", placement: &placement });
        let text = |EndpointConfig { endpoint, weight, .. }: EndpointConfig| {
            format!("{}{}:{} x{weight}", if endpoint.is_relayed { "~" } else { "" }, endpoint.host, endpoint.port)
        };
        endpoints.into_iter().map(text).collect()
    }

    const NODE_PORT: &str = "192.0.2.1:30001";
    const INSIDE: &str = "llama.ml.svc:80";

    #[test]
    fn how_many_are_ready_is_what_the_cluster_says_and_else_the_status() {
        let (clusters, relayed) = (clusters(&[("a", None)]), HashSet::from(["a".to_owned()]));
        let of = |pods: Option<Arc<Pods>>| PodsOf::from_iter(pods.map(|pods| ("a".to_owned(), pods)));
        for (ready, said, expected) in [
            (3, None, Some(3)),
            (3, Some(pods(&["10.1.0.1", "10.1.0.2"])), Some(2)),
            (3, Some(Arc::default()), None),
            (0, Some(pods(&["10.1.0.1"])), Some(1)),
            (0, None, None),
        ] {
            let known = of(said);
            let fleet = Fleet::from_outside(&clusters).with_pods(&known).through_api_servers(&relayed);
            for (address, there) in
                [(NODE_PORT, NODE_PORT), (INSIDE, "~llama.ml.svc:80"), ("in.example.com:80", "in.example.com:80")]
            {
                let expected: Vec<_> = expected.iter().map(|weight| format!("{there} x{weight}")).collect();
                assert_eq!(found(fleet, (ready, address)), expected, "{ready} in the status, {known:?}");
            }
        }
    }

    #[test]
    fn pods_are_reached_one_by_one_in_the_own_cluster_and_the_own_network() {
        let clusters = clusters(&[("a", Some("vpc")), ("peer", Some("vpc")), ("far", Some("other")), ("none", None)]);
        let known = PodsOf::from([("a".to_owned(), pods(&["10.1.0.1", "10.1.0.2"]))]);
        let (each, service) = (vec!["10.1.0.1:8080 x1", "10.1.0.2:8080 x1"], vec!["192.0.2.1:30001 x2"]);
        for (own, network, expected) in [
            (Some("a"), None, &each),
            (Some("peer"), None, &each),
            (Some("far"), None, &service),
            (Some("none"), None, &service),
            (Some("unknown"), None, &service),
            (None, Some("vpc"), &each),
            (None, Some("other"), &service),
            (None, None, &service),
        ] {
            let fleet = Fleet::from_outside(&clusters).within(own).in_network(network).with_pods(&known);
            assert_eq!(found(fleet, (3, NODE_PORT)), *expected, "in {own:?}, {network:?}");
        }
    }

    #[test]
    fn clusters_of_no_network_share_none() {
        let clusters = clusters(&[("a", None), ("none", None)]);
        let known = PodsOf::from([("a".to_owned(), pods(&["10.1.0.1"]))]);
        let fleet = Fleet::from_outside(&clusters).within(Some("none")).with_pods(&known);
        assert_eq!(found(fleet, (1, NODE_PORT)), ["192.0.2.1:30001 x1"]);
    }

    #[test]
    fn pods_that_are_not_known_are_reached_by_their_service() {
        let (clusters, none) = (clusters(&[("a", Some("vpc"))]), PodsOf::new());
        let fleet = Fleet::from_outside(&clusters).within(Some("a")).with_pods(&none);
        assert_eq!(found(fleet, (3, INSIDE)), ["llama.ml.svc:80 x3"]);
        // None at all is not the same as unknown.
        let gone = PodsOf::from([("a".to_owned(), Arc::default())]);
        assert_eq!(found(fleet.with_pods(&gone), (3, INSIDE)), Vec::<String>::new());
    }
}
