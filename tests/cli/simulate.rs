//! `skyfleet simulate` as a person runs it: what it reads, says and refuses.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::{assert_fails, bare, run};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/simulation");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/fixtures/simulate");

fn simulate(folder: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = bare(&["simulate", "-f", folder]);
    command.args(arguments);
    command
}

fn json(folder: &str, arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = run(simulate(folder, &[&["-o", "json"], arguments].concat()));
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Desired replicas of a stage by cluster, in the order of their names.
fn shares(report: &Value, stage: usize, model: &str) -> Vec<i64> {
    let models = report["stages"][stage]["models"].as_array().unwrap();
    let model = models.iter().find(|found| found["name"] == model).unwrap();
    model["placements"].as_array().unwrap().iter().map(|placement| placement["desired"].as_i64().unwrap()).collect()
}

#[test]
fn the_readme_shows_what_the_program_says() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let start = "```console\n$ kubectl skyfleet simulate ";
    let shown: Vec<&str> = readme.split(start).skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!shown.is_empty());
    for block in shown {
        let (arguments, output) = block.split_once('\n').unwrap();
        let mut command = bare(&["simulate"]);
        command.args(arguments.split(' ')).current_dir(env!("CARGO_MANIFEST_DIR"));
        let (code, stdout, stderr) = run(command);
        assert_eq!((code, stderr.as_str(), stdout.as_str()), (0, "", output), "{arguments}");
    }
}

#[test]
fn a_loss_and_a_return_are_stages_and_the_same_every_time() {
    let arguments = ["--fail", "aws-1", "--return", "aws-1", "--now", "2026-01-01T00:00:00Z"];
    let report = json(EXAMPLES, &arguments);
    let names: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["before", "after", "returned"]);
    let minilm: Vec<Vec<i64>> = (0..3).map(|stage| shares(&report, stage, "minilm")).collect();
    assert_eq!(minilm, [[2, 2, 2], [0, 3, 3], [2, 2, 2]]);
    assert_eq!(json(EXAMPLES, &arguments), report);
}

#[test]
fn a_dump_of_a_hub_is_where_it_starts_and_what_was_assumed_is_noted() {
    let folder = format!("{FIXTURES}/full");
    let report = json(&folder, &["--scale", "ml/minilm=6", "--now", "2026-01-02T01:00:00Z"]);
    let placements = &report["stages"][0]["models"][0]["placements"];
    assert_eq!(shares(&report, 0, "minilm"), [3, 0, 2], "half a core is free on each of two nodes");
    let reasons: Vec<&str> = (0..3).map(|index| placements[index]["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["NoRoom", "NoBucketNear", "Lost"]);
    assert_eq!(report["stages"][1]["models"][0]["unplaced"], 1);
    let notes = report["notes"].to_string();
    assert!(notes.contains("ConfigMap") && notes.contains("nothing tells the room of azure-1"), "{notes}");
}

#[test]
fn standard_input_is_a_file_too() {
    let mut command = simulate("-", &["-o", "json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text = std::fs::read(format!("{FIXTURES}/full/status.yaml")).unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty());
}

#[test]
fn strict_fails_when_a_replica_serves_nowhere_and_still_says_where_the_others_are() {
    let more = ["--scale", "minilm=20"];
    assert_eq!(run(simulate(EXAMPLES, &more)).0, 0);
    let (code, stdout, stderr) = run(simulate(EXAMPLES, &[more.as_slice(), &["--strict"]].concat()));
    assert_eq!(code, 3);
    assert!(stdout.contains("8 of 20 replicas are placed nowhere"), "{stdout}");
    assert!(stderr.contains("8 replicas serve nowhere"), "{stderr}");
    assert_eq!(run(simulate(EXAMPLES, &["--strict"])).0, 0);
}

#[test]
fn each_mistake_has_its_message_and_status() {
    assert_fails(simulate("no/such/folder", &[]), 4, "no/such/folder: No such file");
    let broken = format!("{FIXTURES}/broken");
    assert_fails(simulate(&broken, &[]), 4, "broken/models.yaml: ");
    assert_fails(simulate(&broken, &[]), 4, "at line 8");
    let empty = tempfile::tempdir().unwrap();
    assert_fails(simulate(empty.path().to_str().unwrap(), &[]), 4, "no file in this folder ends with .yaml");
    assert_fails(simulate(&format!("{EXAMPLES}/models.yaml"), &[]), 2, "there is no Cluster among the files");
    assert_fails(simulate(&format!("{EXAMPLES}/clusters.yaml"), &[]), 2, "there is no ModelDeployment among the files");
    for (arguments, said) in [
        (["--fail", "aws-2"], "--fail: there is no Cluster \"aws-2\"; there are aws-1, azure-1, gcp-1"),
        (["--return", "aws-1"], "\"aws-1\" is not lost"),
        (["--scale", "minilm"], "[NAMESPACE/]NAME=REPLICAS"),
        (["--scale", "minilm=-1"], "[NAMESPACE/]NAME=REPLICAS"),
        (["--scale", "mini=3"], "no ModelDeployment \"mini\"; there are default/llama, default/minilm"),
        (["--now", "yesterday"], "--now"),
    ] {
        assert_fails(simulate(EXAMPLES, &arguments), 2, said);
    }
    assert_fails(bare(&["simulate"]), 2, "--filename");
}

#[test]
fn who_stops_reading_is_no_failure() {
    let mut command = simulate(EXAMPLES, &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn the_plugin_is_called_as_kubectl_calls_it() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-skyfleet");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_skyfleet"), &plugin).unwrap();
    let output = std::process::Command::new(plugin).args(["rollout", "undo"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Usage: kubectl skyfleet rollout undo <MODELDEPLOYMENT>"), "{said}");
    let (_, _, said) = run(bare(&["rollout", "undo"]));
    assert!(said.contains("Usage: skyfleet rollout undo <MODELDEPLOYMENT>"), "{said}");
}
