//! Clusters by [kind](https://kind.sigs.k8s.io): each is one node in a container of this machine's Docker engine.
//!
//! Above the cluster all is as in network namespaces: the container's network gets the name that the other backend would
//! give it, so [`Cluster::spawn`], partitions and `ip netns exec` work as there. A cluster without pods is not known here:
//! it is one with pods.
//!
//! Known by kind's and Docker's documentation and by tests with stand-ins for both programs: it was not run against a real
//! engine yet.

mod commands;
mod config;

use std::fs;
use std::path::Path;
use std::time::Duration;

use commands::CommandLine;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use tokio::process::Command;
use tracing::info;

use crate::addresses::Index;
use crate::cluster::Cluster;
use crate::command::{SEARCH_PATH, output_of};
use crate::control_plane::{self, AUDIT_POLICY};
use crate::error::LabError;
use crate::state::{Claims, write_atomically};
use crate::status::{ClusterStatus, Power};
use crate::{network, node};

/// Written before kind is called, so that whatever a crash leaves is known to be kind's.
const CONFIG: &str = "kind.yaml";

/// Generous: a loaded machine is slow, not broken.
const LIMIT: Duration = Duration::from_mins(5);

/// Makes the cluster, or starts it again from its container, and returns when its node is Ready.
pub(crate) async fn start(cluster: &Cluster) -> Result<(), LabError> {
    let container = container(cluster);
    // Written last, so a cluster whose making was interrupted has none.
    if !cluster.kubeconfig().exists() {
        create(cluster).await?;
    }
    let running = run(commands::state(&container)).await?.trim() == "running";
    let since = if running { Timestamp::UNIX_EPOCH } else { Timestamp::now() };
    run(commands::start(&container)).await?;
    enter_network(cluster).await?;
    network::heal(cluster.index).await?;
    run(commands::start_control_plane(&container)).await?;
    wait_until_ready(cluster, since).await
}

/// Cuts the power: every process ends at once. The container, with all data, stays.
pub(crate) async fn stop(cluster: &Cluster) -> Result<(), LabError> {
    let container = container(cluster);
    if run(commands::state(&container)).await?.trim() == "running" {
        // The node corrects its address in the manifests when it starts: they must be in their place then.
        run(commands::start_control_plane(&container)).await?;
        run(commands::stop(&container)).await?;
    }
    cluster.cgroup.remove(None).await?;
    network::remove(cluster.index).await
}

/// Ends the control plane's components; kubelet, kube-proxy and the pods go on.
pub(crate) async fn stop_control_plane(cluster: &Cluster) -> Result<(), LabError> {
    run(commands::stop_control_plane(&container(cluster))).await.map(drop)
}

/// Undoes [`stop_control_plane`].
pub(crate) async fn start_control_plane(cluster: &Cluster) -> Result<(), LabError> {
    run(commands::start_control_plane(&container(cluster))).await?;
    wait_until_ready(cluster, Timestamp::UNIX_EPOCH).await
}

/// Puts an image archive onto the node.
pub(crate) async fn load_image(cluster: &Cluster, archive: &Path) -> Result<(), LabError> {
    run(commands::load_image(&commands::cluster_name(cluster.name(), cluster.index), archive)).await.map(drop)
}

/// Looks at the cluster without changing it.
pub(crate) async fn look(cluster: &Cluster) -> Result<ClusterStatus, LabError> {
    let container = container(cluster);
    let partitioned = network::is_partitioned(cluster.index).await?;
    let own = cluster.cgroup.processes(None).len();
    if run(commands::state(&container)).await?.trim() != "running" {
        let stopped = control_plane::COMPONENTS.to_vec();
        return Ok(ClusterStatus { power: Power::Stopped, stopped, partitioned, processes: own, node_ready: None });
    }
    let (stopped, processes) = surveyed(&run(commands::survey(&container)).await?);
    let power = if stopped.is_empty() { Power::Up } else { Power::Partly };
    let reachable = !partitioned && !stopped.contains(&"kube-apiserver");
    let node_ready = if reachable { Some(is_ready(cluster, Timestamp::UNIX_EPOCH).await.is_ok()) } else { None };
    Ok(ClusterStatus { power, stopped, partitioned, processes: own + processes, node_ready })
}

/// Removes what kind made for the cluster in this folder, if anything; with the machine's last such cluster also the network.
pub(crate) async fn remove(index: Index, folder: &Path) -> Result<(), LabError> {
    if !is_made_by_kind(folder) {
        return Ok(());
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    run(commands::delete(&commands::cluster_name(&name, index), &folder.join("kind.kubeconfig"))).await?;
    // Two labs that start and end at once may still miss each other here: then `lab up` fails, and is called again.
    let others = Claims::open()?.folders()?;
    let last = !others.iter().any(|other| other != folder && is_made_by_kind(other));
    if last && network_exists().await? {
        run(commands::remove_network()).await?;
    }
    Ok(())
}

/// The name of the machine that the Docker engine runs on.
pub(crate) async fn engine_name() -> Result<String, LabError> {
    run(commands::engine_name()).await
}

/// kind's version, if it is there.
pub(crate) async fn version() -> Result<String, LabError> {
    run(commands::version()).await
}

/// The container that is the cluster's node, and the node's name.
pub(crate) fn container(cluster: &Cluster) -> String {
    commands::container(cluster.name(), cluster.index)
}

fn is_made_by_kind(folder: &Path) -> bool {
    folder.join(CONFIG).exists()
}

async fn create(cluster: &Cluster) -> Result<(), LabError> {
    info!("making {} by kind; the first time on a machine it downloads its node's image", cluster.name());
    let name = commands::cluster_name(cluster.name(), cluster.index);
    let (config, kubeconfig) = (cluster.folder.join(CONFIG), cluster.folder.join("kind.kubeconfig"));
    let audit = cluster.audit_log();
    let audit = audit.parent().unwrap_or(&cluster.folder);
    write_atomically(&audit.join("policy.yaml"), AUDIT_POLICY.as_bytes())?;
    write_atomically(&config, config::cluster(audit, cluster.address())?.as_bytes())?;
    run(commands::delete(&name, &kubeconfig)).await?;
    run(commands::create(&name, &config, &kubeconfig)).await?;
    ensure_network().await?;
    // kind takes a node with two networks amiss while it makes it, so only now.
    run(commands::connect(&container(cluster), cluster.index)).await?;
    let from_kind = run(commands::kubeconfig(&name)).await?;
    write_atomically(&cluster.kubeconfig(), config::with_server(&from_kind, &cluster.server())?.as_bytes())
}

async fn ensure_network() -> Result<(), LabError> {
    if network_exists().await? {
        return Ok(());
    }
    let made = run(commands::create_network()).await;
    // Another lab may have made it meanwhile.
    if made.is_err() && network_exists().await? { Ok(()) } else { made.map(drop) }
}

async fn network_exists() -> Result<bool, LabError> {
    Ok(!run(commands::find_network()).await?.trim().is_empty())
}

/// Gives the container's network the cluster's name for `ip netns`, after each of its starts.
async fn enter_network(cluster: &Cluster) -> Result<(), LabError> {
    let pid = run(commands::pid(&container(cluster))).await?;
    network::attach(cluster.index, pid.trim()).await?;
    if network::has_address(cluster.index, cluster.address()).await? {
        return Ok(());
    }
    // What has no such address is not the node: partitions would hit whatever else it is.
    network::remove(cluster.index).await?;
    Err(LabError::Missing(format!(
        "the node {} is not at {} on this machine: if Docker runs elsewhere, end the lab and use --backend namespaces",
        container(cluster),
        cluster.address()
    )))
}

async fn wait_until_ready(cluster: &Cluster, since: Timestamp) -> Result<(), LabError> {
    fs::create_dir_all(cluster.folder.join("logs")).map_err(LabError::file("make the folder", &cluster.folder))?;
    cluster.wait_for("the node", LIMIT, &[], || is_ready(cluster, since)).await
}

/// Whether the node is Ready and said so after `since`, and pods are taken: they are refused until their namespace has its
/// service account.
async fn is_ready(cluster: &Cluster, since: Timestamp) -> Result<(), String> {
    let container = container(cluster);
    let get = async |object: &[&str]| run(commands::get(&container, object)).await.map_err(|error| error.to_string());
    let node: Node =
        serde_json::from_str(&get(&["node", &container]).await?).map_err(|error| format!("no node: {error}"))?;
    node::says_ready(node, since)?;
    get(&["serviceaccount", "default"]).await.map(drop)
}

/// The components without a manifest, and the number of processes, from [`commands::survey`].
fn surveyed(paths: &str) -> (Vec<&'static str>, usize) {
    let has = |component: &&str| paths.lines().any(|path| path.ends_with(&format!("/manifests/{component}.yaml")));
    let stopped = control_plane::COMPONENTS.into_iter().filter(|component| !has(component)).collect();
    (stopped, paths.lines().filter(|path| path.starts_with("/proc/")).count())
}

/// Runs it with the caller's own search path first: kind is often in a folder of its user.
async fn run(line: CommandLine) -> Result<String, LabError> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(line.program);
    command.args(line.arguments).env("PATH", format!("{path}:{SEARCH_PATH}"));
    output_of(command, "").await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_runs_when_its_manifest_is_in_force() {
        let all: String =
            control_plane::COMPONENTS.map(|name| format!("/etc/kubernetes/manifests/{name}.yaml\n")).concat();
        assert_eq!(surveyed(&format!("{all}/proc/1\n/proc/42\n")), (vec![], 2));
        let without = all.replace("/etc/kubernetes/manifests/etcd.yaml\n", "");
        assert_eq!(surveyed(&without), (vec!["etcd"], 0));
        assert_eq!(surveyed(""), (control_plane::COMPONENTS.to_vec(), 0));
    }
}
