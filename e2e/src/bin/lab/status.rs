//! `lab status`: a table of the clusters.

use skyfleet_e2e::{Cluster, ClusterStatus, Lab, LabError, Power};

/// Prints one line a cluster.
pub(crate) async fn print(name: &str) -> Result<(), LabError> {
    let lab = Lab::open(name)?;
    println!(
        "{:<12} {:<12} {:<28} {:<10} {:<9} NAMESPACE    NODE NAME",
        "CLUSTER", "STATE", "API SERVER", "NODE", "PROCESSES"
    );
    for cluster in lab.clusters() {
        let status = lab.status(cluster.name()).await?;
        println!("{}", row(cluster, &status));
    }
    Ok(())
}

fn row(cluster: &Cluster, status: &ClusterStatus) -> String {
    let node = match (cluster.has_node(), status.node_ready) {
        (false, _) => "none",
        (true, Some(true)) => "Ready",
        (true, Some(false)) => "NotReady",
        (true, None) => "unknown",
    };
    let missing =
        if status.power == Power::Partly { format!("  stopped: {}", status.stopped.join(", ")) } else { String::new() };
    format!(
        "{:<12} {:<12} {:<28} {:<10} {:<9} {:<12} {}{missing}",
        cluster.name(),
        state(status),
        cluster.server(),
        node,
        status.processes,
        cluster.namespace(),
        if cluster.has_node() { cluster.node_name() } else { "none".to_owned() },
    )
}

fn state(status: &ClusterStatus) -> &'static str {
    match (status.power, status.partitioned) {
        (Power::Stopped, _) => "stopped",
        (_, true) => "partitioned",
        (Power::Partly, false) => "partly",
        (Power::Up, false) => "up",
    }
}
