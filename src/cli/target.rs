//! Which ModelDeployment a person means.

use std::fmt;
use std::str::FromStr;

/// The words by which kubectl knows the kind.
const KINDS: [&str; 5] =
    ["modeldeployment", "modeldeployments", "skm", "modeldeployment.skyfleet.dev", "modeldeployments.skyfleet.dev"];

/// `modeldeployment/NAME` in one of kubectl's spellings, or just the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = text.split_once('/').unwrap_or((KINDS[0], text));
        if !KINDS.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
            return Err(format!("{kind:?} is another kind: give modeldeployment/NAME"));
        }
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if is_name {
            Ok(Self { name: name.to_owned() })
        } else {
            Err(format!("{name:?} is no name of a ModelDeployment: give modeldeployment/NAME"))
        }
    }
}

/// For a sentence; with `{:#}` as kubectl begins what it reports.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return write!(f, "modeldeployment.skyfleet.dev/{}", self.name);
        }
        write!(f, "the ModelDeployment {:?}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn kubectl_s_spellings_are_known_and_others_are_refused() {
        for text in ["minilm", "modeldeployment/minilm", "ModelDeployment/minilm", "skm/minilm"] {
            assert_eq!(text.parse(), Ok(Target { name: "minilm".to_owned() }), "{text}");
        }
        for text in ["", "cluster/aws-1", "skm/", "skm/a/b", "Minilm", "skm/a b"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
