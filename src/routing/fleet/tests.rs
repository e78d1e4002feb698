use serde_json::json;

use super::*;

/// Clusters, each with its network.
fn clusters(all: &[(&str, Option<&str>)]) -> Clusters {
    let cluster = |(name, network): &(&str, Option<&str>)| {
        let spec = json!({"provider": "aws", "region": "r", "connection": {}, "network": network});
        let all =
            json!({"apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name}, "spec": spec});
        ((*name).to_owned(), serde_json::from_value(all).expect("a Cluster"))
    };
    all.iter().map(cluster).collect()
}

/// Pods of the model's Service with these addresses.
fn pods(addresses: &[&str]) -> KnownPods {
    let endpoints: Vec<_> = addresses.iter().map(|address| json!({"addresses": [address]})).collect();
    let slice = serde_json::from_value(json!({
        "metadata": {"namespace": "ml", "labels": {"kubernetes.io/service-name": "llama"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": endpoints,
    }));
    KnownPods { pods: Arc::new(Pods::new([&slice.expect("an EndpointSlice")])), is_outdated: false }
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
    let of = |pods: Option<KnownPods>| PodsOf::from_iter(pods.map(|pods| ("a".to_owned(), pods)));
    for (ready, said, expected) in [
        (3, None, Some(3)),
        (3, Some(pods(&["10.1.0.1", "10.1.0.2"])), Some(2)),
        (3, Some(pods(&[])), None),
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
    let gone = PodsOf::from([("a".to_owned(), pods(&[]))]);
    assert_eq!(found(fleet.with_pods(&gone), (3, INSIDE)), Vec::<String>::new());
}

#[test]
fn outdated_pods_are_better_than_a_service_behind_an_api_server_that_is_lost() {
    let (clusters, relayed) = (clusters(&[("a", Some("vpc"))]), HashSet::from(["a".to_owned()]));
    let outdated = KnownPods { is_outdated: true, ..pods(&["10.1.0.1"]) };
    let known = PodsOf::from([("a".to_owned(), outdated)]);
    let fleet = Fleet::from_outside(&clusters).with_pods(&known).through_api_servers(&relayed);
    for (fleet, address, expected) in [
        (fleet.in_network(Some("vpc")), INSIDE, "10.1.0.1:8080 x1"),
        (fleet.in_network(Some("vpc")), NODE_PORT, "192.0.2.1:30001 x3"),
        (fleet.within(Some("a")), INSIDE, "llama.ml.svc:80 x3"),
        (fleet, NODE_PORT, "192.0.2.1:30001 x3"),
        (fleet, INSIDE, "~llama.ml.svc:80 x3"),
    ] {
        assert_eq!(found(fleet, (3, address)), [expected], "{address}");
    }
}
