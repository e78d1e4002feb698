//! Passes whose large work is done by Jobs in a member cluster near the data.
//!
//! The operator looks at everything, copies what is little itself, and has the rest cut into ranges of keys. Workers go through those
//! (see `skyfleet_mirror::work`), each with the credentials of a Secret that stays as long as its Job. What they have copied and proven is
//! taken over by the operator's next look at everything, which publishes it. All that is to be known of a work lies in the bucket of
//! the first target, so that an operator that was started anew goes on with it.

mod follow;
mod member;
mod sweep;
mod task;

pub(super) use sweep::left;
pub(crate) use sweep::{jobs_in, sweep};
pub(crate) use task::{Task, TaskError};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use skyfleet_api::DatasetReplica;
use skyfleet_api::conditions::Reason;
use skyfleet_api::dataset_replica::JobSettings;
use skyfleet_mirror::{
    Cutter, DatasetName, HandOver, Ledger, MirrorEvent, MirrorOptions, MirrorProgress, Sha256, TargetError, WorkPlan,
    forget_work,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::apply::PassReport;
use super::chain::Pinned;
use super::connected::Connected;
use super::dereference::Found;
use super::passes::Counters;
use crate::operator::context::Context;
use follow::Worked;

/// How often what comes up meanwhile is worked on at once; then it waits for the next pass.
const ROUNDS: usize = 3;
/// How long closing a work may take where the pass is stopped.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// When Jobs are made, and how long is waited for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobLimits {
    /// The most that a pass copies in the operator, where there is a choice.
    pub(crate) in_operator: HandOver,
    /// How long nothing is heard of workers before another cluster is tried.
    pub(crate) patience: Duration,
}

/// How a DatasetReplica wants Jobs.
#[derive(Clone, Debug)]
pub(crate) struct JobsWanted {
    /// Also for what is small.
    pub(super) always: bool,
    pub(super) settings: JobSettings,
}

/// A pass that may make Jobs.
pub(super) struct Jobs {
    pub(super) context: Arc<Context>,
    pub(super) replica: Arc<DatasetReplica>,
    pub(super) found: Arc<Found>,
    pub(super) settings: JobSettings,
    pub(super) always: bool,
    pub(super) fingerprint: String,
    pub(super) counters: Arc<Counters>,
    pub(super) cancel: CancellationToken,
    pub(super) slots: Arc<Semaphore>,
    /// The version that is read, where it is one.
    pub(super) pinned: Option<Pinned>,
    /// Which target, by its place in the spec, has the books.
    pub(super) books: usize,
}

/// A look at everything, and what it leaves to others.
struct Looked {
    report: PassReport,
    left: Cutter,
}

impl Jobs {
    /// One pass.
    pub(super) async fn pass(&mut self, connected: &Connected, progress: MirrorProgress) -> PassReport {
        let dataset = connected.options.dataset.as_ref().map(|dataset| dataset.name.clone());
        let Some(dataset) = dataset else {
            return self.look(connected, connected.options.clone(), progress).await.report;
        };
        // A target that fails, fails alone: the books are in the first one that shows them.
        for (place, target) in connected.places().into_iter().zip(&connected.targets) {
            let ledger = Ledger::new(target.clone(), &dataset);
            match ledger.plan(&self.cancel).await {
                Ok(known) => {
                    self.books = place;
                    return Box::pin(self.run(connected, (&ledger, &dataset), known, progress)).await;
                }
                Err(error) => tracing::debug!(%error, "the books of a work are looked for at the next target"),
            }
        }
        self.look(connected, connected.options.clone(), progress).await.report
    }

    async fn run(
        &self,
        connected: &Connected,
        (ledger, dataset): (&Ledger, &DatasetName),
        known: Option<WorkPlan>,
        progress: MirrorProgress,
    ) -> PassReport {
        let (mut worked, mut adopts) = (None, None);
        if let Some(mut plan) = known {
            worked = Some(Box::pin(self.go_on(ledger, &mut plan)).await);
            adopts = Some(plan.id);
        }
        let mut rounds = 0;
        loop {
            let hand_over = self.hand_over(worked.as_ref());
            let patience = connected.options.patience.filter(|_| hand_over.is_none());
            let options = MirrorOptions { hand_over, patience, adopts: adopts.clone(), ..connected.options.clone() };
            let Looked { report, left } = self.look(connected, options, progress.clone()).await;
            if let Some(work) = adopts.take() {
                self.forget(connected, (ledger, dataset), &work, &report).await;
            }
            if left.is_empty() || self.cancel.is_cancelled() {
                return report;
            }
            let why = match worked {
                Some(Worked::Failed(reason, why)) => Some((reason, why)),
                _ if rounds == ROUNDS => {
                    let why = "the source has changed by so much meanwhile that the rest waits for the next pass";
                    Some((Reason::Progressing, why.to_owned()))
                }
                _ => None,
            };
            if why.is_some() {
                return PassReport { left: why, ..report };
            }
            rounds += 1;
            match self.begin(ledger, left).await {
                Ok(mut plan) => {
                    worked = Some(Box::pin(self.work(ledger, &mut plan)).await);
                    adopts = Some(plan.id);
                }
                Err(why) if self.always => return PassReport { left: Some(why), ..report },
                Err((reason, why)) => worked = Some(Worked::Failed(reason, why)),
            }
        }
    }

    /// The most that is copied here, after what became of a work.
    fn hand_over(&self, worked: Option<&Worked>) -> Option<HandOver> {
        let none = HandOver { objects: 0, bytes: 0 };
        match worked {
            Some(Worked::Failed(..)) if !self.always => None,
            // What changed meanwhile, and is little, is not worth another Job.
            Some(Worked::Finished) => Some(self.context.jobs.in_operator),
            _ if self.always => Some(none),
            _ if self.candidates().is_empty() => None,
            _ => Some(self.context.jobs.in_operator),
        }
    }

    async fn look(&self, connected: &Connected, options: MirrorOptions, progress: MirrorProgress) -> Looked {
        let cutter = Arc::new(Mutex::new(Cutter::default()));
        let cut = cutter.clone();
        let progress: MirrorProgress = Arc::new(move |event| {
            if let MirrorEvent::HandedOver { key, bytes, .. } = &event {
                cut.lock().unwrap_or_else(PoisonError::into_inner).add(key, *bytes);
            }
            progress(event);
        });
        let slot = self.slots.clone().acquire_owned().await;
        let report = connected.mirror(&options, &self.cancel, progress).await;
        drop(slot);
        let left = std::mem::take(&mut *cutter.lock().unwrap_or_else(PoisonError::into_inner));
        Looked { report, left }
    }

    /// Makes a plan of what is left; the error says why nobody can do it.
    async fn begin(&self, ledger: &Ledger, left: Cutter) -> Result<WorkPlan, (Reason, String)> {
        let nobody = "no Cluster that can be used is near the source or a target: give a Bucket spec.near, and see the Clusters' own conditions";
        let cluster = self.candidates().into_iter().next();
        let cluster = cluster.ok_or_else(|| (Reason::NoEligibleCluster, nobody.to_owned()))?;
        let workers = u32::from(self.settings.parallelism);
        let units = left.finish(workers);
        let count = u32::try_from(units.len()).unwrap_or(u32::MAX);
        let seed = format!("{}{}", self.fingerprint, Timestamp::now());
        let id = Sha256::of(seed.as_bytes()).to_string().chars().take(8).collect();
        let plan = WorkPlan {
            id,
            fingerprint: self.fingerprint.clone(),
            cluster,
            attempt: 0,
            workers: workers.min(count),
            units: count,
            objects: units.iter().map(|unit| unit.objects).sum(),
            bytes: units.iter().map(|unit| unit.bytes).sum(),
            closed: false,
        };
        ledger.publish(&plan, &units).await.map_err(|error| (Reason::CopyFailed, error.to_string()))?;
        let note = format!("a Job in {} copies {} objects ({} bytes)", plan.cluster, plan.objects, plan.bytes);
        self.context.events.tell(&*self.replica, "JobStarted", &note, false);
        Ok(plan)
    }

    /// Goes on with a work that is there, or ends one that is of another job.
    async fn go_on(&self, ledger: &Ledger, plan: &mut WorkPlan) -> Worked {
        if !plan.closed && plan.fingerprint == self.fingerprint {
            return Box::pin(self.work(ledger, plan)).await;
        }
        if !plan.closed {
            self.remove(plan).await;
            self.close(ledger, plan, false).await;
        }
        // Whatever became of it, what it has proven is taken over, and the rest is planned anew.
        Worked::Cancelled
    }

    /// Works on a plan until it ends, and closes it.
    async fn work(&self, ledger: &Ledger, plan: &mut WorkPlan) -> Worked {
        let worked = Box::pin(self.follow(ledger, plan)).await;
        match &worked {
            // Who is stopped with the whole operator leaves the work to the next one.
            Worked::Cancelled if self.counters.is_stopping() => {}
            Worked::Cancelled => {
                plan.closed = true;
                match timeout(CLOSE_LIMIT, ledger.replace(plan)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "the work is closed by its next pass"),
                    Err(_) => tracing::warn!("the work is closed by its next pass: the store does not answer"),
                }
            }
            Worked::Finished => self.close(ledger, plan, true).await,
            Worked::Failed(..) => self.close(ledger, plan, false).await,
        }
        worked
    }

    /// Forgets a work whose proofs every target has taken over; else the next pass takes them over once more.
    async fn forget(
        &self,
        connected: &Connected,
        (ledger, dataset): (&Ledger, &DatasetName),
        work: &str,
        report: &PassReport,
    ) {
        let kept = |target: &skyfleet_mirror::TargetReport| !matches!(target.error, Some(TargetError::Store(_)));
        let are_kept = report.source.as_ref().is_ok_and(|source| source.targets.iter().all(kept));
        if !are_kept || self.cancel.is_cancelled() {
            return;
        }
        let forgotten = async {
            for target in &connected.targets {
                forget_work(target, dataset, work).await?;
            }
            ledger.forget().await
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, work, "what is left of a work is removed later");
        }
    }
}
