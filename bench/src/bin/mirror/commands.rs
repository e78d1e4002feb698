//! The command lines of the programs, each as its users write it: with an endpoint, credentials, and no settings beside.

use std::process::Command;

use skyfleet_e2e::object_store::{AZURITE_ACCOUNT, AZURITE_KEY, SIMULATED_KEY, azurite_signature};

use crate::measured;
use crate::program::{Peer, Place, Program, Surroundings};

const REGION: &str = "us-east-1";

pub(crate) fn command(
    program: &Program,
    surroundings: &Surroundings,
    source: Place<'_>,
    targets: &[Place<'_>],
) -> Result<Command, String> {
    let Some(target) = targets.first() else { return Err("there is no target".to_owned()) };
    // Objects that were written at once and are copied in parts have another ETag, of which s3sync warns.
    let success = if program.peer == Some(Peer::S3sync) { 3 } else { 0 };
    let mut command = measured::command(&program.path, success)?;
    common(&mut command, surroundings);
    match program.peer {
        None => {
            command.arg("mirror").arg(skyfleet_place(source)).args(targets.iter().copied().map(skyfleet_place));
        }
        Some(Peer::S3sync) => s3sync(&mut command, surroundings, source, *target),
        Some(Peer::Rclone) => rclone(&mut command, surroundings, source, *target),
        Some(Peer::S5cmd) => {
            command.args(["--endpoint-url", &surroundings.endpoint, "sync"]);
            // It takes a bucket for one object unless there is a pattern.
            let source = if let Place::Bucket(name) = source { format!("s3://{name}/*") } else { plain_place(source) };
            command.args([source, plain_place(*target)]);
        }
        Some(Peer::Awscli) => {
            command.args(["s3", "sync"]).args([plain_place(source), plain_place(*target)]);
        }
        Some(Peer::Azcopy) => {
            // It cannot tell Azure from an address.
            command.args(["sync", "--from-to", "LocalBlob"]).args([plain_place(source), plain_place(*target)]);
        }
    }
    Ok(command)
}

/// What they all look for in the environment.
fn common(command: &mut Command, surroundings: &Surroundings) {
    let (key, secret) = SIMULATED_KEY;
    command.env("AWS_ENDPOINT_URL", &surroundings.endpoint);
    command.env("AWS_REGION", REGION).env("AWS_DEFAULT_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret).env("AZURE_STORAGE_KEY", AZURITE_KEY);
    command.env("HOME", &surroundings.home);
    if let Some(certificate) = &surroundings.certificate {
        command.env("SSL_CERT_FILE", certificate).env("AWS_CA_BUNDLE", certificate);
    }
}

fn skyfleet_place(place: Place<'_>) -> String {
    match place {
        Place::Bucket(name) => format!("s3://{name}"),
        Place::Folder(path) => path.display().to_string(),
        Place::Container(server, name) => format!("az://{AZURITE_ACCOUNT}/{name}?endpoint={}", server.endpoint()),
    }
}

/// As s5cmd, the AWS CLI, AzCopy and s3sync write it.
fn plain_place(place: Place<'_>) -> String {
    match place {
        Place::Bucket(name) => format!("s3://{name}/"),
        Place::Folder(path) => format!("{}/", path.display()),
        Place::Container(server, name) => format!("{}/{name}{}", server.endpoint(), azurite_signature("rwdlac")),
    }
}

fn s3sync(command: &mut Command, surroundings: &Surroundings, source: Place<'_>, target: Place<'_>) {
    let (key, secret) = SIMULATED_KEY;
    for (side, place) in [("source", source), ("target", target)] {
        if !matches!(place, Place::Bucket(_)) {
            continue;
        }
        command.arg(format!("--{side}-endpoint-url")).arg(&surroundings.endpoint);
        command.args([format!("--{side}-region"), REGION.to_owned()]);
        command.args([format!("--{side}-access-key"), key.to_owned()]);
        command.args([format!("--{side}-secret-access-key"), secret.to_owned()]);
        command.arg(format!("--{side}-force-path-style"));
    }
    command.args([plain_place(source), plain_place(target)]);
}

fn rclone(command: &mut Command, surroundings: &Surroundings, source: Place<'_>, target: Place<'_>) {
    let (key, secret) = SIMULATED_KEY;
    let mut set = |remote: &str, settings: &[(&str, &str)]| {
        for (name, value) in settings {
            command.env(format!("RCLONE_CONFIG_{remote}_{name}"), value);
        }
    };
    // Two names, or it would ask the server to copy.
    for remote in ["HERE", "THERE"] {
        set(remote, &[("TYPE", "s3"), ("PROVIDER", "Other"), ("ENDPOINT", &surroundings.endpoint), ("REGION", REGION)]);
        set(remote, &[("ACCESS_KEY_ID", key), ("SECRET_ACCESS_KEY", secret), ("FORCE_PATH_STYLE", "true")]);
        set(remote, &[("LIST_VERSION", "2"), ("NO_CHECK_BUCKET", "true")]);
    }
    if let Place::Container(server, _) = target {
        set("AZURE", &[("TYPE", "azureblob"), ("ACCOUNT", AZURITE_ACCOUNT), ("KEY", AZURITE_KEY)]);
        set("AZURE", &[("ENDPOINT", &server.endpoint())]);
    }
    let place = |remote: &str, place: Place<'_>| match place {
        Place::Bucket(name) => format!("{remote}:{name}"),
        Place::Folder(path) => path.display().to_string(),
        Place::Container(_, name) => format!("azure:{name}"),
    };
    command.args(["copy", &place("here", source), &place("there", target)]);
}
