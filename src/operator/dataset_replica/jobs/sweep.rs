//! Removes Jobs and their credentials that nobody follows any more: of DatasetReplicas that were deleted, suspended or changed, and of
//! works that ended while their cluster could not be reached.

use kube::ResourceExt as _;
use skyfleet_api::dataset_replica::{JobPhase, JobStatus};
use skyfleet_api::labels;

use super::member::remove;
use crate::operator::context::Context;
use crate::operator::dataset_replica::Passes;
use crate::operator::fleet::Member;

/// The Secret of a Job.
struct Left {
    namespace: String,
    name: String,
    uid: String,
}

/// Those of this hub in a member, as far as it has shown them.
fn secrets(member: &Member) -> Vec<Left> {
    let secrets = member.objects.secrets.state();
    let of_jobs = secrets.iter().filter(|secret| secret.labels().contains_key(labels::DATASET_REPLICA));
    of_jobs
        .map(|secret| Left {
            namespace: secret.namespace().unwrap_or_default(),
            name: secret.name_any(),
            uid: secret.labels().get(labels::OWNER_UID).cloned().unwrap_or_default(),
        })
        .collect()
}

/// How many Jobs a member still has credentials of.
pub(crate) fn jobs_in(member: &Member) -> usize {
    secrets(member).len()
}

/// Removes them from the members that can be reached.
pub(crate) async fn sweep(context: &Context, passes: &Passes, is_alive: impl Fn(&str) -> bool) {
    for member in context.fleet.members() {
        if !member.usable() || member.silent() {
            continue;
        }
        for Left { namespace, name, uid } in secrets(&member) {
            if is_alive(&uid) && passes.may_follow(&uid, &name) {
                continue;
            }
            match remove(&member, (&namespace, &name)).await {
                Ok(()) => {
                    tracing::info!(cluster = member.name(), namespace, name, "a Job that nobody follows was removed");
                }
                Err(error) => {
                    tracing::warn!(cluster = member.name(), namespace, name, %error, "a Job is removed later");
                }
            }
        }
    }
}

/// What there is still of a DatasetReplica's Jobs, where none is followed; `said` is what its status says so far.
pub(in super::super) fn left(context: &Context, uid: &str, said: Option<&JobStatus>) -> Option<JobStatus> {
    let members = context.fleet.members();
    let removing = |cluster: &str, name: String, message: Option<String>| JobStatus {
        cluster: cluster.to_owned(),
        name,
        phase: JobPhase::Removing,
        message,
        ..said.cloned().unwrap_or_default()
    };
    let unreachable = |member: &Member| {
        let cluster = member.name();
        format!(
            "{cluster} cannot be reached: the Job and the Secret with its credentials are removed there when it can"
        )
    };
    let known = members.iter().find_map(|member| {
        let left = secrets(member).into_iter().find(|left| left.uid == uid)?;
        let message = (!member.usable() || member.silent()).then(|| unreachable(member));
        Some(removing(member.name(), left.name, message))
    });
    // What a cluster has that was not heard since the operator began is not known: what was said stays so.
    known.or_else(|| {
        let said = said?;
        let member = members.iter().find(|member| member.name() == said.cluster && !member.usable())?;
        Some(removing(member.name(), said.name.clone(), Some(unreachable(member))))
    })
}
