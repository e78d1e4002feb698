//! What the API server fills in.

use kube::Client;
use serde_json::{Value, json};

use super::create;

/// Defaults that the API server fills into the least that can be said of each kind.
const DEFAULTS: [(&str, &str, &str); 47] = [
    ("bucket", "/prefix", r#""""#),
    ("cluster", "/connection/kubeconfigSecretRef/key", r#""kubeconfig""#),
    ("cluster", "/capacityPolicy", r#""Measured""#),
    ("datasetreplica", "/source/prefix", r#""""#),
    ("datasetreplica", "/targets/0/prefix", r#""""#),
    ("datasetreplica", "/mode", r#""Mirror""#),
    ("datasetreplica", "/schedule", r#"{"interval":"5m"}"#),
    ("datasetreplica", "/suspend", "false"),
    ("datasetreplica", "/deletionPolicy", r#""Retain""#),
    ("datasetreplica", "/maxDeletionPercent", "10"),
    ("datasetreplica", "/verification", r#""Checksum""#),
    ("datasetreplica", "/execution", r#""Auto""#),
    ("datasetreplica", "/transform/deadLetters/maxPercent", "0"),
    ("modeldeployment", "/model/mountPath", r#""/models""#),
    ("modeldeployment", "/runtime/preset", r#""custom""#),
    ("modeldeployment", "/runtime/metrics/path", r#""/metrics""#),
    ("modeldeployment", "/replicas", "1"),
    ("modeldeployment", "/placement/strategy", r#""RoundRobin""#),
    ("modeldeployment", "/placement/dataLocality", r#""Required""#),
    ("modeldeployment", "/placement/capacityType", r#""Any""#),
    ("modeldeployment", "/placement/tolerations/0/operator", r#""Equal""#),
    ("modeldeployment", "/placement/gang/groupSize", "1"),
    ("modeldeployment", "/placement/gang/allOrNothing", "false"),
    ("modeldeployment", "/service", r#"{"type":"ClusterIP"}"#),
    (
        "modeldeployment",
        "/failover",
        r#"{"policy":"Automatic","gracePeriodSeconds":300,"startupPatienceSeconds":1800,
            "failback":{"policy":"Automatic","afterSeconds":600}}"#,
    ),
    ("modeldeployment", "/rollout/soakSeconds", "30"),
    ("modeldeployment", "/rollout/progressDeadlineSeconds", "1800"),
    ("modeldeployment", "/rollout/onFailure", r#""Rollback""#),
    ("modeldeployment", "/rollout/paused", "false"),
    ("modeldeployment", "/rollout/revisionHistoryLimit", "10"),
    ("modeldeployment", "/autoscaling/scaleDownSeconds", "300"),
    ("modeldeployment", "/autoscaling/idleSeconds", "900"),
    ("modelroute", "/algorithm", r#""LeastResponseTime""#),
    ("modelroute", "/locality", r#"{"policy":"PreferLocal","spillOverPercent":80}"#),
    ("modelroute", "/affinity/promptPrefix/bytes", "1024"),
    ("modelroute", "/affinity/boundPercent", "125"),
    ("modelroute", "/timeouts", r#"{"connectMilliseconds":2000,"firstByteSeconds":300,"idleSeconds":60}"#),
    ("modelroute", "/retries", r#"{"attempts":2,"budgetPercent":20,"onFirstFrameError":true}"#),
    ("modelroute", "/hedging/budgetPercent", "5"),
    ("modelroute", "/outlierEjection", r#"{"consecutiveErrors":5,"baseEjectionSeconds":30,"maxPercent":50}"#),
    (
        "modelroute",
        "/healthCheck",
        r#"{"intervalSeconds":5,"timeoutSeconds":2,"healthyThreshold":2,"unhealthyThreshold":3}"#,
    ),
    ("modelroute", "/slowStartSeconds", "0"),
    ("modelroute", "/limits/requestBytes", r#""16Mi""#),
    ("modelroute", "/limits/queue/timeoutSeconds", "30"),
    ("modelroute", "/protocol", r#""HTTP""#),
    ("modelroute", "/drivers", r#"["Gateway"]"#),
    ("modelroute", "/suspend", "false"),
];

pub(super) async fn are_filled_in_and_nothing_else(client: &Client) {
    let bucket = json!({"provider": "s3", "name": "models-aws", "credentialsSecretRef": {"name": "key"}});
    let cluster = json!({"provider": "aws", "region": "r", "connection": {"kubeconfigSecretRef": {"name": "k"}}});
    let mask = json!({"columns": ["mail"], "method": "Hash", "keySecretRef": {"name": "key", "key": "mask"}});
    let dataset = json!({
        "source": {"bucketRef": {"name": "a"}}, "targets": [{"bucketRef": {"name": "b"}}],
        "transform": {"steps": [{"mask": mask}], "deadLetters": {}},
    });
    let model = json!({
        "model": {"name": "m", "image": {}},
        "runtime": {"image": "i", "port": 80, "metrics": {"inFlight": "busy"}},
        "placement": {"tolerations": [{"key": "team"}], "gang": {}},
        "rollout": {},
        "autoscaling": {"minReplicas": 0, "maxReplicas": 1, "targetInFlight": 1},
    });
    let route = json!({
        "models": ["m"], "backends": [{"modelDeploymentRef": {"name": "m"}}],
        "affinity": {"promptPrefix": {}}, "hedging": {"afterMilliseconds": 500}, "healthCheck": {},
        "limits": {"queue": {"maxRequests": 1}},
    });
    for (kind, spec) in [
        ("Bucket", bucket),
        ("Cluster", cluster),
        ("DatasetReplica", dataset),
        ("ModelDeployment", model),
        ("ModelRoute", route),
    ] {
        let manifest = json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": kind, "metadata": {"name": "least"}, "spec": spec.clone(),
        });
        let mut wanted = spec;
        for (_, pointer, default) in DEFAULTS.iter().filter(|(of, ..)| *of == kind.to_lowercase()) {
            insert(&mut wanted, pointer, serde_json::from_str(default).unwrap());
        }
        assert_eq!(create(client, &manifest, true).await.unwrap()["spec"], wanted, "{kind}");
    }
}

/// Puts a value where the pointer says, in objects that are made on the way.
fn insert(value: &mut Value, pointer: &str, new: Value) {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    if value.pointer(parent).is_none() {
        insert(value, parent, json!({}));
    }
    value.pointer_mut(parent).unwrap()[field] = new;
}
