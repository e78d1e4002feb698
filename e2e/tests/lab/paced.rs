//! The ModelDeployment of the server that streams at a set pace.

use serde_json::{Value, json};

/// What clients ask for, and the name of the ModelDeployment.
pub(crate) const MODEL: &str = "paced";

/// So many replicas, one cluster after the other, behind a Service of this type.
pub(crate) fn spec(image: &str, replicas: usize, service: &str) -> Value {
    json!({
        "model": {"name": MODEL, "image": {}},
        "runtime": {
            "preset": "custom", "image": image, "port": 8080,
            "probes": {"readiness": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1}},
            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        },
        "replicas": replicas,
        "placement": {"strategy": "RoundRobin"},
        "service": {"type": service, "port": 80},
    })
}
