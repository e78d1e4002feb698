//! Programs that are run.

use std::ffi::OsStr;
use std::io::{Error, ErrorKind};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use crate::DriverError;

/// Of what a program prints. A configuration of thousands of routes has some megabytes.
const MOST_PRINTED: u64 = 64 << 20;
/// Of what an error has of it.
const MOST_TOLD: usize = 2000;

/// What a program has said.
pub(crate) struct Said {
    pub(crate) is_ok: bool,
    pub(crate) printed: Vec<u8>,
    /// The end of its words about errors.
    pub(crate) errors: String,
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be run, or takes too long: then it is ended.
pub(crate) async fn run<A: AsRef<OsStr>>(words: &[String], further: &[A], most: Duration) -> Result<Said, DriverError> {
    let program = words.first().cloned().unwrap_or_default();
    let failed = |source| DriverError::Program { program: program.clone(), source };
    let mut command = Command::new(&program);
    command.args(words.iter().skip(1)).args(further).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let whole = async {
        let mut child = command.spawn()?;
        let (printed, errors) = (child.stdout.take(), child.stderr.take());
        let (printed, errors) = tokio::try_join!(all_of(printed), all_of(errors))?;
        let is_ok = child.wait().await?.success();
        Ok(Said { is_ok, printed, errors: told(&errors) })
    };
    let late = |_| Err(Error::new(ErrorKind::TimedOut, format!("{} has not ended within {most:?}", words.join(" "))));
    timeout(most, whole).await.unwrap_or_else(late).map_err(failed)
}

/// Runs a program that has to succeed.
///
/// # Errors
/// Those of [`run`], and its own words if it does not succeed.
pub(crate) async fn succeed(
    server: &'static str,
    words: &[String],
    further: &[&str],
    most: Duration,
) -> Result<(), DriverError> {
    let Said { is_ok, errors, .. } = run(words, further, most).await?;
    if is_ok { Ok(()) } else { Err(DriverError::Refused { server, said: errors }) }
}

async fn all_of(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if let Some(from) = from {
        from.take(MOST_PRINTED).read_to_end(&mut all).await?;
    }
    Ok(all)
}

fn told(errors: &[u8]) -> String {
    let end = errors.len().saturating_sub(MOST_TOLD);
    String::from_utf8_lossy(&errors[end..]).trim().to_owned()
}
