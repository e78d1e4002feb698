//! The programs that are compared, each as its users run it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use skyfleet_e2e::object_store::{ObjectStore, REGION};

pub(crate) enum Program {
    Skyfleet(PathBuf),
    S3sync(PathBuf),
}

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system, of the program alone.
    pub(crate) cpu: Duration,
    /// The most memory that any program under test has had so far, in KiB: the system tells no more.
    pub(crate) rss: i64,
}

impl Program {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Skyfleet(_) => "skyfleet",
            Self::S3sync(_) => "s3sync",
        }
    }

    /// Mirrors a bucket to another one.
    pub(crate) fn mirror(&self, store: &ObjectStore, source: &str, target: &str) -> Result<Cost, String> {
        let (source, target) = (format!("s3://{source}"), format!("s3://{target}"));
        let mut command = match self {
            Self::Skyfleet(path) => {
                let mut command = Command::new(path);
                command.args(["mirror", &source, &target, "--transfers", "16"]);
                command
            }
            Self::S3sync(path) => {
                let mut command = Command::new(path);
                for side in ["source", "target"] {
                    command.arg(format!("--{side}-endpoint-url")).arg(store.endpoint());
                    command.arg(format!("--{side}-region")).arg(REGION);
                    command.arg(format!("--{side}-access-key")).arg(&store.access_key_id);
                    command.arg(format!("--{side}-secret-access-key")).arg(&store.secret_access_key);
                    command.arg(format!("--{side}-force-path-style"));
                }
                command.args([&source, &target]);
                command
            }
        };
        command.env("AWS_ENDPOINT_URL", store.endpoint()).env("AWS_REGION", REGION);
        command.env("AWS_ACCESS_KEY_ID", &store.access_key_id);
        command.env("AWS_SECRET_ACCESS_KEY", &store.secret_access_key);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let (start, before) = (Instant::now(), children()?);
        let output = command.output().map_err(|error| format!("cannot run {}: {error}", self.name()))?;
        let (wall, after) = (start.elapsed(), children()?);
        if !output.status.success() {
            return Err(format!("{} failed: {}", self.name(), String::from_utf8_lossy(&output.stderr)));
        }
        Ok(Cost { wall, cpu: after.0.saturating_sub(before.0), rss: after.1 })
    }
}

/// CPU time of the children that have ended, and the most memory of any of them in KiB.
fn children() -> Result<(Duration, i64), String> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| format!("cannot ask for usage: {error}"))?;
    let time = |of: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(of.tv_sec()).unwrap_or_default();
        Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(of.tv_usec()).unwrap_or_default())
    };
    Ok((time(usage.user_time()) + time(usage.system_time()), usage.max_rss()))
}
