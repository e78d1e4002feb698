//! Which object a person means.

use std::fmt;
use std::str::FromStr;

/// A kind, and the words by which kubectl knows it.
struct Kind {
    name: &'static str,
    words: [&'static str; 5],
}

const MODEL_DEPLOYMENT: Kind = Kind {
    name: "ModelDeployment",
    words: [
        "modeldeployment",
        "modeldeployments",
        "skm",
        "modeldeployment.skyfleet.dev",
        "modeldeployments.skyfleet.dev",
    ],
};
const DATASET_REPLICA: Kind = Kind {
    name: "DatasetReplica",
    words: ["datasetreplica", "datasetreplicas", "skd", "datasetreplica.skyfleet.dev", "datasetreplicas.skyfleet.dev"],
};

impl Kind {
    /// The name in `KIND/NAME`, in one of kubectl's spellings, or in just the name.
    fn name_in(&self, text: &str) -> Result<String, String> {
        let Self { name: kind, words } = self;
        let (given, name) = text.split_once('/').unwrap_or((words[0], text));
        if !words.iter().any(|known| known.eq_ignore_ascii_case(given)) {
            return Err(format!("{given:?} is another kind: give {}/NAME", words[0]));
        }
        let is_name = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        let wrong = || format!("{name:?} is no name of a {kind}: give {}/NAME", words[0]);
        is_name.then(|| name.to_owned()).ok_or_else(wrong)
    }
}

/// The name of a DatasetReplica, from `datasetreplica/NAME` or just the name.
pub(super) fn dataset_replica(text: &str) -> Result<String, String> {
    DATASET_REPLICA.name_in(text)
}

/// `modeldeployment/NAME` in one of kubectl's spellings, or just the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        MODEL_DEPLOYMENT.name_in(text).map(|name| Self { name })
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
    use super::{Target, dataset_replica};

    #[test]
    fn kubectl_s_spellings_are_known_and_others_are_refused() {
        for text in ["minilm", "modeldeployment/minilm", "ModelDeployment/minilm", "skm/minilm"] {
            assert_eq!(text.parse(), Ok(Target { name: "minilm".to_owned() }), "{text}");
        }
        for text in ["", "cluster/aws-1", "skm/", "skm/a/b", "Minilm", "skm/a b"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert_eq!(dataset_replica("skd/clean"), Ok("clean".to_owned()));
        let said = dataset_replica("skm/clean").expect_err("another kind");
        assert_eq!(said, "\"skm\" is another kind: give datasetreplica/NAME");
    }
}
