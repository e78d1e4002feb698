//! The name of a gateway's report.

use std::path::Path;

/// What comes before the gateway's own name.
const PREFIX: &str = "skyfleet-gateway-";
/// The most characters of an object's name.
const LONGEST: usize = 253;
/// Where Linux says what the machine, or the pod, is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// A gateway has no name for its report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadName {
    #[error(
        "{0:?} cannot be a part of an object's name, which has only a-z, 0-9, '-' and '.', and a letter or digit at both ends: \
         give another --name"
    )]
    Given(String),
    #[error("cannot read {HOST_NAME}, by which a gateway is called that is given no --name: {0}")]
    Unknown(std::io::Error),
}

/// The name of the report of a gateway that is called so, or as its pod or machine.
pub(crate) fn name(given: Option<&str>) -> Result<String, BadName> {
    if let Some(given) = given {
        return of(given).ok_or_else(|| BadName::Given(given.to_owned()));
    }
    let host = std::fs::read_to_string(Path::new(HOST_NAME)).map_err(BadName::Unknown)?;
    of_host(host.trim()).ok_or(BadName::Given(host))
}

fn of(given: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        ends.iter().all(|end| end.is_some_and(|byte| is_plain(*byte)))
            && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-')
    };
    let name = format!("{PREFIX}{given}");
    (given.split('.').all(is_label) && name.len() <= LONGEST).then_some(name)
}

/// Machines may be called otherwise than objects.
fn of_host(host: &str) -> Option<String> {
    let plain = |char: char| match char.to_ascii_lowercase() {
        plain @ ('a'..='z' | '0'..='9' | '-' | '.') => plain,
        _ => '-',
    };
    of(host.chars().map(plain).collect::<String>().trim_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_an_objects_name_is_taken() {
        for good in ["a", "gateway-7d9f-x2", "a.b", "0"] {
            assert_eq!(name(Some(good)).expect("a name"), format!("skyfleet-gateway-{good}"));
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a..b", ".a", "a/b", "ä", &"a".repeat(240)] {
            let error = name(Some(bad)).expect_err(bad);
            assert!(error.to_string().contains("--name"), "{error}");
        }
    }

    #[test]
    fn a_machine_may_be_called_otherwise() {
        for (host, expected) in [("My_Mac.local", Some("my-mac.local")), ("_x_", Some("x")), ("___", None)] {
            assert_eq!(of_host(host), expected.map(|name| format!("skyfleet-gateway-{name}")), "{host}");
        }
    }
}
