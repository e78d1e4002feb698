//! Runs the machine's own tools (`ip`, `nft`, `ctr`, `docker`) to their end.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::LabError;

/// No tool the lab calls takes longer, except the import of a large image on a busy machine.
const LIMIT: Duration = Duration::from_mins(10);

/// Runs a program and returns its standard output.
///
/// # Errors
/// When it cannot start, fails, or does not end within ten minutes; with its standard error.
pub(crate) async fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String, LabError> {
    run_with_input(program, arguments, "").await
}

/// As [`run`], with `input` on the program's standard input.
pub(crate) async fn run_with_input<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    input: &str,
) -> Result<String, LabError> {
    let mut command = Command::new(program);
    command.args(arguments);
    output_of(command, input).await
}

/// As [`run_with_input`], for a command at hand, which may have a search path of its own.
pub(crate) async fn output_of(mut command: Command, input: &str) -> Result<String, LabError> {
    if !command.as_std().get_envs().any(|(name, _)| name == "PATH") {
        command.env("PATH", SEARCH_PATH);
    }
    command.kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let shown = line(&command);
    let failed = |reason: String| LabError::Command { command: shown.clone(), reason };

    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input says why on its standard error.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = match tokio::time::timeout(LIMIT, child.wait_with_output()).await {
        Ok(output) => output.map_err(|error| failed(error.to_string()))?,
        Err(_) => return Err(failed(format!("no end within {} s", LIMIT.as_secs()))),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())))
}

/// Root's search path: a shell without a login may lack the `sbin` folders.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn line(command: &Command) -> String {
    let command = command.as_std();
    let parts = std::iter::once(command.get_program()).chain(command.get_args());
    parts.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
