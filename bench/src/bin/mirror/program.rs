//! The programs that are compared, each as its users run it.

use std::path::{Path, PathBuf};

use skyfleet_e2e::object_store::SIMULATED_KEY;

use crate::measured::{self, Cost};

const REGION: &str = "us-east-1";

pub(crate) enum Program {
    Skyfleet(PathBuf),
    S3sync(PathBuf),
    Rclone(PathBuf),
}

impl Program {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Skyfleet(_) => "skyfleet",
            Self::S3sync(_) => "s3sync",
            Self::Rclone(_) => "rclone",
        }
    }

    /// Brings buckets up to date with another one: one after the other where a program knows only one target.
    pub(crate) async fn mirror(
        &self,
        endpoint: &str,
        certificate: Option<&Path>,
        source: &str,
        targets: &[&str],
    ) -> Result<Cost, String> {
        let (key, secret) = SIMULATED_KEY;
        let failed = |error| format!("{} failed: {error}", self.name());
        let mut command = match self {
            Self::Skyfleet(path) => {
                let mut command = measured::command(path, 0)?;
                command.arg("mirror").arg(format!("s3://{source}"));
                command.args(targets.iter().map(|target| format!("s3://{target}")));
                command
            }
            Self::S3sync(path) => {
                // Objects that were written at once and are copied in parts have another ETag, of which it warns.
                let mut command = measured::command(path, 3)?;
                for side in ["source", "target"] {
                    command.arg(format!("--{side}-endpoint-url")).arg(endpoint);
                    command.args([format!("--{side}-region"), REGION.to_owned()]);
                    command.args([format!("--{side}-access-key"), key.to_owned()]);
                    command.args([format!("--{side}-secret-access-key"), secret.to_owned()]);
                    command.arg(format!("--{side}-force-path-style"));
                }
                command.args([format!("s3://{source}"), format!("s3://{}", targets[0])]);
                command
            }
            Self::Rclone(path) => {
                let mut command = measured::command(path, 0)?;
                // Two names, or it would ask the server to copy.
                for remote in ["HERE", "THERE"] {
                    let mut set = |name: &str, value: &str| {
                        command.env(format!("RCLONE_CONFIG_{remote}_{name}"), value);
                    };
                    set("TYPE", "s3");
                    set("PROVIDER", "Other");
                    set("ENDPOINT", endpoint);
                    set("REGION", REGION);
                    set("ACCESS_KEY_ID", key);
                    set("SECRET_ACCESS_KEY", secret);
                    set("FORCE_PATH_STYLE", "true");
                    set("LIST_VERSION", "2");
                    set("NO_CHECK_BUCKET", "true");
                }
                command.args(["copy", &format!("here:{source}"), &format!("there:{}", targets[0])]);
                command
            }
        };
        command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_REGION", REGION).env("HOME", "/nonexistent");
        command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret);
        if let Some(certificate) = certificate {
            command.env("SSL_CERT_FILE", certificate);
        }
        measured::cost(command).await.map_err(failed)
    }
}
