//! Gives the hub access to the members, the way `examples/member-access.yaml` tells an administrator to.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::manifests::example;
use super::operator::OPERATOR_NAMESPACE;
use super::{Fleet, HUB, MEMBERS, NAMESPACE};
use crate::LabError;

/// The member's controller manager fills the token in within a moment.
const TOKEN_LIMIT: Duration = Duration::from_mins(2);

/// Joins every member.
pub(super) async fn join(fleet: &Fleet) -> Result<(), LabError> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}});
    fleet.apply(HUB, &namespace.to_string()).await?;
    futures::future::try_join_all(MEMBERS.map(|member| join_one(fleet, member))).await?;
    for cloud in &fleet.stores {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("{}-credentials", cloud.bucket), "namespace": NAMESPACE},
            "stringData": {"accessKeyId": cloud.store.access_key_id, "secretAccessKey": cloud.store.secret_access_key},
        });
        fleet.apply(HUB, &secret.to_string()).await?;
    }
    Ok(())
}

async fn join_one(fleet: &Fleet, member: &str) -> Result<(), LabError> {
    fleet.apply(member, &example("member-access.yaml")?).await?;
    let started = Instant::now();
    let secret = loop {
        let arguments = ["get", "secret", "skyfleet-hub-token", "-n", OPERATOR_NAMESPACE, "-o", "json"];
        let secret: serde_json::Value = serde_json::from_str(&fleet.kubectl(member, &arguments, "").await?)
            .map_err(|error| LabError::Missing(error.to_string()))?;
        if secret["data"]["token"].is_string() {
            break secret;
        }
        if started.elapsed() > TOKEN_LIMIT {
            return Err(LabError::Missing(format!("{member} gave its ServiceAccount skyfleet-hub no token")));
        }
        sleep(Duration::from_millis(250)).await;
    };
    let server = fleet.lab.cluster(member)?.server();
    // The Secret carries the token base64-encoded, a kubeconfig plain; `data` and `tokenFile` aside, nothing else is needed.
    let token = String::from_utf8(decode(secret["data"]["token"].as_str().unwrap_or_default())?)
        .map_err(|error| LabError::Missing(error.to_string()))?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": member,
        "clusters": [{"name": member, "cluster": {"server": server, "certificate-authority-data": secret["data"]["ca.crt"]}}],
        "users": [{"name": "skyfleet-hub", "user": {"token": token}}],
        "contexts": [{"name": member, "context": {"cluster": member, "user": "skyfleet-hub"}}],
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": format!("{member}-kubeconfig"), "namespace": OPERATOR_NAMESPACE},
        "stringData": {"kubeconfig": kubeconfig.to_string()},
    });
    fleet.apply(HUB, &secret.to_string()).await
}

fn decode(base64: &str) -> Result<Vec<u8>, LabError> {
    let bytes: k8s_openapi::ByteString =
        serde_json::from_value(json!(base64)).map_err(|error| LabError::Missing(error.to_string()))?;
    Ok(bytes.0)
}
