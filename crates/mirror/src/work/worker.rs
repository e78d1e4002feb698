//! A worker: takes one range after the other until all are done.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::WorkPace;
use super::board::{Board, Next};
use super::ledger::{Claim, Ledger, Seen};
use super::plan::{WorkPlan, WorkUnit};
use crate::{
    Condition, MirrorError, MirrorEvent, MirrorOptions, MirrorProgress, MirrorReport, Portion, Replica, StoreError,
    StoreErrorKind, mirror_range,
};

/// Workers of an attempt at most.
const MOST_WORKERS: u32 = 10_000;

/// Which worker it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerId {
    /// Of which attempt: that of [`WorkPlan::attempt`] when it was sent.
    pub attempt: u32,
    /// Which of its workers, from 0. One that takes the place of another has the same, and takes over what that was at.
    pub index: u32,
}

impl WorkerId {
    fn number(self) -> u32 {
        self.attempt.saturating_mul(MOST_WORKERS).saturating_add(self.index % MOST_WORKERS)
    }
}

/// Why a worker has no more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkOutcome {
    /// All ranges were gone through.
    Finished,
    /// The work was closed, or there is another one.
    Closed,
}

/// Why a worker could not go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The books of the work cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A range could not be gone through.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// No target could be written to.
    #[error("no target takes anything: {0}")]
    Targets(String),
    /// It was asked to stop.
    #[error("the worker was stopped on request; what it has copied is remembered")]
    Cancelled,
}

/// What all of its ranges have in common.
struct Worker<'a> {
    source: &'a Replica,
    targets: &'a [Replica],
    options: &'a MirrorOptions,
    ledger: &'a Ledger,
    plan: WorkPlan,
    units: Vec<WorkUnit>,
    id: WorkerId,
    pace: WorkPace,
    cancel: &'a CancellationToken,
    progress: MirrorProgress,
    /// Claims of others, as they were last seen to change.
    others: HashMap<u32, (String, Instant)>,
}

/// How a range ended.
enum Ran {
    Through(Box<MirrorReport>),
    /// Another is at it.
    Lost,
    Closed,
}

/// Goes through ranges of the work `work` until none is left.
///
/// # Errors
/// See [`WorkError`]. What was copied by then is remembered; another try goes on there.
pub async fn work(
    source: &Replica,
    targets: &[Replica],
    options: &MirrorOptions,
    (ledger, work, id, pace): (&Ledger, &str, WorkerId, WorkPace),
    cancel: &CancellationToken,
    progress: MirrorProgress,
) -> Result<WorkOutcome, WorkError> {
    let Some(plan) = ledger.plan(cancel).await?.filter(|plan| is_open(plan, work)) else {
        return Ok(WorkOutcome::Closed);
    };
    let units = ledger.units(work, cancel).await?;
    let mut worker =
        Worker { source, targets, options, ledger, plan, units, id, pace, cancel, progress, others: HashMap::new() };
    worker.run().await
}

fn is_open(plan: &WorkPlan, work: &str) -> bool {
    plan.id == work && !plan.closed
}

impl Worker<'_> {
    async fn run(&mut self) -> Result<WorkOutcome, WorkError> {
        loop {
            if self.cancel.is_cancelled() {
                return Err(WorkError::Cancelled);
            }
            if !self.goes_on().await? {
                return Ok(WorkOutcome::Closed);
            }
            let claimed = self.ledger.claimed(&self.plan.id).await?;
            let board = self.board(&claimed).await?;
            match board.next(self.id.index, self.plan.workers) {
                Next::Finished => return Ok(WorkOutcome::Finished),
                Next::Wait => {
                    // The end of it is looked for at the head of the loop.
                    let _cancelled = self.cancel.run_until_cancelled(sleep(self.pace.beat / 2)).await;
                }
                Next::Take(unit) => {
                    if let Some(outcome) = self.take(unit, claimed.get(&unit)).await? {
                        return Ok(outcome);
                    }
                }
            }
        }
    }

    async fn goes_on(&self) -> Result<bool, StoreError> {
        let plan = self.ledger.plan(self.cancel).await?;
        Ok(plan.is_some_and(|plan| is_open(&plan, &self.plan.id)))
    }

    /// What the books say now. A claim that has not changed for long, by this worker's own clock, is nobody's.
    async fn board(&mut self, claimed: &BTreeMap<u32, Seen>) -> Result<Board, WorkError> {
        self.others.retain(|unit, _| claimed.contains_key(unit));
        let units = u32::try_from(self.units.len()).unwrap_or(u32::MAX);
        let mut board = Board { units, done: self.ledger.done(&self.plan.id).await?, ..Board::default() };
        for (unit, seen) in claimed {
            let known = self.others.get(unit).filter(|(etag, _)| *etag == seen.etag);
            let since = known.map_or_else(Instant::now, |(_, since)| *since);
            if known.is_none() {
                self.others.insert(*unit, (seen.etag.clone(), since));
            }
            let is_live = since.elapsed() < self.pace.stale;
            if is_live && !self.is_own(*unit).await? {
                board.held.insert(*unit);
            }
        }
        Ok(board)
    }

    /// Whether a claim is of this worker, from before it was started anew, or of one that says itself that it has ended.
    async fn is_own(&self, unit: u32) -> Result<bool, StoreError> {
        let claim = self.ledger.claim(&self.plan.id, unit, self.cancel).await?;
        Ok(claim.is_none_or(|(_, claim)| claim.worker == self.id.number() || claim.error.is_some()))
    }

    /// Claims a range and goes through it; gives an outcome where that is the end.
    async fn take(&mut self, unit: u32, seen: Option<&Seen>) -> Result<Option<WorkOutcome>, WorkError> {
        let condition = seen.map_or(Condition::Absent, |seen| Condition::seen(&seen.etag));
        let claim = Claim { worker: self.id.number(), ..Claim::default() };
        let place = (self.plan.id.as_str(), unit);
        if !self.ledger.write_claim(place, &claim, &condition).await? {
            return Ok(None);
        }
        // A store without conditions has let two of them write: the later one stays.
        let written = self.ledger.claim(place.0, unit, self.cancel).await?;
        if written.is_none_or(|(_, written)| written.worker != claim.worker) {
            return Ok(None);
        }
        tracing::info!(unit, objects = self.units[unit as usize].objects, "begun");
        match self.go_through(unit).await {
            Ok(Ran::Through(report)) => {
                let done = done(&claim, &report);
                self.ledger.finish(place.0, unit, &done).await?;
                tracing::info!(unit, objects = done.objects, bytes = done.bytes, "done");
                Ok(None)
            }
            Ok(Ran::Lost) => Ok(None),
            Ok(Ran::Closed) => Ok(Some(WorkOutcome::Closed)),
            Err(error) => {
                let ended = Claim { error: Some(error.to_string()), ..claim };
                if let Err(error) = self.ledger.write_claim(place, &ended, &Condition::Any).await {
                    tracing::warn!(%error, unit, "the others are not told that it ended");
                }
                Err(error)
            }
        }
    }

    async fn go_through(&self, unit: u32) -> Result<Ran, WorkError> {
        let stop = self.cancel.child_token();
        let (objects, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let telling = self.progress.clone();
        let (counted, counted_bytes) = (objects.clone(), bytes.clone());
        let progress: MirrorProgress = Arc::new(move |event| {
            if let MirrorEvent::Copied { bytes, .. } = &event {
                counted.fetch_add(1, Ordering::Relaxed);
                counted_bytes.fetch_add(*bytes, Ordering::Relaxed);
            }
            telling(event);
        });
        let portion = Portion {
            range: self.units[unit as usize].range.clone(),
            work: self.plan.id.clone(),
            unit,
            worker: self.id.number(),
        };
        let pass = mirror_range(self.source, self.targets, (self.options, &portion), &stop, progress);
        let mut pass = Box::pin(pass);
        let report = tokio::select! {
            report = &mut pass => report?,
            ended = self.beat(unit, (&objects, &bytes)) => {
                // It is to be ended in order, never dropped.
                stop.cancel();
                match pass.await {
                    Ok(_) | Err(MirrorError::Cancelled) => return ended,
                    Err(error) => {
                        tracing::warn!(%error, unit, "it ended, too");
                        return ended;
                    }
                }
            }
        };
        let reached = report.targets.iter().any(|target| target.error.is_none());
        match report.targets.iter().find_map(|target| target.error.as_ref()) {
            Some(error) if !reached => Err(WorkError::Targets(error.to_string())),
            _ => Ok(Ran::Through(Box::new(report))),
        }
    }

    /// Says again and again that it goes on; ends where it shall not, or cannot say so.
    async fn beat(&self, unit: u32, (objects, bytes): (&AtomicU64, &AtomicU64)) -> Result<Ran, WorkError> {
        let (mut beat, mut last) = (0, Instant::now());
        loop {
            sleep(self.pace.beat).await;
            beat += 1;
            let claim = Claim {
                worker: self.id.number(),
                beat,
                objects: objects.load(Ordering::Relaxed),
                bytes: bytes.load(Ordering::Relaxed),
                error: None,
            };
            let told = timeout(self.pace.self_fence, self.say(unit, &claim)).await;
            match told {
                Ok(Ok(None)) => last = Instant::now(),
                Ok(Ok(Some(ended))) => return Ok(ended),
                Ok(Err(error)) if last.elapsed() > self.pace.self_fence => return Err(error.into()),
                Ok(Err(error)) => tracing::warn!(%error, unit, "it is told again that this goes on"),
                Err(_) => {
                    let place = self.targets[0].store.place();
                    return Err(place
                        .error(StoreErrorKind::Unreachable, "say that the work goes on", String::new())
                        .into());
                }
            }
        }
    }

    async fn say(&self, unit: u32, claim: &Claim) -> Result<Option<Ran>, StoreError> {
        if !self.goes_on().await? {
            return Ok(Some(Ran::Closed));
        }
        let there = self.ledger.claim(&self.plan.id, unit, self.cancel).await?;
        if there.is_some_and(|(_, there)| there.worker != claim.worker) {
            return Ok(Some(Ran::Lost));
        }
        self.ledger.write_claim((&self.plan.id, unit), claim, &Condition::Any).await?;
        Ok(None)
    }
}

/// What is said of a range that was gone through.
fn done(claim: &Claim, report: &MirrorReport) -> Claim {
    let sum = |of: fn(&crate::TargetReport) -> u64| report.targets.iter().map(of).sum();
    let failed: u64 = sum(|target| target.failed) + report.source_failures;
    let error = (failed > 0).then(|| format!("{failed} objects failed, and are left to who sent it"));
    Claim { objects: sum(|target| target.copied), bytes: sum(|target| target.copied_bytes), error, ..claim.clone() }
}
