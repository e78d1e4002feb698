//! What a program takes. The system tells the most memory of all children together: so each program is run by a process of its own,
//! which is this one again.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// The argument that asks to run another program.
const RUN: &str = "--run-other";

/// What one run took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system, of the program alone.
    pub(crate) cpu: Duration,
    /// The most memory it had, in KiB.
    pub(crate) memory: i64,
}

/// A command that runs this one and prints its [`Cost`]. Beside 0, this status is success.
pub(crate) fn command(program: &std::path::Path, success: i32) -> Result<Command, String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut command = Command::new(own);
    command.arg(RUN).arg(success.to_string()).arg(program).env_clear().stdin(Stdio::null());
    Ok(command)
}

/// Runs such a command to its end.
pub(crate) async fn cost(command: Command) -> Result<Cost, String> {
    let output = tokio::process::Command::from(command).kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("cannot run this program: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// When this process is such a command: the status to end with.
pub(crate) fn run_other() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != RUN {
        return None;
    }
    let success: i32 = arguments.next()?.to_str()?.parse().ok()?;
    let program = arguments.next()?;
    let start = Instant::now();
    let output = Command::new(&program).args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let wall = start.elapsed();
    let outcome = match output {
        Ok(output) if output.status.code().is_some_and(|code| code == 0 || code == success) => usage(wall),
        Ok(output) => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("cannot run {}: {error}", program.display())),
    };
    match outcome.and_then(|cost| serde_json::to_string(&cost).map_err(|error| error.to_string())) {
        Ok(cost) => {
            println!("{cost}");
            Some(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("{error}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn usage(wall: Duration) -> Result<Cost, String> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| format!("cannot ask for usage: {error}"))?;
    let time = |of: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(of.tv_sec()).unwrap_or_default();
        Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(of.tv_usec()).unwrap_or_default())
    };
    Ok(Cost { wall, cpu: time(usage.user_time()) + time(usage.system_time()), memory: usage.max_rss() })
}
