//! What kind is told about a cluster, and what the lab makes of kind's kubeconfig.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::json;
use serde_yaml::Value;

use crate::control_plane::path;
use crate::error::LabError;

/// The node's image, as the notes of kind v0.31.0 name it; newer releases of kind run it too. It has the minor version of
/// [`crate::tools::KUBERNETES_VERSION`]: kind publishes some of the patch versions only.
const NODE_IMAGE: &str = "kindest/node:v1.34.3@sha256:08497ee19eace7b4b5348db5c6a1591d7752b164530a36f855cb0f2bdcbadd48";

/// Where node and API server have the folder with the audit policy and the audit log.
const AUDIT: &str = "/etc/kubernetes/audit";

/// kind's configuration of a cluster of one node, in its format v1alpha4. `audit` is the folder of this machine that has
/// `policy.yaml` and gets `audit.log`; `address` is where the API server is reached, beside the loopback address.
pub(super) fn cluster(audit: &Path, address: Ipv4Addr) -> Result<String, LabError> {
    // Without an apiVersion kind fits the patch to the version that it writes. A list replaces kind's own, which has the
    // first two names.
    let patch = json!({
        "kind": "ClusterConfiguration",
        "apiServer": {
            "certSANs": ["localhost", "127.0.0.1", address],
            "extraArgs": {
                "audit-policy-file": format!("{AUDIT}/policy.yaml"),
                "audit-log-path": format!("{AUDIT}/audit.log"),
                "audit-log-maxsize": "200",
                "audit-log-maxbackup": "1",
            },
            "extraVolumes": [{"name": "audit", "hostPath": AUDIT, "mountPath": AUDIT, "pathType": "Directory"}],
        },
    });
    let cluster = json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{
            "role": "control-plane",
            "image": NODE_IMAGE,
            "extraMounts": [{"hostPath": path(audit), "containerPath": AUDIT}],
            "kubeadmConfigPatches": [yaml(&patch)?],
        }],
    });
    yaml(&cluster)
}

/// The kubeconfig with another server, that is reached from this machine and from the pods of every cluster alike.
pub(super) fn with_server(kubeconfig: &str, server: &str) -> Result<String, LabError> {
    let damaged = |reason: String| LabError::Missing(format!("kind gave no kubeconfig: {reason}"));
    let mut value: Value = serde_yaml::from_str(kubeconfig).map_err(|error| damaged(error.to_string()))?;
    let cluster = value.get_mut("clusters").and_then(|clusters| clusters.get_mut(0)?.get_mut("cluster"));
    let found = cluster.and_then(|cluster| cluster.get_mut("server"));
    *found.ok_or_else(|| damaged("there is no cluster in it".to_owned()))? = server.into();
    yaml(&value)
}

fn yaml(value: &impl serde::Serialize) -> Result<String, LabError> {
    serde_yaml::to_string(value).map_err(|error| LabError::Missing(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tools::KUBERNETES_VERSION;

    #[test]
    fn the_audit_log_is_the_hosts_and_the_certificate_has_the_address() {
        let config = cluster(Path::new("/labs/demo/hub/audit"), Ipv4Addr::new(198, 19, 128, 2)).unwrap();
        let expected = format!(
            r"apiVersion: kind.x-k8s.io/v1alpha4
kind: Cluster
nodes:
- extraMounts:
  - containerPath: /etc/kubernetes/audit
    hostPath: /labs/demo/hub/audit
  image: {NODE_IMAGE}
  kubeadmConfigPatches:
  - |
    apiServer:
      certSANs:
      - localhost
      - 127.0.0.1
      - 198.19.128.2
      extraArgs:
        audit-log-maxbackup: '1'
        audit-log-maxsize: '200'
        audit-log-path: /etc/kubernetes/audit/audit.log
        audit-policy-file: /etc/kubernetes/audit/policy.yaml
      extraVolumes:
      - hostPath: /etc/kubernetes/audit
        mountPath: /etc/kubernetes/audit
        name: audit
        pathType: Directory
    kind: ClusterConfiguration
  role: control-plane
"
        );
        assert_eq!(config, expected);
    }

    #[test]
    fn the_node_has_the_minor_version_of_the_other_backend() {
        let minor = KUBERNETES_VERSION.rsplit_once('.').unwrap().0;
        assert!(NODE_IMAGE.starts_with(&format!("kindest/node:{minor}.")), "{NODE_IMAGE}");
    }

    #[test]
    fn only_the_server_of_a_kubeconfig_changes() {
        let from_kind = "\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: QQ==
    server: https://127.0.0.1:40123
  name: kind-skyfleet-hub-0
users:
- name: kind-skyfleet-hub-0
  user:
    client-key-data: Qg==
";
        let changed = with_server(from_kind, "https://198.19.128.2:6443").unwrap();
        assert_eq!(changed, from_kind.replace("https://127.0.0.1:40123", "https://198.19.128.2:6443"));
        for damaged in ["", "clusters: []", "{"] {
            assert!(with_server(damaged, "https://198.19.128.2:6443").is_err(), "{damaged}");
        }
    }
}
