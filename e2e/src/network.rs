//! One network namespace a cluster, joined to the machine by a link of its own. The machine routes between them, so that
//! every cluster's node address (API server, NodePorts, object store) and pods are reached from the machine and from the
//! pods of every cluster, without address translation.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::addresses::Index;
use crate::command::{run, run_with_input};
use crate::error::LabError;
use crate::mounts::is_mounted;
use crate::state::remove_file;

const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
const PARTITION_TABLE: &str = "skyfleet_partition";

/// The file that programs enter the namespace by.
pub(crate) fn namespace_path(index: Index) -> PathBuf {
    Path::new("/run/netns").join(index.namespace())
}

/// Makes namespace, link, addresses and routes as far as they are missing.
pub(crate) async fn create(index: Index) -> Result<(), LabError> {
    let (namespace, link, node, gateway) = (index.namespace(), index.link(), index.node(), index.gateway());
    let path = namespace_path(index);
    if !is_mounted(&path)? {
        // A crash between the two steps of `ip netns add` leaves the file without the namespace.
        remove_file(&path)?;
        run("ip", ["netns", "add", &namespace]).await?;
    }
    if !Path::new("/sys/class/net").join(&link).exists() {
        run("ip", ["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &namespace]).await?;
    }
    let inside = format!(
        "addr replace {node}/24 dev eth0\nlink set lo up\nlink set eth0 up\nroute replace default via {gateway}\n"
    );
    run_with_input("ip", ["-n", &namespace, "-batch", "-"], &inside).await?;
    let outside = format!(
        "addr replace {gateway}/24 dev {link}\nlink set {link} up\nroute replace {} via {node}\n",
        index.pods()
    );
    run_with_input("ip", ["-batch", "-"], &outside).await?;
    inside_run(index, &["sh", "-c", &format!("echo 1 > {IP_FORWARD}")], "").await
}

/// Gives the network of a process the cluster's name, instead of one that had it before.
pub(crate) async fn attach(index: Index, pid: &str) -> Result<(), LabError> {
    remove(index).await?;
    run("ip", ["netns", "attach", &index.namespace(), pid]).await.map(drop)
}

/// Whether a link in the cluster's namespace has this address.
pub(crate) async fn has_address(index: Index, address: Ipv4Addr) -> Result<bool, LabError> {
    let addresses = run("ip", ["-n", &index.namespace(), "-4", "-oneline", "address"]).await?;
    Ok(addresses.contains(&format!(" {address}/")))
}

/// Removes the namespace and the link as far as they are there.
pub(crate) async fn remove(index: Index) -> Result<(), LabError> {
    if Path::new("/sys/class/net").join(index.link()).exists() {
        run("ip", ["link", "del", &index.link()]).await?;
    }
    let path = namespace_path(index);
    if is_mounted(&path)? {
        run("ip", ["netns", "del", &index.namespace()]).await?;
    }
    remove_file(&path)
}

/// Cuts the cluster off: packets are dropped both ways, so connections hang instead of ending. Inside, all goes on.
pub(crate) async fn partition(index: Index) -> Result<(), LabError> {
    // The rules live in the cluster's namespace and vanish with it. An `output` hook would tell the senders inside. A node
    // that is a container has two links.
    let rules = format!(
        "table inet {PARTITION_TABLE} {{}}\n\
         delete table inet {PARTITION_TABLE}\n\
         table inet {PARTITION_TABLE} {{\n\
           chain in {{ type filter hook prerouting priority raw; iifname \"eth*\" drop; }}\n\
           chain out {{ type filter hook postrouting priority 300; oifname \"eth*\" drop; }}\n\
         }}\n"
    );
    inside_run(index, &["nft", "-f", "-"], &rules).await
}

/// Undoes [`partition`].
pub(crate) async fn heal(index: Index) -> Result<(), LabError> {
    if !is_partitioned(index).await? {
        return Ok(());
    }
    inside_run(index, &["nft", "delete", "table", "inet", PARTITION_TABLE], "").await
}

/// Whether [`partition`] holds.
pub(crate) async fn is_partitioned(index: Index) -> Result<bool, LabError> {
    if !is_mounted(&namespace_path(index))? {
        return Ok(false);
    }
    let tables = run("nsenter", [&enter(index), "nft", "list", "tables"]).await?;
    Ok(tables.contains(PARTITION_TABLE))
}

async fn inside_run(index: Index, command: &[&str], input: &str) -> Result<(), LabError> {
    let enter = enter(index);
    let arguments = std::iter::once(enter.as_str()).chain(command.iter().copied());
    run_with_input("nsenter", arguments, input).await.map(|_| ())
}

/// `nsenter`'s argument: the network namespace alone, for `ip netns exec` also hides cgroup v1 by remounting /sys.
pub(crate) fn enter(index: Index) -> String {
    format!("--net={}", namespace_path(index).display())
}
