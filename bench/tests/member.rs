//! A simulated member as the operator's own client library sees it, over TLS.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use kube::{Client, Config, ResourceExt};
use serde_json::{from_value, json};
use skyfleet_bench::member::{Arrival, Authority, Behaviour, SimulatedMember, TOKEN};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);

struct Fixture {
    member: SimulatedMember,
    authority: Authority,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

async fn fixture() -> Fixture {
    let authority = Authority::new().unwrap();
    let arrivals = Arc::<Mutex<Vec<Arrival>>>::default();
    let seen = arrivals.clone();
    let behaviour = Behaviour { nodes: 3, ready_after: Duration::from_millis(50) };
    let observer = Arc::new(move |arrival| seen.lock().unwrap().push(arrival));
    let member = SimulatedMember::start("one", &authority, behaviour, observer).await.unwrap();
    Fixture { member, authority, arrivals }
}

async fn client(fixture: &Fixture, token: &str) -> Client {
    let authority = ByteString(fixture.authority.pem().as_bytes().to_vec());
    let kubeconfig: Kubeconfig = from_value(json!({
        "current-context": "m",
        "clusters": [{"name": "m", "cluster": {
            "server": fixture.member.address(), "certificate-authority-data": authority,
        }}],
        "users": [{"name": "m", "user": {"token": token}}],
        "contexts": [{"name": "m", "context": {"cluster": "m", "user": "m"}}],
    }))
    .unwrap();
    Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()).unwrap()
}

fn deployment(replicas: i32) -> Deployment {
    from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
            },
        },
    }))
    .unwrap()
}

async fn apply(api: &Api<Deployment>, replicas: i32) -> Deployment {
    api.patch("web", &PatchParams::apply("test").force(), &Patch::Apply(deployment(replicas))).await.unwrap()
}

/// Watches until a Deployment is seen that is so.
async fn watch_until(api: &Api<Deployment>, wanted: impl Fn(&Event<Deployment>) -> bool) {
    let config = watcher::Config::default().labels("app=web").timeout(20);
    let mut events = std::pin::pin!(watcher(api.clone(), config));
    let seen = async {
        while let Some(event) = events.try_next().await.unwrap() {
            if wanted(&event) {
                return;
            }
        }
        panic!("the watch ended");
    };
    timeout(LIMIT, seen).await.expect("in time");
}

fn ready(deployment: &Deployment) -> Option<i32> {
    deployment.status.as_ref()?.ready_replicas
}

#[tokio::test]
async fn a_deployment_is_applied_watched_and_deleted() {
    let fixture = fixture().await;
    let client = client(&fixture, TOKEN).await;
    let api = Api::<Deployment>::namespaced(client.clone(), "default");
    let first = apply(&api, 2).await;
    assert_eq!((first.metadata.generation, first.spec.as_ref().unwrap().replicas), (Some(1), Some(2)));
    watch_until(
        &api,
        |event| matches!(event, Event::InitApply(found) | Event::Apply(found) if ready(found) == Some(2)),
    )
    .await;

    let pods = Api::<Pod>::all(client.clone());
    let found = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
    assert_eq!(found.items.len(), 2);
    assert!(found.iter().all(|pod| pod.spec.as_ref().unwrap().node_name.is_some()));

    assert_eq!(apply(&api, 2).await.metadata.generation, Some(1), "the same again changes nothing");
    assert_eq!(apply(&api, 1).await.metadata.generation, Some(2));
    watch_until(
        &api,
        |event| matches!(event, Event::InitApply(found) | Event::Apply(found) if ready(found) == Some(1)),
    )
    .await;
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 1);

    let mut events = std::pin::pin!(watcher(api.clone(), watcher::Config::default()));
    while !matches!(events.try_next().await.unwrap().unwrap(), Event::InitDone) {}
    api.delete("web", &DeleteParams::foreground()).await.unwrap();
    let gone = async { while !matches!(events.try_next().await.unwrap().unwrap(), Event::Delete(_)) {} };
    timeout(LIMIT, gone).await.expect("in time");
    assert!(api.get_opt("web").await.unwrap().is_none());
    assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());

    let replicas: Vec<i64> = fixture.arrivals.lock().unwrap().iter().map(|arrival| arrival.replicas).collect();
    assert_eq!(replicas, [2, 1, 0]);
}

#[tokio::test]
async fn lists_pages_metadata_and_refusals_are_an_api_servers() {
    let fixture = fixture().await;
    let client = client(&fixture, TOKEN).await;
    assert!(client.apiserver_version().await.unwrap().git_version.starts_with("v1."));
    let nodes = Api::<Node>::all(client.clone());
    assert_eq!(nodes.list(&ListParams::default()).await.unwrap().items.len(), 3);
    let page = nodes.list_metadata(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(page.items.len(), 2);
    let rest = ListParams::default().continue_token(&page.metadata.continue_.unwrap());
    assert_eq!(nodes.list_metadata(&rest).await.unwrap().items[0].name_any(), "node-002");
    assert!(Api::<ConfigMap>::all(client.clone()).list(&ListParams::default()).await.unwrap().items.is_empty());

    let services = Api::<Service>::namespaced(client.clone(), "there");
    let service: Service = from_value(json!({
        "metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]},
    }))
    .unwrap();
    let refused = services.create(&PostParams::default(), &service).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 404), "no namespace: {refused}");
    let namespace: Namespace = from_value(json!({"metadata": {"name": "there"}})).unwrap();
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let made = services.create(&PostParams::default(), &service).await.unwrap();
    assert!(made.spec.unwrap().ports.unwrap()[0].node_port.is_some());
    let again = services.create(&PostParams::default(), &service).await.unwrap_err();
    assert!(matches!(&again, kube::Error::Api(status) if status.code == 409), "{again}");

    let stranger = self::client(&fixture, "other").await;
    let refused = stranger.apiserver_version().await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 401), "{refused}");
}

#[tokio::test]
async fn a_black_hole_answers_nothing_until_it_is_none() {
    let fixture = fixture().await;
    let known = client(&fixture, TOKEN).await;
    known.apiserver_version().await.unwrap();
    fixture.member.set_black_hole(true);
    let new = client(&fixture, TOKEN).await;
    for client in [&known, &new] {
        assert!(timeout(Duration::from_millis(300), client.apiserver_version()).await.is_err(), "it answered");
    }
    fixture.member.set_black_hole(false);
    timeout(LIMIT, known.apiserver_version()).await.expect("in time").unwrap();
}
