//! The Job in a member: made, looked at, removed.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use skyfleet_api::labels;
use skyfleet_plan::workload::MirrorJob;

use super::task::Task;
use crate::operator::context::{Context, FIELD_MANAGER};
use crate::operator::fleet::Member;
use crate::operator::member_objects::{MemberError, call, create_namespace, is_gone};

/// How a Job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobState {
    Missing,
    /// It runs; where a pod does not, why.
    Active(Option<String>),
    Complete,
    /// The cluster has given it up, for this reason.
    Failed(String),
}

/// Why a Job cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMade {
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error(transparent)]
    Task(#[from] super::task::TaskError),
}

impl NotMade {
    /// Whether another try in this cluster would end the same way.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::Member(error) => {
                matches!(error, MemberError::Foreign(_)) || matches!(error.code(), Some(400..=404 | 422))
            }
            Self::Task(_) => false,
        }
    }
}

/// Makes the Job where it is missing, then its Secret: pods wait for that.
pub(super) async fn make(
    context: &Context,
    member: &Member,
    wanted: &MirrorJob<'_>,
    task: &Task,
) -> Result<(), NotMade> {
    let files = task.files(&context.hub).await?;
    let jobs = Api::<Job>::namespaced(member.client.clone(), wanted.namespace);
    let name = wanted.name();
    let what = format!("Job {}/{name}", wanted.namespace);
    let found = match call(member, "read", &what, jobs.get_opt(&name)).await? {
        Some(found) => found,
        None => create(member, &jobs, wanted, &what).await?,
    };
    if found.labels().get(labels::OWNER_UID).map(String::as_str) != Some(wanted.uid) {
        return Err(MemberError::Foreign(what).into());
    }
    let secret = wanted.secret(files, &found.uid().unwrap_or_default());
    let secrets = Api::<Secret>::namespaced(member.client.clone(), wanted.namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let what = format!("Secret {}/{name}", wanted.namespace);
    call(member, "apply", &what, secrets.patch(&name, &params, &Patch::Apply(&secret))).await?;
    Ok(())
}

async fn create(member: &Member, jobs: &Api<Job>, wanted: &MirrorJob<'_>, what: &str) -> Result<Job, MemberError> {
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let job = wanted.job();
    match call(member, "create", what, jobs.create(&params, &job)).await {
        // Looked for only when it is missing: it nearly always is there.
        Err(error) if error.code() == Some(404) => {
            create_namespace(member, wanted.namespace).await?;
            call(member, "create", what, jobs.create(&params, &job)).await
        }
        made => made,
    }
}

/// Looks how it is.
pub(super) async fn look(member: &Member, (namespace, name): (&str, &str)) -> Result<JobState, MemberError> {
    let jobs = Api::<Job>::namespaced(member.client.clone(), namespace);
    let what = format!("Job {namespace}/{name}");
    let Some(job) = call(member, "read", &what, jobs.get_opt(name)).await? else { return Ok(JobState::Missing) };
    let conditions = job.status.and_then(|status| status.conditions).unwrap_or_default();
    let is = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True");
    if let Some(failed) = is("Failed") {
        let why = failed.message.clone().or_else(|| failed.reason.clone());
        return Ok(JobState::Failed(why.unwrap_or_else(|| "it failed".to_owned())));
    }
    if is("Complete").is_some() {
        return Ok(JobState::Complete);
    }
    let pods = pods(member, (namespace, name)).await?;
    Ok(JobState::Active(pods.iter().find_map(trouble)))
}

/// Whether no pod of it runs any more.
pub(super) async fn is_quiet(member: &Member, job: (&str, &str)) -> Result<bool, MemberError> {
    Ok(pods(member, job).await?.is_empty())
}

/// The pods that have not ended.
async fn pods(member: &Member, (namespace, name): (&str, &str)) -> Result<Vec<Pod>, MemberError> {
    let api = Api::<Pod>::namespaced(member.client.clone(), namespace);
    let selector = format!("batch.kubernetes.io/job-name={name}");
    let unfinished = ListParams::default().labels(&selector).fields("status.phase!=Succeeded,status.phase!=Failed");
    let what = format!("pods of the Job {namespace}/{name}");
    Ok(call(member, "list", &what, api.list(&unfinished)).await?.items)
}

/// Why a pod does not run.
fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let name = pod.name_any();
    let unscheduled = status.conditions.iter().flatten();
    let mut unscheduled =
        unscheduled.filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(why) = unscheduled.find_map(|condition| condition.message.as_ref()) {
        return Some(format!("pod {name} has no node: {why}"));
    }
    let waiting = status.container_statuses.iter().flatten().find_map(|of| of.state.as_ref()?.waiting.as_ref());
    let reason = waiting?.reason.as_deref().filter(|reason| *reason != "ContainerCreating")?;
    let message = waiting?.message.as_deref().unwrap_or_default();
    Some(format!("pod {name}: {reason} {message}").trim_end().to_owned())
}

/// Removes the credentials and the Job. What is not there is removed.
pub(super) async fn remove(member: &Member, (namespace, name): (&str, &str)) -> Result<(), MemberError> {
    // The Job first: with the Secret gone, pods that are made anew meanwhile would wait for it.
    let jobs = Api::<Job>::namespaced(member.client.clone(), namespace);
    let params = DeleteParams::background();
    gone(call(member, "delete", &format!("Job {namespace}/{name}"), jobs.delete(name, &params)).await)?;
    let secrets = Api::<Secret>::namespaced(member.client.clone(), namespace);
    gone(call(member, "delete", &format!("Secret {namespace}/{name}"), secrets.delete(name, &params)).await)
}

fn gone<T>(outcome: Result<T, MemberError>) -> Result<(), MemberError> {
    match outcome {
        Err(MemberError::Refused { source, .. }) if is_gone(&source) => Ok(()),
        outcome => outcome.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Pod, trouble};

    #[test]
    fn what_keeps_a_pod_is_said_in_the_words_of_its_cluster() {
        let pod = |status| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "w-0"}, "status": status})).expect("a pod")
        };
        let pending = pod(json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"},
        ]}));
        assert_eq!(trouble(&pending).as_deref(), Some("pod w-0 has no node: 0/1 nodes are available"));
        let waiting = |reason: &str| {
            pod(json!({"containerStatuses": [{
                "name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": "no such image"}},
            }]}))
        };
        let missing = trouble(&waiting("ErrImagePull"));
        assert_eq!(missing.as_deref(), Some("pod w-0: ErrImagePull no such image"));
        assert_eq!(trouble(&waiting("ContainerCreating")), None);
        assert_eq!(trouble(&pod(json!({"phase": "Running"}))), None);
    }
}
