//! `skyfleet mirror` between buckets of a real S3 server.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use skyfleet_e2e::object_store::{AZURITE_ACCOUNT, AZURITE_KEY, Azurite, FakeGcs};

use crate::{Server, assert_fails, run};

async fn server(objects: usize) -> Server {
    let server = Server::start().await;
    for bucket in ["copy", "other"] {
        server.running.store.create_bucket(bucket).await.unwrap();
    }
    for number in 0..objects {
        let file = server.file("file", 1000 + number);
        let (code, _, stderr) =
            run(server.skyfleet(&["upload", &file, "s3://bucket/data", &format!("{number:02}.bin")]));
        assert_eq!(code, 0, "{stderr}");
    }
    server
}

fn mirror(server: &Server, arguments: &[&str]) -> Command {
    server.skyfleet(&[&["mirror"], arguments].concat())
}

#[track_caller]
fn says(command: Command, status: i32, out: &[&str]) -> (String, String) {
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, status, "{stdout}{stderr}");
    for text in out {
        assert!(stdout.contains(text), "{text:?} in {stdout}");
    }
    (stdout, stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_targets_are_kept_the_same_and_surplus_goes_when_asked_for() {
    let server = server(3).await;
    let all = ["s3://bucket/data", "s3://copy/data", "s3://other"];
    let dry = mirror(&server, &[&all[..], &["--dry-run", "--egress-price", "0.09"]].concat());
    let (_, stderr) = says(
        dry,
        0,
        &["s3://copy/data/: 3 to copy (2.9 KiB)", "the source: 2.9 KiB would leave it", "cost about 0.01"],
    );
    assert!(stderr.contains("would copy \"00.bin\" (1000 B) to s3://other/"), "{stderr}");

    says(
        mirror(&server, &all),
        0,
        &["s3://copy/data/: 3 copied (2.9 KiB), 0 as they should be", "s3://other/: 3 copied"],
    );
    says(mirror(&server, &all), 0, &["s3://copy/data/: 0 copied (0 B), 3 as they should be"]);

    let extra = server.file("extra", 5);
    assert_eq!(run(server.skyfleet(&["upload", &extra, "s3://copy/data", "extra"])).0, 0);
    let pair = ["s3://bucket/data", "s3://copy/data"];
    says(mirror(&server, &pair), 0, &["1 are not at the source, 0 removed"]);
    let refused = mirror(&server, &[&pair[..], &["--delete"]].concat());
    let (_, stderr) = says(refused, 9, &["1 are not at the source, 0 removed"]);
    assert!(stderr.contains("1 of its 4 objects are not at the source"), "{stderr}");
    let allowed = mirror(&server, &[&pair[..], &["--delete", "--max-delete", "25"]].concat());
    let (_, stderr) = says(allowed, 0, &["1 are not at the source, 1 removed"]);
    assert!(stderr.contains("removed \"extra\" from s3://copy/data/"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_json_lines() {
    let server = server(2).await;
    let arguments = ["s3://bucket/data", "s3://copy", "--json", "--exclude", "01.*"];
    let (stdout, stderr) = says(mirror(&server, &arguments), 0, &[]);
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["event"], "copied");
    assert_eq!((&lines[0]["key"], &lines[0]["bytes"]), (&"00.bin".into(), &1000.into()));
    assert_eq!((&lines[1]["event"], &lines[1]["complete"]), (&"report".into(), &true.into()));
    assert_eq!((lines.len(), &lines[1]["targets"][0]["copied"], stderr.as_str()), (2, &1.into(), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_too_much_waits_for_another_run() {
    let server = server(3).await;
    // A byte costs 0.001, the objects 1.000, 1.001 and 1.002.
    let arguments = ["s3://bucket/data", "s3://copy", "--egress-price", "1000000", "--max-egress-cost", "2.5"];
    // The store would copy by itself what is not to be read back.
    let limits = ["--bandwidth", "10M", "--request-rate", "1000", "--read-back"];
    let (_, stderr) = says(
        mirror(&server, &[&arguments[..], &limits].concat()),
        9,
        &["s3://copy/: 2 copied (2.0 KiB), 0 as they should be, 1 left for later", "cost about 2.01"],
    );
    assert!(stderr.contains("1 objects (1002 bytes) are left for a later pass"), "{stderr}");
    assert!(stderr.contains("they cost 1.01,") && stderr.contains("--max-egress-cost"), "{stderr}");
    let (stdout, _) = says(mirror(&server, &[&arguments[..], &["--json", "--dry-run"]].concat()), 0, &[]);
    let report: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&report["sourceBytes"], &report["egressCost"]), (&1002.into(), &"1.002".into()));
    says(mirror(&server, &arguments), 0, &["1 copied (1002 B), 2 as they should be"]);

    let pair = ["s3://bucket/data", "s3://copy"];
    for (wrong, says) in [
        (["--bandwidth", "0"], "is no rate"),
        (["--request-rate", "0"], "--request-rate"),
        (["--egress-price", "0,09"], "is no amount"),
        (["--max-egress-cost", "1"], "--egress-price"),
    ] {
        assert_fails(mirror(&server, &[&pair[..], &wrong].concat()), 2, says);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_message_and_status() {
    let server = server(1).await;
    assert_fails(mirror(&server, &["s3://bucket"]), 2, "TARGET");
    assert_fails(mirror(&server, &["Bucket", "s3://copy"]), 2, "is no place");
    assert_fails(mirror(&server, &["gs://bucket", "s3://copy"]), 4, "no credentials were found");
    assert_fails(mirror(&server, &["s3://bucket", "s3://bucket/data"]), 2, "overlap");
    assert_fails(mirror(&server, &["s3://bucket", "s3://copy", "--include", "["]), 2, "cannot read the filter");
    assert_fails(mirror(&server, &["s3://bucket", "s3://copy", "--max-size", "ten"]), 2, "is no size");
    assert_fails(mirror(&server, &["s3://no-such-bucket", "s3://copy"]), 6, "the source: ");
    let mut refused = mirror(&server, &["s3://bucket", "s3://copy"]);
    refused.env("AWS_SECRET_ACCESS_KEY", "hunter2");
    assert_fails(refused, 5, "refused the credentials");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = format!("s3://bucket?endpoint=http://{free}");
    assert_fails(mirror(&server, &[&nowhere, "s3://copy", "--retry-seconds", "1"]), 7, "unreachable");

    // One target of two is missing: the other one is served.
    let (_, stderr) =
        says(mirror(&server, &["s3://bucket", "s3://no-such-bucket", "s3://copy"]), 9, &["s3://copy/: 1 copied"]);
    assert!(stderr.contains("s3://no-such-bucket/: ") && stderr.contains("the bucket does not exist"), "{stderr}");
    assert_fails(mirror(&server, &["weights", "s3://copy"]), 1, "cannot ask the hub");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_a_place_like_any_other() {
    let server = server(3).await;
    let large = server.file("large", 20 << 20);
    assert_eq!(run(server.skyfleet(&["upload", &large, "s3://bucket/data", "deep/er/large"])).0, 0);
    let folder = server.folder.path().join("here");
    let here = folder.to_str().unwrap();
    assert_fails(mirror(&server, &["s3://bucket/data", here]), 6, "there is no such folder");
    std::fs::create_dir(&folder).unwrap();
    says(mirror(&server, &["s3://bucket/data", here]), 0, &["4 copied (20.0 MiB)"]);
    assert!(std::fs::read(folder.join("deep/er/large")).unwrap() == crate::content(20 << 20));
    says(mirror(&server, &["s3://bucket/data", here]), 0, &["0 copied (0 B), 4 as they should be"]);
    let unfinished = std::fs::read_dir(folder.join(".skyfleet/uploads")).unwrap().count();
    assert_eq!(unfinished, 0, "nothing of unfinished files is left");

    // A change of the same size, and the way back.
    std::fs::write(folder.join("00.bin"), vec![7; 1000]).unwrap();
    says(mirror(&server, &[here, "s3://copy"]), 0, &["4 copied"]);
    says(mirror(&server, &[here, "s3://copy"]), 0, &["0 copied (0 B), 4 as they should be"]);
    std::fs::write(folder.join("00.bin"), vec![8; 1000]).unwrap();
    says(mirror(&server, &[here, "s3://copy"]), 0, &["1 copied (1000 B), 3 as they should be"]);
    says(mirror(&server, &["s3://bucket/data", here]), 0, &["1 copied (1000 B), 3 as they should be"]);

    // What no file can be fails alone.
    assert_eq!(run(server.skyfleet(&["upload", &large, "s3://bucket/data", "a//b"])).0, 0);
    let (_, stderr) = says(mirror(&server, &["s3://bucket/data", here]), 9, &["4 as they should be, 1 failed"]);
    assert!(stderr.contains("\"a//b\"") && stderr.contains("a path has no empty part"), "{stderr}");
    let mut by_name = mirror(&server, &["here", "s3://copy"]);
    by_name.current_dir(server.folder.path());
    assert_fails(by_name, 2, "write ./here");
    let inner = format!("{here}/deep");
    assert_fails(mirror(&server, &[here, &inner]), 2, "overlap");
    std::fs::remove_file(folder.join("01.bin")).unwrap();
    says(
        mirror(&server, &[here, "s3://copy", "--delete", "--max-delete", "50"]),
        0,
        &["1 are not at the source, 1 removed"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cloud_is_reached_by_its_url() {
    let server = server(3).await;
    let (azure, google) = (server.folder.path().join("azure"), server.folder.path().join("google"));
    let azure = Azurite::start(&azure).await.unwrap();
    let google = FakeGcs::start(&google).await.unwrap();
    azure.create_bucket("copy").await.unwrap();
    google.create_bucket("copy").await.unwrap();
    let container = format!("az://{AZURITE_ACCOUNT}/copy");
    let at_azure = format!("{container}/d?endpoint={}", azure.endpoint());
    let mirror = |arguments: &[&str]| {
        let mut command = mirror(&server, arguments);
        command.env("AZURE_STORAGE_KEY", AZURITE_KEY).env("STORAGE_EMULATOR_HOST", google.endpoint());
        command
    };
    let copied = format!("{container}/d/: 3 copied (2.9 KiB), 0 as they should be");
    says(mirror(&["s3://bucket/data", &at_azure, "gs://copy"]), 0, &[&copied, "gs://copy/: 3 copied"]);
    says(mirror(&["s3://bucket/data", &at_azure, "gs://copy"]), 0, &["0 copied (0 B), 3 as they should be"]);
    says(mirror(&[&at_azure, "s3://other", "gs://copy"]), 0, &["s3://other/: 3 copied", "gs://copy/: 0 copied"]);
    says(mirror(&["gs://copy", "s3://other"]), 0, &["s3://other/: 0 copied (0 B), 3 as they should be"]);

    let mut refused = mirror(&[&at_azure, "gs://copy"]);
    refused.env("AZURE_STORAGE_KEY", "aHVudGVyMg==");
    let (_, stderr) = says(refused, 5, &[]);
    assert!(stderr.contains("refused the credentials") && !stderr.contains("aHVudGVyMg"), "{stderr}");
    assert_fails(mirror(&["az://account", "gs://copy"]), 2, "give az://ACCOUNT/CONTAINER[/PREFIX]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_killed_is_taken_up_again() {
    let server = server(1).await;
    for number in 0..12 {
        let file = server.file("large", (4 << 20) + number);
        assert_eq!(run(server.skyfleet(&["upload", &file, "s3://bucket/data", &format!("large-{number:02}")])).0, 0);
    }
    let arguments = ["s3://bucket/data", "s3://copy", "--transfers", "1"];
    let mut killed = mirror(&server, &[&arguments[..], &["--json"]].concat()).stdout(Stdio::piped()).spawn().unwrap();
    // As soon as a few objects are there, whatever the speed of the machine.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(killed.stdout.take().unwrap()));
    for _ in 0..4 {
        lines.next().unwrap().unwrap();
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (stdout, _) = says(mirror(&server, &[&arguments[..], &["--json"]].concat()), 0, &[]);
    let report: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let [settled, copied] = ["settled", "copied"].map(|name| report["targets"][0][name].as_u64().unwrap());
    assert!(settled >= 4 && settled + copied == 13, "{report}");
    says(mirror(&server, &arguments), 0, &["0 copied (0 B), 13 as they should be"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_split_over_targets_and_one_that_comes_takes_its_share() {
    let server = server(6).await;
    let two = ["s3://bucket/data", "s3://copy", "s3://other", "--shard", "count"];
    says(mirror(&server, &two), 0, &["s3://copy/: 3 copied", "s3://other/: 3 copied"]);
    says(mirror(&server, &two), 0, &["s3://copy/: 0 copied (0 B), 3 as they should be", "s3://other/: 0 copied"]);

    server.running.store.create_bucket("third").await.unwrap();
    let three = ["s3://bucket/data", "s3://copy", "s3://other", "s3://third", "--shard", "count"];
    let dry = mirror(&server, &[&three[..], &["--delete", "--dry-run"]].concat());
    says(dry, 0, &["s3://copy/: 0 to copy (0 B), 2 as they should be; 1 are another target's now, 1 to remove"]);
    says(mirror(&server, &three), 0, &["1 are another target's now, 0 removed", "s3://third/: 2 copied"]);
    let delete = [&three[..], &["--delete", "--max-delete", "0"]].concat();
    says(
        mirror(&server, &delete),
        0,
        &["s3://copy/: 0 copied (0 B), 2 as they should be; 1 are another target's now, 1 removed"],
    );
    says(mirror(&server, &delete), 0, &["s3://other/: 0 copied (0 B), 2 as they should be\ns3://third/: 0 copied"]);

    let unequal = mirror(&server, &[&two[..], &["--weights", "1,2,3"]].concat());
    let (_, stderr) = says(unequal, 2, &[]);
    assert!(stderr.contains("3 weights for 2 targets: give one for each, or none"), "{stderr}");
}
