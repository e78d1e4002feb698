//! Every kernel-side name and address of a cluster follows from one small number, unique on the machine.
//!
//! 198.18.0.0/15 is set aside for tests between networks (RFC 2544), so no office, VPN or cloud network routes it.

use std::net::Ipv4Addr;

/// How many clusters one machine can run at once, over all its labs.
pub(crate) const CAPACITY: u8 = 128;

/// The port of every cluster's API server; each has a network namespace of its own.
pub(crate) const API_SERVER_PORT: u16 = 6443;

/// The network of the nodes that are containers, for [`Index::container`]; the machine has its first address.
pub(crate) const CONTAINER_NETWORK: &str = "198.19.128.0/24";
/// The machine's address in it.
pub(crate) const CONTAINER_GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 19, 128, 1);

/// The cgroup above all clusters'.
pub(crate) const COMMON_CGROUP: &str = "skyfleet-lab";

/// The number of a cluster on this machine, below [`CAPACITY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Index(pub(crate) u8);

impl Index {
    /// The node's address: API server, NodePorts, kubelet and whatever else runs in the cluster's namespace.
    pub(crate) fn node(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.0, 2)
    }

    /// The node's address where it is a container, in a network that all such nodes share.
    pub(crate) fn container(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 19, 128, 2 + self.0)
    }

    /// The machine's end of the cluster's link, the cluster's default gateway.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.0, 1)
    }

    /// The pods' network, routed between the clusters without address translation.
    pub(crate) fn pods(self) -> String {
        format!("198.18.{}.0/24", u16::from(self.0) + u16::from(CAPACITY))
    }

    /// The Services' network, known inside the cluster only.
    pub(crate) fn services(self) -> String {
        format!("198.19.{}.0/24", self.0)
    }

    /// The ClusterIP of the Service `kubernetes`: the first of the range.
    pub(crate) fn kubernetes_service(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 19, self.0, 1)
    }

    /// The network namespace.
    pub(crate) fn namespace(self) -> String {
        format!("skyfleet-{}", self.0)
    }

    /// The machine's end of the link (at most 15 characters).
    pub(crate) fn link(self) -> String {
        format!("skyfleet{}", self.0)
    }

    /// The cgroup, relative to a hierarchy's root.
    pub(crate) fn cgroup(self) -> String {
        format!("{COMMON_CGROUP}/{}", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_clusters_share_an_address_or_a_name() {
        let mut seen = BTreeSet::new();
        for index in (0..CAPACITY).map(Index) {
            let link_network = format!("{}/24", Ipv4Addr::from(u32::from(index.node()) & 0xffff_ff00));
            let container = index.container().to_string();
            let networks = [link_network, index.pods(), index.services(), container];
            for name in networks.into_iter().chain([index.namespace(), index.link(), index.cgroup()]) {
                assert!(seen.insert(name.clone()), "{name} twice");
            }
        }
    }

    #[test]
    fn no_services_network_has_a_containers_address() {
        let (network, length) = CONTAINER_NETWORK.split_once('/').unwrap();
        assert_eq!(length, "24");
        for index in (0..CAPACITY).map(Index) {
            assert!(index.container().to_string().starts_with(network.trim_end_matches('0')));
            assert_ne!(index.services(), CONTAINER_NETWORK);
        }
    }

    #[test]
    fn everything_lies_in_the_test_network_and_fits_the_kernel() {
        for index in (0..CAPACITY).map(Index) {
            for network in [index.pods(), index.services(), index.node().to_string(), index.gateway().to_string()] {
                assert!(network.starts_with("198.18.") || network.starts_with("198.19."));
                let address: Ipv4Addr = network.split('/').next().unwrap().parse().unwrap();
                assert!(address.octets()[1] == 18 || address.octets()[1] == 19);
            }
            assert!(index.link().len() <= 15);
        }
    }
}
