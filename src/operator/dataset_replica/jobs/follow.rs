//! Follows a work until it is done: sees to the Job in the cluster, and to another cluster where nothing is heard of its workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use skyfleet_api::Cluster;
use skyfleet_api::conditions::Reason;
use skyfleet_api::dataset_replica::{JobPhase, JobStatus};
use skyfleet_mirror::{FENCE, Ledger, WorkPlan, WorkProgress};
use skyfleet_plan::nearest::nearest;
use skyfleet_plan::workload::MirrorJob;
use tokio::time::{sleep, timeout};

use super::Jobs;
use super::member::{JobState, is_quiet, look, make, remove};
use super::task::Task;
use crate::operator::fleet::Member;

/// How often it is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// Tokens are good for ten minutes, and a node shows a Secret's change within two.
const RENEW_INTERVAL: Duration = Duration::from_mins(4);
/// How long the removal of a Job is waited for; what is left is swept later.
const REMOVAL_LIMIT: Duration = Duration::from_secs(15);
/// How long the books of a work may take to be read.
const LEDGER_LIMIT: Duration = Duration::from_secs(30);

/// How a work ended.
#[derive(Debug)]
pub(super) enum Worked {
    Finished,
    /// For this reason nowhere.
    Failed(Reason, String),
    Cancelled,
}

/// How it ended in one cluster.
enum Ended {
    Finished,
    GaveUp(Reason, String),
    Cancelled,
}

/// What is known of a Job in the course of its work.
struct Watched {
    /// When its workers last gave a sign, or were sent.
    heard: Instant,
    progress: WorkProgress,
    made: Option<Instant>,
    trouble: Option<String>,
}

impl Jobs {
    /// The clusters near the data that can be used now, the nearest first.
    pub(super) fn candidates(&self) -> Vec<String> {
        let clusters = self.context.clusters.state();
        let spec = &self.replica.spec;
        let bucket = |name: &str| self.found.buckets.get(name).map(|with| &with.bucket.spec);
        let Some(source) = bucket(&spec.source.bucket_ref.name) else { return Vec::new() };
        let targets: Vec<_> = spec.targets.iter().filter_map(|target| bucket(&target.bucket_ref.name)).collect();
        let near = nearest(clusters.iter().map(Arc::as_ref), source, &targets);
        near.into_iter().filter(|name| self.usable(name).is_some()).collect()
    }

    fn usable(&self, cluster: &str) -> Option<Arc<Member>> {
        self.context.fleet.member(cluster).filter(|member| member.usable() && !member.silent())
    }

    /// Works until all ranges are done, in one cluster after the other.
    pub(super) async fn follow(&self, ledger: &Ledger, plan: &mut WorkPlan) -> Worked {
        let mut tried = BTreeSet::new();
        loop {
            tried.insert(plan.cluster.clone());
            let ended = Box::pin(self.follow_in(ledger, plan)).await;
            if matches!(ended, Ended::Cancelled) {
                return Worked::Cancelled;
            }
            self.remove(plan).await;
            let (reason, why) = match ended {
                Ended::GaveUp(reason, why) => (reason, why),
                Ended::Finished | Ended::Cancelled => return Worked::Finished,
            };
            self.context.events.tell(&*self.replica, "JobFailed", &why, true);
            let Some(next) = self.candidates().into_iter().find(|cluster| !tried.contains(cluster)) else {
                return Worked::Failed(reason, why);
            };
            plan.cluster = next;
            plan.attempt += 1;
            if let Err(error) = ledger.replace(plan).await {
                return Worked::Failed(Reason::CopyFailed, error.to_string());
            }
        }
    }

    async fn follow_in(&self, ledger: &Ledger, plan: &WorkPlan) -> Ended {
        let task = match Task::of(&self.replica, &self.found, plan, (self.books, self.pinned.clone())) {
            Ok(task) => task,
            Err(error) => return Ended::GaveUp(Reason::InvalidSpec, error.to_string()),
        };
        let mut watched =
            Watched { heard: Instant::now(), progress: WorkProgress::default(), made: None, trouble: None };
        let mut finished = BTreeMap::new();
        loop {
            let in_cluster = Box::pin(self.see_to(plan, &task, &mut watched)).await;
            match timeout(LEDGER_LIMIT, ledger.progress(plan, &mut finished, &self.cancel)).await {
                Ok(Ok(progress)) if progress != watched.progress => {
                    self.count(&watched.progress, &progress);
                    watched.heard = Instant::now();
                    watched.progress = progress;
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => watched.trouble = Some(error.to_string()),
                Err(_) => watched.trouble = Some("the books of the work are not answered".to_owned()),
            }
            self.say(plan, &watched);
            let is_done = watched.progress.done.len() as u64 >= u64::from(plan.units);
            match in_cluster {
                _ if self.cancel.is_cancelled() => return Ended::Cancelled,
                _ if is_done => return Ended::Finished,
                Err((reason, why)) => return Ended::GaveUp(reason, why),
                Ok(JobState::Complete) => {
                    let why = format!("the workers of the Job in {} have ended before all was done", plan.cluster);
                    return Ended::GaveUp(Reason::CopyFailed, why);
                }
                Ok(_) if watched.heard.elapsed() > self.context.jobs.patience => {
                    return Ended::GaveUp(Reason::CopyFailed, silence(plan, &watched));
                }
                Ok(_) => {}
            }
            if self.cancel.run_until_cancelled(sleep(LOOK_INTERVAL)).await.is_none() {
                return Ended::Cancelled;
            }
        }
    }

    /// Sees to it that the Job is there, and how it is; an error is one that lasts.
    async fn see_to(&self, plan: &WorkPlan, task: &Task, watched: &mut Watched) -> Result<JobState, (Reason, String)> {
        let (cluster, job) = (&plan.cluster, self.job(plan));
        let name = job.name();
        watched.trouble = None;
        let is_leaving = |of: &Arc<Cluster>| of.name_any() == *cluster && of.metadata.deletion_timestamp.is_some();
        let leaves = self.context.clusters.state().iter().any(is_leaving);
        let Some(member) = self.context.fleet.member(cluster).filter(|_| !leaves) else {
            return Err((
                Reason::NoEligibleCluster,
                format!("the Cluster {cluster:?} leaves the fleet, or has left it"),
            ));
        };
        if !member.usable() || member.silent() {
            watched.trouble = Some(format!("the API server of {cluster} does not answer"));
            return Ok(JobState::Active(None));
        }
        let state = match look(&member, (job.namespace, &name)).await {
            Ok(state) => state,
            Err(error) => {
                watched.trouble = Some(error.to_string());
                return Ok(JobState::Active(None));
            }
        };
        // That of a Job which was removed goes with it, maybe a moment later.
        let secret = ObjectRef::<Secret>::new(&name).within(job.namespace);
        let has_none = member.objects.secrets.get(&secret).is_none();
        let is_old = has_none || watched.made.is_none_or(|made| task.has_tokens() && made.elapsed() > RENEW_INTERVAL);
        match &state {
            JobState::Failed(why) => {
                let error = watched.progress.error().map(|error| format!(" ({error})")).unwrap_or_default();
                return Err((Reason::CopyFailed, format!("the Job {name} in {cluster} failed: {why}{error}")));
            }
            JobState::Complete => return Ok(state),
            JobState::Active(trouble) => watched.trouble.clone_from(trouble),
            JobState::Missing => watched.made = None,
        }
        if watched.made.is_some() && !is_old {
            return Ok(state);
        }
        match Box::pin(make(&self.context, &member, &job, task)).await {
            Ok(()) => watched.made = Some(Instant::now()),
            Err(error) if error.is_lasting() => {
                let help = "does the role of the hub there let it make Jobs? See examples/member-access.yaml";
                return Err((Reason::MemberRefused, format!("{cluster}: {error}; {help}")));
            }
            Err(error) => watched.trouble = Some(error.to_string()),
        }
        Ok(state)
    }

    /// The Job of a plan.
    pub(super) fn job<'a>(&'a self, plan: &'a WorkPlan) -> MirrorJob<'a> {
        let metadata = &self.replica.metadata;
        MirrorJob {
            dataset: metadata.name.as_deref().unwrap_or_default(),
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            uid: metadata.uid.as_deref().unwrap_or_default(),
            hub: &self.context.hub_id,
            cluster: &plan.cluster,
            work: &plan.id,
            attempt: plan.attempt,
            workers: plan.workers,
            settings: &self.settings,
            loader: &self.context.loader,
        }
    }

    /// What is not removed in time is swept.
    pub(super) async fn remove(&self, plan: &WorkPlan) {
        let job = self.job(plan);
        let name = job.name();
        self.counters.tell_job(Some(JobStatus {
            cluster: plan.cluster.clone(),
            name: name.clone(),
            phase: JobPhase::Removing,
            ranges: i64::from(plan.units),
            ..self.counters.job().unwrap_or_default()
        }));
        let Some(member) = self.context.fleet.member(&plan.cluster) else { return };
        match timeout(REMOVAL_LIMIT, remove(&member, (job.namespace, &name))).await {
            Ok(Ok(())) => self.counters.tell_job(None),
            Ok(Err(error)) => tracing::warn!(cluster = plan.cluster, name, %error, "a Job is removed later"),
            Err(_) => tracing::warn!(cluster = plan.cluster, name, "a Job is removed later: no answer"),
        }
    }

    /// Ends the work: nobody begins any of it from now on, and nobody is at it when this returns.
    pub(super) async fn close(&self, ledger: &Ledger, plan: &mut WorkPlan, is_done: bool) {
        plan.closed = true;
        // Workers that cannot read it either stop by themselves.
        if let Err(error) = ledger.replace(plan).await {
            tracing::warn!(%error, "the work is closed by its next pass");
        }
        let closed = Instant::now();
        while !is_done && closed.elapsed() < FENCE && !self.cancel.is_cancelled() {
            if let Some(member) = self.usable(&plan.cluster) {
                let job = self.job(plan);
                if let Ok(true) = is_quiet(&member, (job.namespace, &job.name())).await {
                    return;
                }
            }
            let _cancelled = self.cancel.run_until_cancelled(sleep(LOOK_INTERVAL)).await;
        }
    }

    fn say(&self, plan: &WorkPlan, watched: &Watched) {
        let Watched { progress, trouble, .. } = watched;
        let is_heard = !progress.done.is_empty() || !progress.claims.is_empty();
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let silence = (watched.heard.elapsed() > FENCE).then(|| silence(plan, watched));
        let message = silence.or_else(|| trouble.clone()).or_else(|| progress.error().map(str::to_owned));
        self.counters.tell_job(Some(JobStatus {
            cluster: plan.cluster.clone(),
            name: self.job(plan).name(),
            phase: if is_heard { JobPhase::Running } else { JobPhase::Starting },
            ranges: i64::from(plan.units),
            ranges_done: count(progress.done.len() as u64),
            objects: count(progress.objects),
            bytes: count(progress.bytes),
            message,
        }));
    }

    fn count(&self, before: &WorkProgress, now: &WorkProgress) {
        let objects = now.objects.saturating_sub(before.objects);
        self.context.metrics.mirrored(objects, now.bytes.saturating_sub(before.bytes));
    }
}

/// For how long nothing was heard, to ten seconds: each new sentence is a write.
fn silence(plan: &WorkPlan, watched: &Watched) -> String {
    let seconds = watched.heard.elapsed().as_secs() / 10 * 10;
    let why = watched.trouble.clone().or_else(|| watched.progress.error().map(str::to_owned));
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    format!("no worker in {} was heard for {seconds} s{why}", plan.cluster)
}
