//! Four members and what a test sees of them.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use skyfleet_e2e::{Cluster, ClusterSpec, Lab};

use crate::custom_resources::install_definitions;
use crate::hub::Hub;
use crate::nodes::{IMAGE, web_image};
use crate::support::{eventually, kubectl, lab};

pub(super) const MEMBERS: [&str; 4] = ["aws-1", "azure-1", "gcp-1", "onprem-1"];
/// The ModelDeployment, and its Deployment in each member.
pub(super) const MODEL: &str = "web";
/// Its replicas: two in each member.
pub(super) const REPLICAS: i32 = 8;
/// Silence after which replicas are made elsewhere.
pub(super) const GRACE_SECONDS: u64 = 10;

pub(super) struct Members {
    pub(super) lab: Lab,
    pub(super) hub: Hub,
}

impl Members {
    /// A hub without a node, and four members with one, which have the web server's image.
    pub(super) async fn up(test: &str) -> Self {
        let clusters = std::iter::once(ClusterSpec::control_plane("hub")).chain(MEMBERS.map(ClusterSpec::with_pods));
        let lab = lab(test, clusters.collect()).await;
        let folder = tempfile::tempdir().unwrap();
        let archive = web_image(folder.path()).await;
        for member in MEMBERS {
            lab.load_image(member, &archive).await.unwrap();
        }
        let hub_cluster = lab.cluster("hub").unwrap();
        install_definitions(&hub_cluster.kubeconfig()).await;
        let hub = Hub(hub_cluster.client().await.unwrap());
        Self { lab, hub }
    }

    pub(super) fn hub_cluster(&self) -> &Cluster {
        self.lab.cluster("hub").unwrap()
    }

    /// Gives the hub access to each member, as its administrator.
    pub(super) async fn join(&self) {
        for member in MEMBERS {
            let text = std::fs::read_to_string(self.lab.cluster(member).unwrap().kubeconfig()).unwrap();
            self.hub.set_kubeconfig(member, &serde_yaml::from_str(&text).unwrap()).await;
            let connection = json!({"kubeconfigSecretRef": {"name": format!("{member}-kubeconfig")}});
            let provider = match member.split('-').next() {
                Some("onprem") | None => "onPremises",
                Some(provider) => provider,
            };
            let spec = json!({"provider": provider, "region": "r", "connection": connection});
            self.hub.create("Cluster", member, spec).await;
        }
        for member in MEMBERS {
            self.hub.wait("Cluster", member, ["Ready", "True", "AsSpecified"]).await;
        }
    }

    /// Two replicas of the web server in each member.
    pub(super) async fn serve(&self) {
        let spec = json!({
            "model": {"name": "web", "image": {}},
            "runtime": {
                "image": IMAGE, "port": 8001,
                "probes": {"readiness": {"httpGet": {"path": "/static/hello", "port": 8001}, "periodSeconds": 1}},
                "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
                "podTemplate": {"spec": {"terminationGracePeriodSeconds": 3}},
            },
            "replicas": REPLICAS,
            "service": {"type": "NodePort", "port": 80},
            "failover": {
                "gracePeriodSeconds": GRACE_SECONDS, "startupPatienceSeconds": 600,
                "failback": {"afterSeconds": 15},
            },
        });
        self.hub.create("ModelDeployment", MODEL, spec).await;
        self.wait_ready().await;
        assert_eq!(self.placements().await, shares([2, 2, 2, 2]));
    }

    /// Waits until all is as asked.
    pub(super) async fn wait_ready(&self) -> Value {
        self.hub.wait("ModelDeployment", MODEL, ["Ready", "True", "AsSpecified"]).await
    }

    /// Waits until the hub has decided this, with nothing kept for now.
    pub(super) async fn wait_for_placements(&self, wanted: &BTreeMap<String, (i64, i64)>) {
        eventually(&format!("placements {wanted:?}"), || async {
            let found = self.placements().await;
            if found == *wanted { Ok(()) } else { Err(self.status().await.to_string()) }
        })
        .await;
    }

    pub(super) async fn status(&self) -> Value {
        self.hub.status("ModelDeployment", MODEL).await
    }

    /// Desired and retained replicas by cluster, as the status says.
    pub(super) async fn placements(&self) -> BTreeMap<String, (i64, i64)> {
        let status = self.status().await;
        let placements = status["placements"].as_array().cloned().unwrap_or_default();
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        placements
            .iter()
            .map(|of| (of["cluster"].as_str().unwrap().to_owned(), (number(&of["desired"]), number(&of["retained"]))))
            .filter(|(_, numbers)| *numbers != (0, 0))
            .collect()
    }

    pub(super) async fn client(&self, member: &str) -> Client {
        self.lab.cluster(member).unwrap().client().await.unwrap()
    }

    /// The UIDs of a member's pods that are not ending.
    pub(super) async fn pods(&self, member: &str) -> Vec<String> {
        let pods =
            Api::<Pod>::default_namespaced(self.client(member).await).list(&ListParams::default()).await.unwrap();
        let staying = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let mut uids: Vec<String> = staying.filter_map(ResourceExt::uid).collect();
        uids.sort();
        uids
    }

    /// The Deployment in a member.
    pub(super) async fn deployment(&self, member: &str) -> Deployment {
        Api::<Deployment>::default_namespaced(self.client(member).await).get(MODEL).await.unwrap()
    }

    /// `kubectl patch` on the ModelDeployment.
    pub(super) async fn patch(&self, patch: &Value) {
        let patch = patch.to_string();
        let arguments = ["patch", "modeldeployment", MODEL, "--type", "merge", "-p", &patch];
        kubectl(&self.hub_cluster().kubeconfig(), &arguments).await.unwrap();
    }

    /// Deletes everything from the hub.
    pub(super) async fn dissolve(&self) {
        let arguments = ["delete", "modeldeployment,cluster", "--all", "--timeout=120s"];
        kubectl(&self.hub_cluster().kubeconfig(), &arguments).await.unwrap();
    }
}

/// Desired replicas of each member, none of them kept only for now.
pub(super) fn shares(desired: [i64; 4]) -> BTreeMap<String, (i64, i64)> {
    let all = MEMBERS.into_iter().zip(desired).filter(|(_, desired)| *desired > 0);
    all.map(|(member, desired)| (member.to_owned(), (desired, 0))).collect()
}
