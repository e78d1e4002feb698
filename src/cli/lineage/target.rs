//! Which DatasetReplica a person means.

use std::str::FromStr;

/// The words by which kubectl knows the kind.
const KINDS: [&str; 5] =
    ["datasetreplica", "datasetreplicas", "skd", "datasetreplica.skyfleet.dev", "datasetreplicas.skyfleet.dev"];

/// `datasetreplica/NAME` in one of kubectl's spellings, or just the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target(pub(super) String);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = text.split_once('/').unwrap_or((KINDS[0], text));
        if !KINDS.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
            return Err(format!("{kind:?} is another kind: give datasetreplica/NAME"));
        }
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        let wrong = || format!("{name:?} is no name of a DatasetReplica: give datasetreplica/NAME");
        is_name.then(|| Self(name.to_owned())).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn kubectl_s_spellings_are_known_and_others_are_refused() {
        for text in ["clean", "datasetreplica/clean", "DatasetReplica/clean", "skd/clean"] {
            assert_eq!(text.parse(), Ok(Target("clean".to_owned())), "{text}");
        }
        for text in ["", "bucket/clean", "skd/", "skd/a/b", "Clean"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
