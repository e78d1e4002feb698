//! Builds programs of this work tree with cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::LabError;

/// Builds with `cargo build ARGUMENTS` in `folder` and returns the path of the one program it makes. Cargo's own progress
/// goes to standard error.
///
/// # Errors
/// When the build fails or makes no program.
pub(super) fn build(folder: &Path, arguments: &[&str], target: Option<&Path>) -> Result<PathBuf, LabError> {
    let mut command = Command::new("cargo");
    command.current_dir(folder).args(["build", "--locked", "--message-format=json-render-diagnostics"]).args(arguments);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    let failed = |reason| LabError::Command {
        command: format!("cargo build {} in {}", arguments.join(" "), folder.display()),
        reason,
    };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("{}; its errors are above", output.status)));
    }
    executable(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| failed("it made no program".to_owned()))
}

/// The last program among cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let message = |line| serde_json::from_str::<Value>(line).ok();
    messages.lines().rev().filter_map(message).find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn the_program_is_found_among_libraries() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/target/debug/skyfleet"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages).as_deref(), Some("/target/debug/skyfleet".as_ref()));
    }
}
