//! Custom resources and Secrets on a hub, as plain JSON: what a test writes and what it reads back.

use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use skyfleet_e2e::Cluster;

use crate::operator_process::NAMESPACE;
use crate::support::eventually;

/// A hub's API server.
#[derive(Clone)]
pub(crate) struct Hub(pub(crate) Client);

impl Hub {
    /// Creates an object of one of Skyfleet's kinds, in the namespace `default` where it has one.
    pub(crate) async fn create(&self, kind: &str, name: &str, spec: Value) {
        let manifest = json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        });
        let object: DynamicObject = serde_json::from_value(manifest).unwrap();
        self.api(kind).create(&PostParams::default(), &object).await.unwrap();
    }

    /// Creates or replaces a Secret.
    pub(crate) async fn set_secret(&self, namespace: &str, name: &str, data: Value) {
        let secrets = Api::<k8s_openapi::api::core::v1::Secret>::namespaced(self.0.clone(), namespace);
        let mut secret = serde_json::from_value(json!({"metadata": {"name": name}, "stringData": data})).unwrap();
        let params = PostParams::default();
        match secrets.get_opt(name).await.unwrap() {
            None => secrets.create(&params, &secret).await.unwrap(),
            Some(old) => {
                secret.metadata.resource_version = old.resource_version();
                secrets.replace(name, &params, &secret).await.unwrap()
            }
        };
    }

    /// Creates or replaces the Secret with a kubeconfig that a Cluster of this name has.
    pub(crate) async fn set_kubeconfig(&self, cluster: &str, kubeconfig: &Value) {
        let data = json!({"kubeconfig": kubeconfig.to_string()});
        self.set_secret(NAMESPACE, &format!("{cluster}-kubeconfig"), data).await;
    }

    /// Creates a Cluster that is reached by the kubeconfig in [`Hub::set_kubeconfig`]'s Secret.
    pub(crate) async fn create_cluster(&self, name: &str) {
        let connection = json!({"kubeconfigSecretRef": {"name": format!("{name}-kubeconfig")}});
        let spec = json!({"provider": "aws", "region": "eu-central-1", "connection": connection});
        self.create("Cluster", name, spec).await;
    }

    /// Gives the hub access to a cluster of the lab, as its administrator, and waits until it is a member.
    pub(crate) async fn join(&self, cluster: &Cluster) {
        let kubeconfig = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
        self.set_kubeconfig(cluster.name(), &serde_yaml::from_str(&kubeconfig).unwrap()).await;
        self.create_cluster(cluster.name()).await;
        self.wait("Cluster", cluster.name(), ["Ready", "True", "AsSpecified"]).await;
    }

    /// Waits until the condition of this type has this status and reason; the object's status then.
    pub(crate) async fn wait(&self, kind: &str, name: &str, [type_, status, reason]: [&str; 3]) -> Value {
        eventually(&format!("{kind} {name}: {type_}={status} {reason}"), || async {
            let found = self.status(kind, name).await;
            let condition = condition(&found, type_);
            let wanted = condition["status"] == status && condition["reason"] == reason;
            if wanted { Ok(found) } else { Err(found.to_string()) }
        })
        .await
    }

    /// The object's status.
    pub(crate) async fn status(&self, kind: &str, name: &str) -> Value {
        self.api(kind).get(name).await.unwrap().data["status"].clone()
    }

    pub(crate) fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("skyfleet.dev", "v1alpha1", kind));
        match kind {
            "Cluster" => Api::all_with(self.0.clone(), &resource),
            _ => Api::default_namespaced_with(self.0.clone(), &resource),
        }
    }
}

/// The condition of this type in a status; null when it is not there.
pub(crate) fn condition<'a>(status: &'a Value, type_: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == type_).unwrap_or(&Value::Null)
}
