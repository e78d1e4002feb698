//! What the gateway's user may do in the other member.

use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use skyfleet_e2e::Cluster;

/// Of the user, and of what lets it.
const USER: &str = "skyfleet-gateway";

/// A folder with a kubeconfig for the cluster, of a user who may use Services through its API server and nothing else.
pub(super) async fn narrow_kubeconfig(cluster: &Cluster, beside: &Path) -> PathBuf {
    let client = cluster.client().await.unwrap();
    let account = json!({"metadata": {"name": USER}});
    let accounts = Api::<ServiceAccount>::default_namespaced(client.clone());
    accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
    let rule = json!({
        "apiGroups": [""], "resources": ["services/proxy"], "verbs": ["get", "create", "update", "patch", "delete"],
    });
    let allowed = json!({"metadata": {"name": USER}, "rules": [rule]});
    let roles = Api::<Role>::default_namespaced(client.clone());
    roles.create(&PostParams::default(), &serde_json::from_value(allowed).unwrap()).await.unwrap();
    bind(&client).await;
    let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
    let token = accounts.create_token_request(USER, &PostParams::default(), &request).await.unwrap();
    let admin = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let mut kubeconfig: Value = serde_yaml::from_str(&admin).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": token.status.unwrap().token});
    let folder = beside.join("api-servers");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(cluster.name()), kubeconfig.to_string()).unwrap();
    folder
}

pub(super) async fn bind(client: &Client) {
    let group = "rbac.authorization.k8s.io";
    let binding = json!({
        "metadata": {"name": USER},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": USER},
        "subjects": [{"kind": "ServiceAccount", "name": USER, "namespace": "default"}],
    });
    let bindings = Api::<RoleBinding>::default_namespaced(client.clone());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
}

/// Lets the user read EndpointSlices, too.
pub(super) async fn allow_slices(cluster: &Cluster) {
    let client = cluster.client().await.unwrap();
    let name = format!("{USER}-slices");
    let slices = json!({
        "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"],
    });
    let role = json!({"metadata": {"name": name}, "rules": [slices]});
    let roles = Api::<ClusterRole>::all(client.clone());
    roles.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": USER, "namespace": "default"}],
    });
    let bindings = Api::<ClusterRoleBinding>::all(client);
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
}

/// Takes the right to use Services away.
pub(super) async fn unbind(client: Client) {
    Api::<RoleBinding>::default_namespaced(client).delete(USER, &DeleteParams::default()).await.unwrap();
}
