//! What the other member's EndpointSlices say counts at once, and in one network its pods are reached by themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use skyfleet_e2e::Cluster;
use tokio::time::sleep;

use super::rights::unbind;
use super::{Load, OTHER, OWN, ask, endpoints};
use crate::gateway_process::Gateway;
use crate::hub::Hub;
use crate::paced::MODEL;
use crate::support::eventually;

/// The network of both members, once they are told.
const NETWORK: &str = "flat";

/// The weight of the other cluster's Service is how many pods are ready there, whatever the hub says.
pub(super) async fn assert_slices_count_at_once(gateway: &Gateway, other: &Cluster) {
    let load = Load::start(gateway);
    for replicas in [1, 0, 2] {
        scale(other, replicas).await;
        eventually(&format!("a weight of {replicas}"), || async {
            let routes = gateway.routes().await?;
            let all = routes[0]["backends"][0]["endpoints"].as_array().cloned().unwrap_or_default();
            let of_other = all.iter().filter(|one| one["cluster"] == OTHER && one["condition"] == "Serving");
            let weight: f64 = of_other.filter_map(|one| one["weight"].as_f64()).sum();
            if (weight - f64::from(replicas)).abs() < 0.01 { Ok(()) } else { Err(routes.to_string()) }
        })
        .await;
    }
    println!(
        "{} streams and none failed while the other cluster went down to no replica and came back",
        load.end().await
    );
}

async fn scale(cluster: &Cluster, replicas: u32) {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments(cluster).await.patch(MODEL, &PatchParams::default(), &patch).await.unwrap();
}

async fn deployments(cluster: &Cluster) -> Api<Deployment> {
    Api::default_namespaced(cluster.client().await.unwrap())
}

/// From one network on pods of the other cluster are reached as those of the own one. Clients see nothing of the switch, nor of all
/// of them being replaced.
pub(super) async fn assert_one_network_reaches_each_pod(hub: &Hub, gateway: &Gateway, other: &Cluster) {
    let load = Load::start(gateway);
    let patch = Patch::Merge(json!({"spec": {"network": NETWORK}}));
    for member in [OWN, OTHER] {
        hub.api("Cluster").patch(member, &PatchParams::default(), &patch).await.unwrap();
    }
    let before = pods_of_other(gateway, &BTreeSet::new()).await;
    let anew = json!({"spec": {"template": {"metadata": {"annotations": {"skyfleet.dev/test": "anew"}}}}});
    deployments(other).await.patch(MODEL, &PatchParams::default(), &Patch::Merge(anew)).await.unwrap();
    pods_of_other(gateway, &before).await;
    sleep(Duration::from_secs(2)).await;
    println!(
        "{} streams and none failed while pods were reached by themselves and all were replaced",
        load.end().await
    );
    eventually("nothing in flight", || async {
        let routes = gateway.routes().await?;
        let all = routes[0]["backends"][0]["endpoints"].as_array().cloned().unwrap_or_default();
        let busy: Vec<_> = all.into_iter().filter(|endpoint| endpoint["inFlight"] != 0).collect();
        if busy.is_empty() { Ok(()) } else { Err(format!("{busy:?}")) }
    })
    .await;
}

/// Waits until the other cluster is reached by two pods, none of them one of these.
async fn pods_of_other(gateway: &Gateway, before: &BTreeSet<String>) -> BTreeSet<String> {
    eventually("two other pods of the other cluster", || async {
        let found = endpoints(gateway).await?;
        let names: BTreeSet<_> = found.into_iter().filter(|(of, _)| of == OTHER).map(|(_, name)| name).collect();
        let are_pods = names.iter().all(|name| name.starts_with(MODEL));
        if are_pods && names.len() == 2 && names.is_disjoint(before) { Ok(names) } else { Err(format!("{names:?}")) }
    })
    .await
}

/// A gateway outside of all clusters, in their network: it needs nothing of the API server but to be told of pods.
pub(super) async fn assert_slices_alone_are_enough(
    hub: &Hub,
    hub_cluster: &Cluster,
    (other, folder): (&Cluster, &str),
) {
    unbind(other.client().await.unwrap()).await;
    let anywhere = Patch::Merge(json!({"spec": {"locality": {"residency": null}}}));
    hub.api("ModelRoute").patch(MODEL, &PatchParams::default(), &anywhere).await.unwrap();
    let arguments = ["--network", NETWORK, "--api-servers", folder];
    let gateway = Gateway::start_with(hub_cluster, &hub_cluster.kubeconfig(), &arguments).await;
    pods_of_other(&gateway, &BTreeSet::new()).await;
    assert_eq!(endpoints(&gateway).await.unwrap().len(), 2, "of its own accord no other cluster tells it of pods");
    ask(&gateway.address).await.unwrap();
}
