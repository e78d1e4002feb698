//! Which member cluster gets how many replicas: snapshot → filter → assign, with a verdict on every cluster.
//!
//! What holds for every plan:
//! * the same input gives the same output, whatever the order of the clusters;
//! * replicas in a cluster that cannot be reached are counted and left: silence is not absence;
//! * nothing moves that need not: more replicas only add, fewer only remove.

mod filter;
mod round_robin;
mod snapshot;

pub use filter::{Exclusion, Verdict};
pub use snapshot::{Candidate, Data, Request};

use std::collections::BTreeMap;

use kube::core::ParseExpressionError;

/// Replicas decided for one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The cluster's name.
    pub cluster: String,
    /// How many replicas it shall hold; 0 where its last ones shall go.
    pub replicas: i32,
    /// Why, for a person.
    pub why: String,
}

/// Where the replicas of one ModelDeployment shall run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every cluster that holds or shall hold replicas, by name.
    pub assignments: Vec<Assignment>,
    /// Replicas that no cluster may take.
    pub unplaced: i32,
    /// Every cluster that gets no new replica, by name, with the reason.
    pub exclusions: BTreeMap<String, Exclusion>,
}

/// Shares the replicas of `request` out over `candidates`, starting from what each holds `current`ly. A cluster that holds
/// replicas and is no candidate any more has left the fleet: nobody can change anything there, so it no longer counts.
///
/// # Errors
/// The cluster selector is not one: an operator that does not exist, or values where there must be none.
pub fn place(
    request: &Request,
    candidates: &[Candidate],
    current: &BTreeMap<String, i32>,
) -> Result<Plan, ParseExpressionError> {
    let verdicts = filter::verdicts(request, candidates)?;
    let shares = round_robin::share(request.replicas, &verdicts, current);
    let placed: i32 = shares.values().sum();
    let assignments = shares
        .into_iter()
        .filter(|(cluster, replicas)| *replicas > 0 || current.get(*cluster).is_some_and(|held| *held > 0))
        .map(|(cluster, replicas)| Assignment {
            why: verdicts[cluster].why(replicas),
            cluster: cluster.to_owned(),
            replicas,
        })
        .collect();
    let exclusions = verdicts
        .into_iter()
        .filter_map(|(cluster, verdict)| verdict.exclusion().map(|exclusion| (cluster.to_owned(), exclusion.clone())))
        .collect();
    Ok(Plan { assignments, unplaced: request.replicas - placed, exclusions })
}

#[cfg(test)]
mod tests;
