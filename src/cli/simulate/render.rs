//! A simulation as tables.

use super::report::{ModelReport, Moves, Report, Stage};
use crate::cli::table::{table, wide_table};

/// The text, without a line break at its end.
pub(super) fn text(report: &Report) -> String {
    let Some(last) = report.stages.last() else { return String::new() };
    let mut parts = vec![fleet(last)];
    for index in 0..last.models.len() {
        let stages: Vec<(&Stage, &ModelReport)> =
            report.stages.iter().filter_map(|stage| Some((stage, stage.models.get(index)?))).collect();
        parts.push(model(&stages));
    }
    let restless = report.stages.iter().filter(|stage| !stage.settled);
    parts.extend(
        restless.map(|stage| format!("{}: decisions did not come to rest; these are the last ones\n", stage.name)),
    );
    parts.join("\n").trim_end().to_owned()
}

fn fleet(stage: &Stage) -> String {
    let rows: Vec<[String; 6]> = stage
        .clusters
        .iter()
        .map(|cluster| {
            [
                cluster.cluster.clone(),
                cluster.provider.as_str().to_owned(),
                cluster.region.clone(),
                if cluster.heard { "yes" } else { "no" }.to_owned(),
                cluster.room.clone(),
                cluster.requested.to_string(),
            ]
        })
        .collect();
    table(["CLUSTER", "PROVIDER", "REGION", "HEARD", "ROOM", "REQUESTED"], &rows)
}

/// One ModelDeployment at all stages.
fn model(stages: &[(&Stage, &ModelReport)]) -> String {
    let Some((_, last)) = stages.last() else { return String::new() };
    let asked: Vec<String> = stages.iter().map(|(_, model)| model.asked.to_string()).collect();
    let same = asked.iter().all(|number| *number == asked[0]);
    let asked = if same { asked[0].clone() } else { asked.join(" -> ") };
    let mut text = format!("{}/{}: {asked} replicas, {}\n", last.namespace, last.name, last.strategy);
    text.push_str(&placements(stages, last));
    for (stage, model) in stages {
        let prefix = if stages.len() > 1 { format!("{}: ", stage.name) } else { String::new() };
        text.extend(facts(model).into_iter().map(|line| format!("{prefix}{line}\n")));
    }
    text
}

fn placements(stages: &[(&Stage, &ModelReport)], last: &ModelReport) -> String {
    let single = stages.len() == 1;
    let title = |stage: &Stage| if single { "REPLICAS".to_owned() } else { stage.name.to_uppercase() };
    let mut head = vec!["CLUSTER".to_owned()];
    head.extend(stages.iter().map(|(stage, _)| title(stage)));
    head.extend(["KEEPS".to_owned(), "WHY".to_owned()]);
    let row = |index: usize| {
        let placement = &last.placements[index];
        let mut row = vec![placement.cluster.clone()];
        row.extend(stages.iter().map(|(_, model)| model.placements[index].desired.to_string()));
        row.extend([placement.keeps.to_string(), placement.why.clone()]);
        row
    };
    let rows: Vec<Vec<String>> = (0..last.placements.len()).map(row).collect();
    wide_table(&head, &rows)
}

/// What is worth a line of its own.
fn facts(model: &ModelReport) -> Vec<String> {
    let mut lines = Vec::new();
    if !model.moves.by_cluster.is_empty() {
        lines.push(changes(&model.moves));
    }
    if model.unplaced > 0 {
        lines.push(format!("{} of {} replicas are placed nowhere", model.unplaced, model.asked));
    }
    if model.stranded > 0 {
        lines.push(format!(
            "{} of {} replicas stay with a lost cluster: no other has room",
            model.stranded, model.asked
        ));
    }
    lines.extend(model.unmet.iter().map(|wish| format!("not met: {wish}")));
    lines.extend(model.suspicion.iter().map(|why| format!("suspicion: {why}")));
    lines
}

fn changes(of: &Moves) -> String {
    let each: Vec<String> = of.by_cluster.iter().map(|(cluster, change)| format!("{cluster} {change:+}")).collect();
    let moved = of.started.min(of.stopped);
    let mut said = Vec::new();
    for (number, verb) in [(moved, "moved"), (of.started - moved, "added"), (of.stopped - moved, "removed")] {
        if number > 0 {
            said.push(format!("{number} {verb}"));
        }
    }
    format!("{}: {}", said.join(", "), each.join(", "))
}
