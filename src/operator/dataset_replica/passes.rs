//! The passes of the mirror that run beside the reconciles: at most one a DatasetReplica, a bounded number in all.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use skyfleet_api::DatasetReplica;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::apply::PassReport;

/// Delay after the first pass that failed; it doubles with each up to the schedule's interval.
const FIRST_DELAY: Duration = Duration::from_secs(5);

type Reference = ObjectRef<DeserializeGuard<DatasetReplica>>;

/// Objects and bytes that a pass has copied and proven so far.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) objects: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Counters {
    fn read(&self) -> (u64, u64) {
        (self.objects.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// All passes.
pub(crate) struct Passes {
    slots: Arc<Semaphore>,
    ended: mpsc::Sender<Reference>,
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Default)]
struct Entry {
    fingerprint: String,
    cancel: CancellationToken,
    counters: Arc<Counters>,
    running: bool,
    failures: u32,
    last: Option<(Arc<PassReport>, Instant)>,
}

/// How it stands with a DatasetReplica's pass.
pub(super) enum Look {
    /// It runs and has copied so many objects and bytes.
    Running { progress: (u64, u64) },
    /// It ended so, and the next is due in `next`.
    Ended { report: Arc<PassReport>, next: Duration },
    /// One is due; the last one, if it was of the same job, ended so.
    Due(Option<Arc<PassReport>>),
}

impl Passes {
    pub(crate) fn new(at_once: u16, ended: mpsc::Sender<Reference>) -> Self {
        Self { slots: Arc::new(Semaphore::new(usize::from(at_once))), ended, entries: Mutex::default() }
    }

    /// How it stands. A pass of another job (another spec, bucket or key) is stopped; until it has ended none is due.
    pub(super) fn look(&self, uid: &str, fingerprint: &str, interval: Duration) -> Look {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(uid) else { return Look::Due(None) };
        let same = entry.fingerprint == fingerprint;
        if entry.running {
            if !same {
                entry.cancel.cancel();
            }
            return Look::Running { progress: entry.counters.read() };
        }
        let Some((report, at)) = entry.last.clone().filter(|_| same) else { return Look::Due(None) };
        let wait = if entry.failures == 0 { interval } else { delay(entry.failures).min(interval) };
        match wait.checked_sub(at.elapsed()) {
            Some(next) if !next.is_zero() => Look::Ended { report, next },
            _ => Look::Due(Some(report)),
        }
    }

    /// What the next pass counts into.
    pub(super) fn counters(&self, uid: &str) -> (Arc<Counters>, CancellationToken) {
        let mut entries = self.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        entry.counters = Arc::default();
        entry.cancel = CancellationToken::new();
        (entry.counters.clone(), entry.cancel.clone())
    }

    /// Starts a pass; its end brings the DatasetReplica back to the controller.
    pub(super) fn start(
        self: &Arc<Self>,
        uid: &str,
        reference: Reference,
        fingerprint: &str,
        pass: impl Future<Output = PassReport> + Send + 'static,
    ) {
        {
            let mut entries = self.lock();
            let entry = entries.entry(uid.to_owned()).or_default();
            fingerprint.clone_into(&mut entry.fingerprint);
            entry.running = true;
        }
        let (passes, uid) = (self.clone(), uid.to_owned());
        tokio::spawn(async move {
            let slot = passes.slots.clone().acquire_owned().await;
            let report = pass.await;
            drop(slot);
            passes.end(&uid, report);
            // A closed channel means that the controllers have ended.
            let _closed = passes.ended.send(reference).await;
        });
    }

    /// Stops the pass of a DatasetReplica, if one runs, and forgets how the last one ended.
    pub(super) fn cancel(&self, uid: &str) {
        if let Some(entry) = self.lock().get_mut(uid) {
            entry.cancel.cancel();
            entry.last = None;
        }
    }

    /// Stops the passes of DatasetReplicas that are no longer there.
    pub(crate) fn retain(&self, alive: &BTreeSet<String>) {
        self.lock().retain(|uid, entry| {
            let stays = alive.contains(uid);
            if !stays {
                entry.cancel.cancel();
            }
            stays || entry.running
        });
    }

    /// Stops all passes and waits until they have put their state away.
    pub(crate) async fn stop(&self) {
        loop {
            let running = {
                let entries = self.lock();
                entries.values().filter(|entry| entry.running).for_each(|entry| entry.cancel.cancel());
                entries.values().any(|entry| entry.running)
            };
            if !running {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn end(&self, uid: &str, report: PassReport) {
        if let Some(entry) = self.lock().get_mut(uid) {
            entry.running = false;
            entry.failures = if report.complete() { 0 } else { entry.failures.saturating_add(1) };
            entry.last = (!entry.cancel.is_cancelled()).then(|| (Arc::new(report), Instant::now()));
        }
    }

    // A panic while the lock is held can't leave an entry half-changed in a way that matters: the next look mends it.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn delay(failures: u32) -> Duration {
    FIRST_DELAY.saturating_mul(1 << (failures - 1).min(16))
}
