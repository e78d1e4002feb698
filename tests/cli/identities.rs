//! `skyfleet mirror` as a pod of each cloud: with the variables that the clouds' webhooks set, and credentials that end.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use skyfleet_e2e::object_store::{
    AZURITE_ACCOUNT, Asked, Azurite, Contents, FakeGcs, Fault, SimulatedBucket, SimulatedS3,
};
use skyfleet_e2e::token_server::{ACCOUNT, AUDIENCE, CLIENT, Cloud, Gate, ROLE, TENANT, TokenServer};
use tempfile::TempDir;

use crate::{assert_fails, bare, run};

const SUBJECT: &str = "subject-hunter2";
const OBJECTS: usize = 300;

/// A pod: its token in a file, as a projected volume has it, and objects to mirror from a folder.
struct Pod {
    tokens: TokenServer,
    folder: TempDir,
}

impl Pod {
    async fn new() -> Self {
        let (tokens, folder) = (TokenServer::start(SUBJECT).await.unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("token"), SUBJECT).unwrap();
        std::fs::create_dir(folder.path().join("objects")).unwrap();
        for number in 0..OBJECTS {
            std::fs::write(folder.path().join(format!("objects/{number:03}")), number.to_string()).unwrap();
        }
        Self { tokens, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Takes all tokens back with every so many requests that a gate lets through.
    fn revoking(&self, every: usize) -> impl Fn() + Send + Sync + use<> {
        let (grants, asked) = (self.tokens.grants().clone(), AtomicUsize::new(0));
        move || {
            if asked.fetch_add(1, Ordering::SeqCst) % every == every - 1 {
                grants.revoke();
            }
        }
    }
}

#[track_caller]
fn copies_all(mut command: Command) {
    // Few at once: a request that is sent once more must not meet the next time that tokens are taken back.
    command.env("RUST_LOG", "off").args(["--transfers", "8"]);
    let (code, stdout, stderr) = run(command);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains(&format!("{OBJECTS} copied")) && !stderr.contains("hunter2"), "{stdout}{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed_by_the_token_in_the_pod() {
    let (pod, server) = (Pod::new().await, SimulatedS3::start().await.unwrap());
    server.admit_only(pod.tokens.grants());
    let keys = (0..OBJECTS).map(|number| format!("{number:04}"));
    server.set_bucket("source", SimulatedBucket::default().with(keys, &Contents::of("content".into())));
    server.set_bucket("target", SimulatedBucket::default());
    let revoke = pod.revoking(200);
    server.script(move |_: &Asked| {
        revoke();
        Fault::None
    });
    let mirror = |token: &str| {
        let mut command = bare(&["mirror", "s3://source", "s3://target"]);
        // No region: that of the bucket, or the default, has to do.
        command.env("AWS_ENDPOINT_URL", server.endpoint()).env("AWS_ENDPOINT_URL_STS", pod.tokens.endpoint());
        command.env("AWS_WEB_IDENTITY_TOKEN_FILE", pod.path(token)).env("AWS_ROLE_ARN", ROLE);
        command
    };
    copies_all(mirror("token"));
    assert!(server.expired() >= 2, "{}", server.expired());
    assert_eq!(server.bucket("target").unwrap().keys().filter(|key| !key.starts_with('.')).count(), OBJECTS);
    std::fs::write(pod.path("other"), "hunter2").unwrap();
    assert_fails(mirror("other"), 4, "InvalidIdentityToken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_entra_is_had_for_the_token_in_the_pod() {
    let pod = Pod::new().await;
    let azurite = Azurite::start(&pod.folder.path().join("azurite")).await.unwrap();
    azurite.create_bucket("copy").await.unwrap();
    let endpoint = azurite.endpoint();
    let upstream = endpoint.trim_end_matches(&format!("/{AZURITE_ACCOUNT}"));
    let gate = Gate::start(Cloud::Azure, upstream, pod.tokens.grants()).await.unwrap();
    gate.script(pod.revoking(100));
    let target = format!("az://{AZURITE_ACCOUNT}/copy?endpoint={}/{AZURITE_ACCOUNT}", gate.endpoint());
    let mut command = bare(&["mirror", &pod.path("objects"), &target]);
    command.env("AZURE_TENANT_ID", TENANT).env("AZURE_CLIENT_ID", CLIENT);
    command.env("AZURE_FEDERATED_TOKEN_FILE", pod.path("token")).env("AZURE_AUTHORITY_HOST", pod.tokens.endpoint());
    copies_all(command);
    assert!(gate.expired() >= 2, "{}", gate.expired());
}

/// Azurite itself: it looks when a token ends.
#[tokio::test(flavor = "multi_thread")]
async fn azurite_s_own_refusal_of_tokens_that_have_ended_is_understood() {
    let pod = Pod::new().await;
    let azurite = Azurite::start_with_tokens(&pod.folder.path().join("azurite")).await.unwrap();
    azurite.create_bucket("copy").await.unwrap();
    // Whole seconds: each is good for one to two of them, and said to be for an hour.
    pod.tokens.set_lifetime(Duration::from_secs(2), Duration::from_hours(1));
    let target = format!("az://{AZURITE_ACCOUNT}/copy?endpoint={}", azurite.endpoint());
    let mirror = || {
        let mut command = bare(&["mirror", &pod.path("objects"), &target, "--transfers", "1", "--json"]);
        command.env("AZURE_TENANT_ID", TENANT).env("AZURE_CLIENT_ID", CLIENT).env("RUST_LOG", "off");
        command.env("AZURE_FEDERATED_TOKEN_FILE", pod.path("token"));
        command.env("AZURE_AUTHORITY_HOST", pod.tokens.endpoint()).env("SSL_CERT_FILE", azurite.certificate().unwrap());
        command
    };
    for number in OBJECTS..OBJECTS * 4 {
        std::fs::write(pod.path(&format!("objects/{number:04}")), number.to_string()).unwrap();
    }
    let started = std::time::Instant::now();
    let (code, stdout, stderr) = run(mirror());
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(stdout.lines().filter(|line| line.contains(r#""event":"copied""#)).count(), OBJECTS * 4);
    let (given, took) = (pod.tokens.grants().given(), started.elapsed());
    assert!(given >= 2, "{given} given in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_google_is_had_by_the_file_of_an_external_account() {
    let pod = Pod::new().await;
    let google = FakeGcs::start(&pod.folder.path().join("google")).await.unwrap();
    google.create_bucket("copy").await.unwrap();
    let gate = Gate::start(Cloud::Google, &google.endpoint(), pod.tokens.grants()).await.unwrap();
    gate.script(pod.revoking(100));
    let services = pod.tokens.endpoint();
    let file = json!({
        "type": "external_account", "audience": AUDIENCE, "token_url": format!("{services}/v1/token"),
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "service_account_impersonation_url":
            format!("{services}/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"),
        "credential_source": {"file": pod.path("token"), "format": {"type": "text"}},
    });
    std::fs::write(pod.path("account.json"), file.to_string()).unwrap();
    let mut command = bare(&["mirror", &pod.path("objects"), &format!("gs://copy?endpoint={}", gate.endpoint())]);
    command.env("GOOGLE_APPLICATION_CREDENTIALS", pod.path("account.json"));
    // What impersonates an account asks for its scope.
    copies_all(command);
    assert!(gate.expired() >= 2, "{}", gate.expired());
}
