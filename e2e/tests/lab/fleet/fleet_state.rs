//! Looks at a fleet through kubectl, as a user would.

use std::collections::BTreeMap;

use serde_json::Value;
use skyfleet_e2e::fleet::{Fleet, HUB, MEMBERS, NAMESPACE};

use crate::support::eventually;

/// What kubectl gives as JSON.
pub(super) async fn json(fleet: &Fleet, cluster: &str, arguments: &[&str]) -> Value {
    let output = fleet.kubectl(cluster, &[arguments, &["-o", "json"]].concat(), "").await.unwrap();
    serde_json::from_str(&output).unwrap()
}

/// A condition of an object on the hub; null while it is not there.
pub(super) async fn condition(fleet: &Fleet, kind: &str, name: &str, type_: &str) -> Result<Value, String> {
    let object = fleet.kubectl(HUB, &["get", kind, name, "-n", NAMESPACE, "-o", "json"], "").await;
    let object: Value = serde_json::from_str(&object.map_err(|error| error.to_string())?).unwrap();
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition["type"] == type_).unwrap_or_default();
    if found["observedGeneration"] == object["metadata"]["generation"] { Ok(found) } else { Ok(Value::Null) }
}

/// Waits until an object on the hub is Ready in its present generation.
pub(super) async fn wait_ready(fleet: &Fleet, kind: &str, name: &str) {
    eventually(&format!("{kind}/{name} Ready"), || async {
        let ready = condition(fleet, kind, name, "Ready").await?;
        if ready["status"] == "True" { Ok(()) } else { Err(ready.to_string()) }
    })
    .await;
}

/// Changes the example's ModelDeployment.
pub(super) async fn patch(fleet: &Fleet, patch: &Value) {
    let patch = patch.to_string();
    fleet.kubectl(HUB, &["patch", "modeldeployment", "minilm", "--type", "merge", "-p", &patch], "").await.unwrap();
}

/// Waits until each member, in the order of [`MEMBERS`], has so many replicas, all ready.
pub(super) async fn wait_for_shares(fleet: &Fleet, shares: [i64; 3]) {
    let wanted: BTreeMap<_, _> =
        MEMBERS.iter().zip(shares).map(|(member, share)| ((*member).to_owned(), (share, share))).collect();
    eventually(&format!("replicas {wanted:?}"), || async {
        let found = placements(fleet).await;
        if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// The example's replicas by cluster: desired and ready, as the hub's status says.
pub(super) async fn placements(fleet: &Fleet) -> BTreeMap<String, (i64, i64)> {
    let model = json(fleet, HUB, &["get", "modeldeployment", "minilm", "-n", NAMESPACE]).await;
    let placements = model["status"]["placements"].as_array().cloned().unwrap_or_default();
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    placements
        .iter()
        .map(|of| (of["cluster"].as_str().unwrap().to_owned(), (number(&of["desired"]), number(&of["ready"]))))
        .collect()
}

/// The example's Deployment in a member.
pub(super) async fn deployment(fleet: &Fleet, member: &str) -> Option<Value> {
    let arguments = ["get", "deployment", "minilm", "-n", NAMESPACE, "--ignore-not-found", "-o", "json"];
    let output = fleet.kubectl(member, &arguments, "").await.unwrap();
    (!output.trim().is_empty()).then(|| serde_json::from_str(&output).unwrap())
}

/// A Ready ModelDeployment means that every member runs exactly what is asked for now, not what was asked for before.
pub(super) async fn assert_rolled_out(fleet: &Fleet, argument: &str) {
    for member in MEMBERS {
        let found = deployment(fleet, member).await.unwrap();
        let (spec, status) = (&found["spec"], &found["status"]);
        assert_eq!(spec["template"]["spec"]["containers"][0]["args"][3], argument, "{member}: {spec}");
        assert_eq!(status["observedGeneration"], found["metadata"]["generation"], "{member}: {status}");
        for count in ["replicas", "updatedReplicas", "readyReplicas"] {
            assert_eq!(status[count], spec["replicas"], "{member}: {count} in {status}");
        }
    }
}

/// The member's pods of the example by name, but for those that are ending: UID and restarts of each.
pub(super) async fn pods(fleet: &Fleet, member: &str) -> BTreeMap<String, (String, i64)> {
    let pods = json(fleet, member, &["get", "pods", "-n", NAMESPACE]).await;
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap_or_default();
    pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| {
            let text = |field: &str| pod["metadata"][field].as_str().unwrap().to_owned();
            (text("name"), (text("uid"), restarts(pod)))
        })
        .collect()
}

/// Nothing that Skyfleet made is left in a member.
pub(super) async fn nothing_is_left(fleet: &Fleet, member: &str) -> Result<(), String> {
    let kinds = "deployments,replicasets,pods,services,secrets,configmaps,endpointslices";
    let arguments = ["get", kinds, "-A", "-l", "app.kubernetes.io/managed-by=skyfleet", "--no-headers"];
    let left = fleet.kubectl(member, &arguments, "").await.map_err(|error| error.to_string())?;
    if left.trim().is_empty() { Ok(()) } else { Err(left) }
}
