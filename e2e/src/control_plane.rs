//! etcd, API server, controller manager and scheduler of a cluster.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{GetParams, Request};

use crate::addresses::API_SERVER_PORT;
use crate::certificates::FRONT_PROXY;
use crate::cluster::Cluster;
use crate::error::LabError;
use crate::state::write_atomically;

/// In the order they start.
pub(crate) const COMPONENTS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// Generous: a loaded machine is slow, not broken.
const LIMIT: Duration = Duration::from_mins(4);

/// Only writes, once each, when they have been answered: what a test counts.
pub(crate) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
";

/// Starts what does not run and returns when the API server answers and the controllers have made their first objects.
pub(crate) async fn start(cluster: &Cluster, binaries: &Path) -> Result<(), LabError> {
    write_atomically(&cluster.folder.join("audit-policy.yaml"), AUDIT_POLICY.as_bytes())?;
    cluster.spawn("etcd", Command::new(binaries.join("etcd")).args(etcd(cluster)))?;
    cluster.spawn("kube-apiserver", Command::new(binaries.join("kube-apiserver")).args(api_server(cluster)))?;
    let client = cluster.client().await?;
    cluster
        .wait_for("the API server", LIMIT, &COMPONENTS[..2], || async {
            let request = Request::new("").get("readyz", &GetParams::default()).map_err(|error| error.to_string())?;
            client.request_text(request).await.map(|_| ()).map_err(|error| error.to_string())
        })
        .await?;
    // Both give up when there is no API server, so they start after it.
    cluster.spawn(
        "kube-controller-manager",
        Command::new(binaries.join("kube-controller-manager")).args(controller_manager(cluster)),
    )?;
    cluster.spawn("kube-scheduler", Command::new(binaries.join("kube-scheduler")).args(scheduler(cluster)))?;
    // Pods are refused until their namespace has its service account.
    cluster
        .wait_for("the controller manager", LIMIT, &COMPONENTS, || async {
            let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
            accounts.get("default").await.map(|_| ()).map_err(|error| error.to_string())
        })
        .await
}

/// Ends all four at once, as a machine that loses power does.
pub(crate) async fn stop(cluster: &Cluster) -> Result<(), LabError> {
    for component in COMPONENTS.iter().rev() {
        cluster.cgroup.remove(Some(component)).await?;
    }
    Ok(())
}

fn etcd(cluster: &Cluster) -> Vec<String> {
    flags(&[
        ("data-dir", path(cluster.folder.join("etcd"))),
        ("listen-client-urls", "http://127.0.0.1:2379".into()),
        ("advertise-client-urls", "http://127.0.0.1:2379".into()),
        ("listen-peer-urls", "http://127.0.0.1:2380".into()),
        // A lab that the machine's crash takes with it is made anew; tests should not wait for disks.
        ("unsafe-no-fsync", "true".into()),
        ("log-level", "warn".into()),
    ])
}

fn api_server(cluster: &Cluster) -> Vec<String> {
    let file = |name: &str| path(cluster.credentials.file(name));
    flags(&[
        ("etcd-servers", "http://127.0.0.1:2379".into()),
        ("secure-port", API_SERVER_PORT.to_string()),
        ("advertise-address", cluster.address().to_string()),
        ("service-cluster-ip-range", cluster.index.services()),
        ("tls-cert-file", file("apiserver.crt")),
        ("tls-private-key-file", file("apiserver.key")),
        ("client-ca-file", file("ca.crt")),
        ("service-account-key-file", file("service-account.pub")),
        ("service-account-signing-key-file", file("service-account.key")),
        ("service-account-issuer", "https://kubernetes.default.svc".into()),
        ("kubelet-certificate-authority", file("ca.crt")),
        ("kubelet-client-certificate", file("apiserver-kubelet-client.crt")),
        ("kubelet-client-key", file("apiserver-kubelet-client.key")),
        ("requestheader-client-ca-file", file("ca.crt")),
        ("requestheader-allowed-names", FRONT_PROXY.into()),
        ("requestheader-username-headers", "X-Remote-User".into()),
        ("requestheader-group-headers", "X-Remote-Group".into()),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-".into()),
        ("proxy-client-cert-file", file(&format!("{FRONT_PROXY}.crt"))),
        ("proxy-client-key-file", file(&format!("{FRONT_PROXY}.key"))),
        // A node's name resolves nowhere.
        ("kubelet-preferred-address-types", "InternalIP".into()),
        ("authorization-mode", "Node,RBAC".into()),
        ("enable-admission-plugins", "NodeRestriction".into()),
        ("allow-privileged", "true".into()),
        ("audit-policy-file", path(cluster.folder.join("audit-policy.yaml"))),
        ("audit-log-path", path(cluster.audit_log())),
        ("audit-log-maxsize", "200".into()),
        ("audit-log-maxbackup", "1".into()),
        ("max-requests-inflight", "200".into()),
        ("max-mutating-requests-inflight", "100".into()),
        ("profiling", "false".into()),
        ("cert-dir", path(cluster.folder.join("run"))),
    ])
}

fn controller_manager(cluster: &Cluster) -> Vec<String> {
    let file = |name: &str| path(cluster.credentials.file(name));
    flags(&[
        ("kubeconfig", path(cluster.credentials.kubeconfig("controller-manager"))),
        ("service-account-private-key-file", file("service-account.key")),
        ("root-ca-file", file("ca.crt")),
        ("cluster-signing-cert-file", file("ca.crt")),
        ("cluster-signing-key-file", file("ca.key")),
        ("use-service-account-credentials", "true".into()),
        ("leader-elect", "false".into()),
        ("bind-address", "127.0.0.1".into()),
        ("profiling", "false".into()),
        ("cert-dir", path(cluster.folder.join("run"))),
    ])
}

fn scheduler(cluster: &Cluster) -> Vec<String> {
    flags(&[
        ("kubeconfig", path(cluster.credentials.kubeconfig("scheduler"))),
        ("leader-elect", "false".into()),
        ("bind-address", "127.0.0.1".into()),
        ("profiling", "false".into()),
        ("cert-dir", path(cluster.folder.join("run"))),
    ])
}

/// `--name=value` for each.
pub(crate) fn flags(pairs: &[(&str, String)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

/// A path as a flag's value.
pub(crate) fn path(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}
