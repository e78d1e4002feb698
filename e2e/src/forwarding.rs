//! The machine as the router between the clusters, where a firewall drops what it does not know; and its undoing.

use std::process::Command;

use crate::command::SEARCH_PATH;
use crate::error::LabError;
use crate::install::is_installed;
use crate::tools::run;

/// From the link of any cluster to that of any other, and nothing else.
const RULE: [&str; 9] = ["FORWARD", "-i", "skyfleet+", "-o", "skyfleet+", "-m", "comment", "--comment", "skyfleet-lab"];
const LIST: [&str; 4] = ["-w", "10", "-S", "FORWARD"];

/// Lets the machine pass packets between the clusters, also where Docker or ufw have it drop what they do not know. Call it
/// under the ledger's lock, so that no lab restores what another one needs.
pub(crate) fn enable() -> Result<(), LabError> {
    if is_installed("iptables") && lacks_rule(&iptables(&LIST)?) {
        iptables(&change("-I"))?;
    }
    Ok(())
}

/// Gives the machine back what [`enable`] found.
pub(crate) fn restore() -> Result<(), LabError> {
    if is_installed("iptables") && has_rule(&iptables(&LIST)?) {
        iptables(&change("-D"))?;
    }
    Ok(())
}

fn iptables(arguments: &[&str]) -> Result<String, LabError> {
    run(Command::new("iptables").args(arguments).env("PATH", SEARCH_PATH))
}

/// Whether packets between clusters would be dropped by what `iptables -S FORWARD` lists.
fn lacks_rule(listed: &str) -> bool {
    listed.contains("-P FORWARD DROP") && !has_rule(listed)
}

fn has_rule(listed: &str) -> bool {
    listed.contains("--comment skyfleet-lab")
}

/// iptables' arguments that insert (`-I`) the rule before all others, or delete (`-D`) it.
fn change(action: &str) -> Vec<&str> {
    ["-w", "10", action].into_iter().chain(RULE).chain(["-j", "ACCEPT"]).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What iptables lists after these calls, in a network namespace of their own.
    fn listed_after(calls: &[Vec<&str>]) -> String {
        let lines: Vec<String> = calls.iter().map(|call| format!("iptables {}", call.join(" "))).collect();
        let mut command = Command::new("unshare");
        let output = command.args(["--map-root-user", "--net", "sh", "-ec", &lines.join("; ")]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_machine_that_drops_gets_one_rule_and_loses_it_again() {
        if !is_installed("iptables") {
            eprintln!("not tested: iptables is not installed");
            return;
        }
        let list = LIST.to_vec();
        let accepts = listed_after(std::slice::from_ref(&list));
        assert!(!lacks_rule(&accepts) && !has_rule(&accepts), "{accepts}");

        let drop = vec!["-P", "FORWARD", "DROP"];
        let drops = listed_after(&[drop.clone(), list.clone()]);
        assert!(lacks_rule(&drops) && !has_rule(&drops), "{drops}");

        let ruled = listed_after(&[drop.clone(), change("-I"), list.clone()]);
        assert!(!lacks_rule(&ruled) && has_rule(&ruled), "{ruled}");

        assert_eq!(listed_after(&[drop, change("-I"), change("-D"), list]), drops);
    }
}
