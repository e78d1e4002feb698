//! What is asked on the command line, checked against the fleet: pure.

use std::collections::BTreeMap;
use std::str::FromStr;

use skyfleet_plan::capacity::ModelKey;

use crate::cli::failure::Failure;
use crate::cli::fleet::Fleet;

/// `[NAMESPACE/]NAME=REPLICAS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    namespace: Option<String>,
    name: String,
    replicas: i32,
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?}: give [NAMESPACE/]NAME=REPLICAS, such as minilm=12");
        let (whole, replicas) = text.split_once('=').ok_or_else(wrong)?;
        let (namespace, name) = match whole.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, whole),
        };
        let replicas = replicas.parse().ok().filter(|replicas| (0..=100_000).contains(replicas)).ok_or_else(wrong)?;
        if name.is_empty() || namespace.as_ref().is_some_and(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self { namespace, name: name.to_owned(), replicas })
    }
}

/// The numbers of replicas that are wished for, each for the one ModelDeployment that is meant.
pub(super) fn scales(fleet: &Fleet, wishes: &[Scale]) -> Result<BTreeMap<ModelKey, i32>, Failure> {
    let mut all = BTreeMap::new();
    for wish in wishes {
        let Scale { namespace, name, replicas } = wish;
        let meant = |key: &&ModelKey| key.name == *name && namespace.as_ref().is_none_or(|of| key.namespace == *of);
        let found: Vec<&ModelKey> = fleet.models.keys().filter(meant).collect();
        match found.as_slice() {
            [key] => all.insert((*key).clone(), *replicas),
            [] => {
                let known = listed(fleet.models.keys().map(|key| format!("{}/{}", key.namespace, key.name)));
                return Err(Failure::Usage(format!("--scale: no ModelDeployment {name:?}; there are {known}")));
            }
            _ => {
                return Err(Failure::Usage(format!(
                    "--scale: several namespaces have {name:?}: give NAMESPACE/{name}"
                )));
            }
        };
    }
    Ok(all)
}

/// Refuses names of clusters that are not there.
pub(super) fn check_clusters(fleet: &Fleet, flag: &str, names: &[String]) -> Result<(), Failure> {
    match names.iter().find(|name| !fleet.clusters.contains_key(*name)) {
        Some(name) => {
            let known = listed(fleet.clusters.keys().cloned());
            Err(Failure::Usage(format!("{flag}: there is no Cluster {name:?}; there are {known}")))
        }
        None => Ok(()),
    }
}

/// The first of many names.
fn listed(names: impl Iterator<Item = String>) -> String {
    const MOST: usize = 12;
    let all: Vec<String> = names.collect();
    let more = if all.len() > MOST { format!(" and {} more", all.len() - MOST) } else { String::new() };
    format!("{}{more}", all.iter().take(MOST).cloned().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn a_number_for_a_name_is_read_and_anything_else_is_not() {
        let scale = |text: &str| text.parse::<Scale>();
        assert_eq!(scale("a=0"), Ok(Scale { namespace: None, name: "a".to_owned(), replicas: 0 }));
        assert_eq!(scale("n/a=7").map(|scale| scale.namespace), Ok(Some("n".to_owned())));
        for text in ["a", "a=", "a=-1", "a=x", "=3", "/a=3", "n/=3", "a=100001", "a=1.5"] {
            assert!(scale(text).is_err(), "{text}");
        }
    }
}
