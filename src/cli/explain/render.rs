//! An explanation as text.

use std::fmt::Write as _;

use super::explanation::{ClusterReport, Explanation, IfLifted, Source};
use crate::cli::table::table;

/// The text, without a line break at its end.
pub(super) fn text(explained: &Explanation) -> String {
    let mut text = head(explained);
    let rows: Vec<[String; 5]> = explained.clusters.iter().map(row).collect();
    text.push('\n');
    text.push_str(&table(["CLUSTER", "DESIRED", "READY", "KEEPS", "WHY"], &rows));
    for cluster in &explained.clusters {
        text.push_str(&section(cluster, explained.asked));
    }
    let _infallible = write!(text, "\n{}", placeable(explained));
    text
}

fn head(explained: &Explanation) -> String {
    let Explanation { namespace, name, asked, placed, ready, plan, .. } = explained;
    let mut lines = Vec::new();
    if let Source::Statuses { because } = &explained.source {
        lines.push(format!("by the Clusters' statuses; the operator could not be asked: {because}"));
    }
    lines.push(format!(
        "ModelDeployment {namespace}/{name}: {asked} asked for, {placed} placed, {ready} ready; {}",
        plan.strategy
    ));
    lines.extend(plan.suspicion.iter().map(|why| format!("suspicion: {why}")));
    lines.extend(plan.unmet.iter().map(|wish| format!("not met: {wish}")));
    lines.extend(plan.look_again.iter().map(|at| format!("looked at again at {at}")));
    let moving = explained.clusters.iter().filter(|cluster| cluster.desired != cluster.decided);
    let moving: Vec<String> =
        moving.map(|cluster| format!("{} {} -> {}", cluster.cluster, cluster.decided, cluster.desired)).collect();
    if !moving.is_empty() {
        lines.push(format!("about to change: {}", moving.join(", ")));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

fn row(cluster: &ClusterReport) -> [String; 5] {
    let number = |number: i32| number.to_string();
    [
        cluster.cluster.clone(),
        number(cluster.desired),
        number(cluster.ready),
        number(cluster.keeps),
        cluster.why.clone(),
    ]
}

/// What an excluded cluster lacks, and what would be without that.
fn section(cluster: &ClusterReport, asked: i32) -> String {
    let (Some(message), Some(remedy), Some(lifted)) =
        (&cluster.finding.message, &cluster.finding.remedy, &cluster.if_lifted)
    else {
        return String::new();
    };
    let name = &cluster.cluster;
    let what = if cluster.desired > 0 { "no more replicas" } else { "no replica" };
    format!(
        "\n{name} takes {what}: {message}\n  to change it: {remedy}\n  without that: {}\n",
        without(cluster, lifted, asked)
    )
}

fn without(cluster: &ClusterReport, lifted: &IfLifted, asked: i32) -> String {
    let IfLifted { desired, anew, unplaced, then } = lifted;
    let mut said = match (*desired == cluster.desired, anew > desired) {
        (true, true) => {
            format!(
                "it would have {desired}, since nothing moves that need not, and {anew} of {asked} if all were placed anew"
            )
        }
        (true, false) => format!("it would have {desired} all the same"),
        (false, _) => format!("it would have {desired} of {asked}"),
    };
    if *unplaced > 0 {
        let _infallible = write!(said, "; {unplaced} would still be placed nowhere");
    }
    if let Some(message) = then.as_ref().and_then(|then| then.message.as_ref()) {
        let _infallible = write!(said, "; then: {message}");
    }
    said
}

fn placeable(explained: &Explanation) -> String {
    let most = explained.placeable;
    let bound = if most.at_least { "At least" } else { "At most" };
    format!("{bound} {} replicas could be placed now; {} are asked for.", most.replicas, explained.asked)
}
