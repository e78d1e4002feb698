//! Programs that belong to the server.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::SERVER;
use crate::DriverError;

/// So much of what a program says is kept: what is wrong comes first.
const MOST: u64 = 16 << 10;

/// Runs a program to its end.
///
/// # Errors
/// It cannot be run, takes too long, or does not succeed; then its own words are in the error.
pub(super) async fn run(argv: &[String], further: &[&str], bound: Duration) -> Result<(), DriverError> {
    let program = argv.first().map(String::as_str).unwrap_or_default();
    let failed = |source| DriverError::Program { program: program.to_owned(), source };
    let mut command = Command::new(program);
    command.args(argv.iter().skip(1)).args(further).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let errors = child.stderr.take();
    let ended = async {
        let mut said = Vec::new();
        if let Some(errors) = errors {
            errors.take(MOST).read_to_end(&mut said).await?;
        }
        Ok((child.wait().await?, said))
    };
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, format!("it has not ended within {bound:?}"));
    let (status, said) = timeout(bound, ended).await.unwrap_or_else(|_| Err(late())).map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let said = format!("{program}: {}: {}", status, String::from_utf8_lossy(&said).trim());
    Err(DriverError::Refused { server: SERVER, said })
}
