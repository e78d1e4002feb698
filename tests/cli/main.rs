//! The verbs as a person and a pod run them: messages, exit statuses, results. Those that move data run against a real S3
//! server.
#![allow(clippy::unwrap_used)]

mod admin_page;
mod hub;
mod identities;
mod lineage;
mod mirror;
mod plugin;
mod rows;
mod simulate;
mod transform;
mod watched_hub;

use std::path::Path;
use std::process::{Command, Output};

use skyfleet_e2e::object_store::{ObjectStore, RunningObjectStore};
use tempfile::TempDir;

struct Server {
    running: RunningObjectStore,
    folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = ObjectStore::on_loopback(folder.path().join("garage")).unwrap();
        let running = store.start().await.unwrap();
        running.store.create_bucket("bucket").await.unwrap();
        Self { running, folder }
    }

    /// The program with this server and its key, and nothing else from the environment.
    fn skyfleet(&self, arguments: &[&str]) -> Command {
        let store = &self.running.store;
        let mut command = bare(arguments);
        command
            .env("AWS_ENDPOINT_URL", store.endpoint())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", &store.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &store.secret_access_key);
        command
    }

    fn file(&self, name: &str, size: usize) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content(size)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skyfleet"));
    command.args(arguments).env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent");
    command
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|index| u8::try_from((index ^ (index >> 8) ^ (index >> 16)) & 0xff).unwrap()).collect()
}

fn run(mut command: Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[track_caller]
fn assert_fails(command: Command, status: i32, says: &str) {
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, status, "{stderr}");
    assert!(stderr.contains(says), "{stderr}");
    assert!(stdout.is_empty(), "success is only said when it is one: {stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_says_what_the_store_confirmed() {
    let server = Server::start().await;
    let large = server.file("model weights.bin", 20 << 20);
    let (code, stdout, stderr) = run(server.skyfleet(&["upload", &large, "s3://bucket/models"]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("s3://bucket/models/model weights.bin"), "{stdout}");
    assert!(stdout.contains("20971520 bytes") && stdout.contains("confirmed"), "{stdout}");
    assert!(stderr.contains("100% of 20971520 bytes"), "{stderr}");
    let (code, stdout, _) = run(server.skyfleet(&["upload", &server.file("small", 3), "s3://bucket", "a/b c"]));
    assert!(code == 0 && stdout.contains("s3://bucket/a/b c"), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_an_upload_has_its_message_and_status() {
    let server = Server::start().await;
    let file = server.file("file", 10);
    let upload = |bucket: &str| server.skyfleet(&["upload", &file, bucket]);

    assert_fails(upload("gs://bucket"), 2, "s3://BUCKET");
    assert_fails(server.skyfleet(&["upload"]), 2, "Usage");
    assert_fails(server.skyfleet(&["upload", "/no/such/file", "s3://bucket"]), 3, "/no/such/file");
    let folder = server.folder.path().to_str().unwrap();
    assert_fails(server.skyfleet(&["upload", folder, "s3://bucket"]), 3, "not a regular file");

    let mut nobody = upload("s3://bucket");
    nobody.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    assert_fails(nobody, 4, "no credentials were found");
    let mut refused = upload("s3://bucket");
    refused.env("AWS_SECRET_ACCESS_KEY", "hunter2");
    assert_fails(refused, 5, "refused the credentials");
    assert_fails(upload("s3://no-such-bucket"), 6, "the bucket does not exist");
    let mut elsewhere = upload("s3://bucket");
    elsewhere.env("AWS_REGION", "eu-west-1");
    assert_fails(elsewhere, 1, "the store says \"us-east-1\"");
    let mut nowhere = upload("s3://bucket");
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    nowhere.args(["--retry-seconds", "1"]).env("AWS_ENDPOINT_URL", format!("http://{free}"));
    assert_fails(nowhere, 7, "unreachable");

    // A name asks the hub; there is none.
    assert_fails(upload("weights"), 1, "cannot ask the hub");
}

fn fetch(server: &Server, digest: &str, into: &Path) -> Command {
    let into = into.to_str().unwrap();
    let mut command = server.skyfleet(&["fetch", "--bucket", "bucket", "--dataset", "ml.weights"]);
    command.args(["--digest", digest, "--into", into]);
    command
}

/// Puts a dataset of one file into the bucket the way a mirror does; gives the manifest's digest.
fn dataset(server: &Server, sha256: &str) -> String {
    let file = server.file("model.bin", 1 << 20);
    let (code, stdout, stderr) = run(server.skyfleet(&["upload", &file, "s3://bucket"]));
    assert_eq!(code, 0, "{stderr}");
    let found = stdout.split("sha256:").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let sha256 = if sha256.is_empty() { &found } else { sha256 };
    let line = format!("{{\"key\":\"model.bin\",\"size\":{},\"sha256\":\"{sha256}\"}}\n", 1 << 20);
    let manifest = server.folder.path().join("manifest");
    std::fs::write(&manifest, &line).unwrap();
    let digest = skyfleet_mirror::Sha256::of(line.as_bytes()).to_string();
    // The reserved prefix cannot be written by an OBJECT, and a prefix of the bucket is the way round for a test.
    let folder = "s3://bucket/.skyfleet/manifests/ml.weights";
    let object = format!("{digest}.jsonl");
    let (code, _, stderr) = run(server.skyfleet(&["upload", manifest.to_str().unwrap(), folder, &object]));
    assert_eq!(code, 0, "{stderr}");
    format!("sha256:{digest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_brings_the_files_and_may_be_run_again() {
    let server = Server::start().await;
    let digest = dataset(&server, "");
    let into = server.folder.path().join("into");
    for skipped in ["0 were there", "1 were there"] {
        let (code, stdout, stderr) = run(fetch(&server, &digest, &into));
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains(skipped), "{stdout}");
        assert_eq!(std::fs::read(into.join("model.bin")).unwrap(), content(1 << 20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_a_fetch_has_its_message_and_status() {
    let server = Server::start().await;
    let digest = dataset(&server, "");
    let into = server.folder.path().join("into");
    let good = || fetch(&server, &digest, &into);

    assert_fails(fetch(&server, "sha256:1", &into), 2, "64 lower-case hexadecimal digits");
    assert_fails(fetch(&server, &digest, &server.folder.path().join("model.bin/x")), 3, "cannot write");
    let mut nobody = good();
    nobody.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    assert_fails(nobody, 4, "no credentials were found");
    let mut refused = good();
    refused.env("AWS_SECRET_ACCESS_KEY", "hunter2");
    assert_fails(refused, 5, "refused the credentials");
    let mut missing = good();
    missing.args(["--path", "no/such"]);
    assert_fails(missing, 1, "starts with \"no/such\"");
    let wrong = dataset(&server, &"0".repeat(64));
    assert_fails(fetch(&server, &wrong, &into), 8, "not what the manifest says");
    assert_fails(fetch(&server, &format!("sha256:{}", "1".repeat(64)), &into), 1, "has no manifest");
    let mut nowhere = good();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    nowhere.args(["--retry-seconds", "1"]).env("AWS_ENDPOINT_URL", format!("http://{free}"));
    assert_fails(nowhere, 7, "unreachable");
    assert!(!into.join("model.bin").exists());
}

/// A pod that starts during an outage waits it out.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_survives_a_short_outage() {
    let server = Server::start().await;
    let digest = dataset(&server, "");
    let into = server.folder.path().join("into");
    let mut command = fetch(&server, &digest, &into);
    let Server { running, folder: _folder } = server;
    let stopped = running.kill().await.unwrap();
    let mut waiting = command.spawn().unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(waiting.try_wait().unwrap().is_none(), "it gave up");
    let _again = stopped.start().await.unwrap();
    let status = tokio::task::spawn_blocking(move || waiting.wait()).await.unwrap().unwrap();
    assert!(status.success());
    assert!(into.join("model.bin").exists());
}
