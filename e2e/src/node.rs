//! The node of a cluster: containerd, kubelet and kube-proxy, and the pods they run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use serde_json::json;

use crate::cluster::Cluster;
use crate::command::output_of;
use crate::control_plane::{flags, path};
use crate::error::LabError;
use crate::mounts::unmount_below;
use crate::state::{file_names, remove_file, write_atomically};
use crate::tools::PAUSE_IMAGE;

pub(crate) const COMPONENTS: [&str; 3] = ["containerd", "kubelet", "kube-proxy"];

const LIMIT: Duration = Duration::from_mins(4);

/// Where distributions put the network plugins; Debian and Ubuntu the first.
pub(crate) const PLUGIN_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// Starts what does not run and returns when the node is Ready.
pub(crate) async fn start(cluster: &Cluster, binaries: &Path, pause_image: &Path) -> Result<(), LabError> {
    if !cluster.is_running("containerd") {
        clear_remains(cluster).await?;
        cluster.cgroup.create()?;
        write_configuration(cluster)?;
        cluster
            .spawn("containerd", Command::new("containerd").arg("--config").arg(file(cluster, "containerd.toml")))?;
    }
    cluster
        .wait_for("containerd", LIMIT, &COMPONENTS[..1], || async {
            ctr(cluster, &["version"]).await.map(|_| ()).map_err(|error| error.to_string())
        })
        .await?;
    load_image(cluster, pause_image).await?;

    let since = if cluster.is_running("kubelet") { Timestamp::UNIX_EPOCH } else { Timestamp::now() };
    cluster.spawn("kubelet", Command::new(binaries.join("kubelet")).args(kubelet(cluster)))?;
    cluster.spawn("kube-proxy", Command::new(binaries.join("kube-proxy")).args(kube_proxy(cluster)))?;
    wait_until_ready(cluster, since).await
}

/// Puts an image archive (OCI or Docker) onto the node.
pub(crate) async fn load_image(cluster: &Cluster, archive: &Path) -> Result<(), LabError> {
    ctr(cluster, &["-n", "k8s.io", "images", "import", &path(archive)]).await.map(|_| ())
}

/// Whether the node says of itself that it is Ready, and said so after `since`: an old word of a stopped node does not count.
pub(crate) async fn is_ready(cluster: &Cluster, client: &kube::Client, since: Timestamp) -> Result<(), String> {
    let node = Api::<Node>::all(client.clone()).get(&cluster.node_name()).await.map_err(|error| error.to_string())?;
    says_ready(node, since)
}

/// As [`is_ready`], of a node at hand.
pub(crate) fn says_ready(node: Node, since: Timestamp) -> Result<(), String> {
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    let Some(ready) = conditions.into_iter().find(|condition| condition.type_ == "Ready") else {
        return Err("the node has not spoken yet".to_owned());
    };
    let heartbeat = ready.last_heartbeat_time.map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    if heartbeat.as_second() < since.as_second() {
        return Err(format!("the node last spoke at {heartbeat}"));
    }
    if ready.status == "True" { Ok(()) } else { Err(ready.message.unwrap_or_default()) }
}

async fn wait_until_ready(cluster: &Cluster, since: Timestamp) -> Result<(), LabError> {
    let client = cluster.client().await?;
    cluster.wait_for("the node", LIMIT, &COMPONENTS, || is_ready(cluster, &client, since)).await
}

/// Does to a stopped node what a reboot does: ends what still runs, and drops the memory of running containers.
pub(crate) async fn clear_remains(cluster: &Cluster) -> Result<(), LabError> {
    for component in COMPONENTS.iter().chain(&["pods"]) {
        cluster.cgroup.remove(Some(component)).await?;
    }
    unmount_below(&cluster.folder)?;
    remove_shim_sockets(&file(cluster, "containerd/state"))?;
    for folder in ["containerd/state", "runc", "addresses"] {
        remove_folder(&file(cluster, folder))?;
    }
    remove_plugin_results(&network_name(cluster))
}

/// containerd's shims listen in /run/containerd/s, wherever containerd's own state is; each names its socket in `address`.
fn remove_shim_sockets(state: &Path) -> Result<(), LabError> {
    let tasks = state.join("io.containerd.runtime.v2.task/k8s.io");
    for task in file_names(&tasks)? {
        let Ok(address) = fs::read_to_string(tasks.join(task).join("address")) else { continue };
        if let Some(socket) =
            address.trim().strip_prefix("unix://").filter(|path| path.starts_with("/run/containerd/s/"))
        {
            remove_file(Path::new(socket))?;
        }
    }
    Ok(())
}

/// The plugins' library keeps one file a pod in a folder of the machine.
fn remove_plugin_results(network: &str) -> Result<(), LabError> {
    let folder = Path::new("/var/lib/cni/results");
    for name in file_names(folder)?.iter().filter(|name| name.starts_with(&format!("{network}-"))) {
        remove_file(&folder.join(name))?;
    }
    Ok(())
}

/// Removes a folder with all in it, if it is there.
pub(crate) fn remove_folder(folder: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LabError::file("remove", folder)(error)),
        _ => Ok(()),
    }
}

async fn ctr(cluster: &Cluster, arguments: &[&str]) -> Result<String, LabError> {
    let mut command = cluster.accounted("ctr", "ctr")?;
    command.arg("--address").arg(file(cluster, "containerd.sock")).args(arguments);
    output_of(command, "").await
}

fn file(cluster: &Cluster, name: &str) -> PathBuf {
    cluster.folder.join(name)
}

fn network_name(cluster: &Cluster) -> String {
    cluster.index.namespace()
}

fn write_configuration(cluster: &Cluster) -> Result<(), LabError> {
    write_atomically(&file(cluster, "containerd.toml"), containerd_configuration(cluster).as_bytes())?;
    let network = serde_json::to_vec_pretty(&network_configuration(cluster));
    let kubelet = serde_yaml::to_string(&kubelet_configuration(cluster));
    let damaged = |error: String| LabError::State { path: cluster.folder.clone(), reason: error };
    write_atomically(&file(cluster, "cni/lab.conflist"), &network.map_err(|error| damaged(error.to_string()))?)?;
    write_atomically(&file(cluster, "kubelet.yaml"), kubelet.map_err(|error| damaged(error.to_string()))?.as_bytes())
}

fn containerd_configuration(cluster: &Cluster) -> String {
    let folder = cluster.folder.display();
    let plugins = PLUGIN_FOLDERS.iter().find(|folder| Path::new(folder).is_dir()).unwrap_or(&PLUGIN_FOLDERS[0]);
    // restrict_oom_score_adj: lowering it may be refused where the lab itself runs in a sandbox.
    // netns_mounts_under_state_dir: the pods' namespaces are then found, and removed, with the cluster's folder.
    format!(
        r#"version = 2
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
      Root = "{folder}/runc"
"#
    )
}

/// Each pod on a link of its own, routed by the node. On a bridge, answers between pods of one node would pass by the
/// translation that Services rest on, unless the kernel has br_netfilter.
fn network_configuration(cluster: &Cluster) -> serde_json::Value {
    json!({
        "cniVersion": "0.4.0",
        "name": network_name(cluster),
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": path(file(cluster, "addresses")),
                "ranges": [[{ "subnet": cluster.index.pods() }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

fn kubelet_configuration(cluster: &Cluster) -> serde_json::Value {
    let credential = |name: &str| path(cluster.credentials.file(name));
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": credential("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": credential("kubelet.crt"),
        "tlsPrivateKeyFile": credential("kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cluster.cgroup.pods(),
        "containerRuntimeEndpoint": format!("unix://{}", path(file(cluster, "containerd.sock"))),
        "failSwapOn": false,
        "failCgroupV1": false,
        // The machine's disk is shared with whatever else it does: a full one must not empty the node.
        "evictionHard": { "imagefs.available": "0%", "nodefs.available": "0%", "memory.available": "10Mi" },
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": path(file(cluster, "pod-logs")),
        "registerNode": true,
    })
}

fn kubelet(cluster: &Cluster) -> Vec<String> {
    flags(&[
        ("config", path(file(cluster, "kubelet.yaml"))),
        ("kubeconfig", path(cluster.credentials.kubeconfig("node"))),
        ("root-dir", path(file(cluster, "kubelet"))),
        ("cert-dir", path(file(cluster, "run"))),
        ("hostname-override", cluster.name().to_owned()),
        ("node-ip", cluster.address().to_string()),
    ])
}

fn kube_proxy(cluster: &Cluster) -> Vec<String> {
    flags(&[
        ("kubeconfig", path(cluster.credentials.kubeconfig("proxy"))),
        ("proxy-mode", "nftables".into()),
        ("hostname-override", cluster.name().to_owned()),
        ("cluster-cidr", cluster.index.pods()),
        ("bind-address", cluster.address().to_string()),
        // The connection table is the machine's and not for a namespace to size.
        ("conntrack-max-per-core", "0".into()),
    ])
}
