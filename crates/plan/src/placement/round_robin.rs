//! Round robin: one replica to each eligible cluster in turn.

use std::collections::BTreeMap;

use super::filter::Verdict;

/// Replicas by cluster. Starting from what each holds, missing ones go one at a time to the eligible cluster with the
/// fewest, surplus ones leave the cluster with the most, so that nothing moves that need not; ties go by name. From an
/// empty start no two eligible clusters differ by more than one.
pub(super) fn share<'a>(
    wanted: i32,
    verdicts: &BTreeMap<&'a str, Verdict>,
    current: &BTreeMap<String, i32>,
) -> BTreeMap<&'a str, i32> {
    let mut shares: BTreeMap<&str, i32> = verdicts
        .iter()
        .map(|(cluster, verdict)| match verdict {
            Verdict::GivesUp(_) => (*cluster, 0),
            Verdict::Eligible | Verdict::Keeps(_) => (*cluster, current.get(*cluster).copied().unwrap_or(0).max(0)),
        })
        .collect();
    let missing = wanted - shares.values().sum::<i32>();
    for _ in 0..missing {
        let Some(share) = fewest(&mut shares, verdicts) else { break };
        *share += 1;
    }
    for _ in missing..0 {
        let Some(share) = most(&mut shares, verdicts) else { break };
        *share -= 1;
    }
    shares
}

fn fewest<'m>(shares: &'m mut BTreeMap<&str, i32>, verdicts: &BTreeMap<&str, Verdict>) -> Option<&'m mut i32> {
    shares
        .iter_mut()
        .filter(|(cluster, _)| verdicts.get(*cluster) == Some(&Verdict::Eligible))
        .min_by_key(|(cluster, share)| (**share, **cluster))
        .map(|(_, share)| share)
}

/// The cluster that gives one up: reachable before unreachable, because only there it takes effect now; then the one with
/// the most; then the last by name, the mirror image of how they were given.
fn most<'m>(shares: &'m mut BTreeMap<&str, i32>, verdicts: &BTreeMap<&str, Verdict>) -> Option<&'m mut i32> {
    let takes_effect = |cluster: &str| verdicts.get(cluster).is_some_and(Verdict::takes_effect);
    shares
        .iter_mut()
        .filter(|(_, share)| **share > 0)
        .max_by_key(|(cluster, share)| (takes_effect(cluster), **share, **cluster))
        .map(|(_, share)| share)
}
