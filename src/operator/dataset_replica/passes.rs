//! The passes of the mirror that run beside the reconciles: at most one a DatasetReplica, a bounded number in all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use skyfleet_api::DatasetReplica;
use skyfleet_api::dataset_replica::{JobPhase, JobStatus};
use skyfleet_plan::schedule::Schedule;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::apply::{Done, Ended, LookReport, PassReport};
use crate::operator::streams::Stream;

type Reference = ObjectRef<DeserializeGuard<DatasetReplica>>;

/// How far a pass is.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Objects that it has copied and proven in the operator.
    pub(super) objects: AtomicU64,
    /// Their bytes.
    pub(super) bytes: AtomicU64,
    job: Mutex<Following>,
    stopping: Arc<AtomicBool>,
}

impl Counters {
    fn read(&self) -> Progress {
        let (objects, bytes) = (self.objects.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Progress { objects, bytes, job }
    }

    /// The Job that it follows.
    pub(super) fn job(&self) -> Option<JobStatus> {
        match &*self.job.lock().unwrap_or_else(PoisonError::into_inner) {
            Following::Job(job) => Some(job.clone()),
            Following::Unknown | Following::Nothing => None,
        }
    }

    pub(super) fn tell_job(&self, job: Option<JobStatus>) {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = job.map_or(Following::Nothing, Following::Job);
    }

    /// Whether it is the whole operator that is stopping.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// How far a pass is that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) job: Following,
}

/// Which Job a pass follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Following {
    /// It has not said so yet: there may be one that an earlier operator made.
    #[default]
    Unknown,
    Nothing,
    Job(JobStatus),
}

/// All passes.
pub(crate) struct Passes {
    slots: Arc<Semaphore>,
    ended: mpsc::Sender<Reference>,
    entries: Mutex<HashMap<String, Entry>>,
    /// Those that were looked at, and found with nothing to do or begun, since this operator began.
    known: Mutex<HashSet<String>>,
    stopping: Arc<AtomicBool>,
}

#[derive(Default)]
struct Entry {
    fingerprint: String,
    /// Of which versions of what others make the last pass was.
    follows: String,
    cancel: CancellationToken,
    counters: Arc<Counters>,
    running: Option<Kind>,
    failures: u32,
    last: Option<Arc<Ended>>,
}

/// What a pass looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Everything,
    /// What a stream was told of.
    Changes,
}

/// How it stands with a DatasetReplica's pass.
pub(super) enum Look {
    /// It runs.
    Running { kind: Kind, progress: Progress },
    /// It ended so, and the next is due in `next`.
    Ended { report: Arc<Ended>, next: Duration },
    /// It ended before this operator began, and the next is due in `next`.
    Resting { next: Duration },
    /// One is due; the last one, if it was of the same job, ended so.
    Due(Option<Arc<Ended>>),
    /// One over what the stream was told of is due; the last one over everything ended so.
    Changed(Arc<Ended>),
}

impl Passes {
    pub(crate) fn new(at_once: u16, ended: mpsc::Sender<Reference>) -> Self {
        let slots = Arc::new(Semaphore::new(usize::from(at_once)));
        let (entries, known) = (Mutex::default(), Mutex::default());
        Self { slots, ended, entries, known, stopping: Arc::default() }
    }

    /// A pass takes one as long as it copies in this process.
    pub(super) fn slots(&self) -> Arc<Semaphore> {
        self.slots.clone()
    }

    /// Whether a Job of this name may be one that is followed, or will be.
    pub(super) fn may_follow(&self, uid: &str, name: &str) -> bool {
        let is_known = self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(uid);
        let running = self.lock().get(uid).map(|entry| (entry.running.is_some(), entry.counters.job()));
        match running {
            Some((true, Some(job))) => job.name == name && job.phase != JobPhase::Removing,
            // It may take it up yet.
            Some((true, None)) => true,
            Some((false, _)) | None => !is_known,
        }
    }

    fn is_known(&self, uid: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned());
    }

    /// How it stands. A pass of another job (another spec, bucket or key) is stopped; until it has ended none is due. One that `follows`
    /// other versions of what it is made of is due at once, and none is stopped for them. `known` is the end of a pass that an
    /// earlier operator made.
    pub(super) fn look(
        &self,
        uid: &str,
        (fingerprint, follows, schedule): (&str, &str, &Schedule),
        (known, stream): (Option<Timestamp>, Option<&Stream>),
        now: Timestamp,
    ) -> Look {
        let look = self.look_at(uid, (fingerprint, follows, schedule), (known, stream), now);
        if !matches!(look, Look::Due(_) | Look::Changed(_)) {
            self.is_known(uid);
        }
        look
    }

    fn look_at(
        &self,
        uid: &str,
        (fingerprint, follows, schedule): (&str, &str, &Schedule),
        (known, stream): (Option<Timestamp>, Option<&Stream>),
        now: Timestamp,
    ) -> Look {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(uid) else {
            // Nobody knows what a stream was told before.
            let next = known.filter(|_| stream.is_none()).and_then(|ended| schedule.wait(ended, 0, now));
            return next.map_or(Look::Due(None), |next| Look::Resting { next });
        };
        let same = entry.fingerprint == fingerprint;
        if let Some(kind) = entry.running {
            if !same {
                entry.cancel.cancel();
            }
            return Look::Running { kind, progress: entry.counters.read() };
        }
        let Some(report) = entry.last.clone().filter(|_| same) else { return Look::Due(None) };
        if entry.follows != follows || stream.is_some_and(Stream::needs_listing) {
            return Look::Due(Some(report));
        }
        match schedule.wait(report.at, entry.failures, now) {
            Some(_) if stream.is_some_and(Stream::has_changes) => Look::Changed(report),
            Some(next) => Look::Ended { report, next },
            None => Look::Due(Some(report)),
        }
    }

    /// Whether a pass of it runs.
    pub(super) fn is_running(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|entry| entry.running.is_some())
    }

    /// What the next pass counts into.
    pub(super) fn counters(&self, uid: &str) -> (Arc<Counters>, CancellationToken) {
        let mut entries = self.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        entry.counters = Arc::new(Counters { stopping: self.stopping.clone(), ..Counters::default() });
        entry.cancel = CancellationToken::new();
        (entry.counters.clone(), entry.cancel.clone())
    }

    /// Starts a pass over everything; its end brings the DatasetReplica back to the controller.
    pub(super) fn start(
        self: &Arc<Self>,
        uid: &str,
        reference: Reference,
        (fingerprint, follows): (&str, &str),
        pass: impl Future<Output = PassReport> + Send + 'static,
    ) {
        {
            let mut entries = self.lock();
            let entry = entries.entry(uid.to_owned()).or_default();
            fingerprint.clone_into(&mut entry.fingerprint);
            follows.clone_into(&mut entry.follows);
        }
        self.run(uid, reference, Kind::Everything, pass.map(|report| Done::Everything(Box::new(report))));
    }

    /// Starts a pass over what a stream was told of; its end brings the DatasetReplica back, too.
    pub(super) fn start_look(
        self: &Arc<Self>,
        uid: &str,
        reference: Reference,
        look: impl Future<Output = LookReport> + Send + 'static,
    ) {
        self.run(uid, reference, Kind::Changes, look.map(Done::Changes));
    }

    fn run(
        self: &Arc<Self>,
        uid: &str,
        reference: Reference,
        kind: Kind,
        pass: impl Future<Output = Done> + Send + 'static,
    ) {
        self.lock().entry(uid.to_owned()).or_default().running = Some(kind);
        self.is_known(uid);
        let (passes, uid) = (self.clone(), uid.to_owned());
        tokio::spawn(async move {
            let report = pass.await;
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
        self.is_known(uid);
    }

    /// Stops the passes of DatasetReplicas that are no longer there.
    pub(crate) fn retain(&self, alive: &BTreeSet<String>) {
        self.lock().retain(|uid, entry| {
            let stays = alive.contains(uid);
            if !stays {
                entry.cancel.cancel();
            }
            stays || entry.running.is_some()
        });
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid| alive.contains(uid));
    }

    /// Stops all passes and waits until they have put their state away.
    pub(crate) async fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        loop {
            let running = {
                let entries = self.lock();
                entries.values().filter(|entry| entry.running.is_some()).for_each(|entry| entry.cancel.cancel());
                entries.values().any(|entry| entry.running.is_some())
            };
            if !running {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn end(&self, uid: &str, done: Done) {
        if let Some(entry) = self.lock().get_mut(uid) {
            entry.running = None;
            match done {
                Done::Everything(report) => {
                    entry.failures = match &report {
                        report if report.rests() => 0,
                        // It goes on where it is, and nothing gets better by waiting.
                        report if report.is_only_slow() => 1,
                        _ => entry.failures.saturating_add(1),
                    };
                    let ended = Ended { report: *report, at: Timestamp::now() };
                    entry.last = (!entry.cancel.is_cancelled()).then(|| Arc::new(ended));
                }
                // What it did not bring, only a pass over everything does.
                Done::Changes(LookReport { is_complete }) => {
                    entry.failures = entry.failures.max(u32::from(!is_complete));
                    if entry.cancel.is_cancelled() {
                        entry.last = None;
                    }
                }
            }
        }
    }

    // A panic while the lock is held can't leave an entry half-changed in a way that matters: the next look mends it.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use skyfleet_mirror::{Left, MirrorReport};

    use super::*;
    use crate::operator::dataset_replica::apply::PassError;

    fn schedule(cron: Option<&str>) -> Schedule {
        let wanted = skyfleet_api::dataset_replica::Schedule { cron: cron.map(str::to_owned), ..Default::default() };
        Schedule::of(&wanted, Timestamp::UNIX_EPOCH).expect("a schedule")
    }

    fn report(left: Option<Left>) -> PassReport {
        let outcome = left.map(|left| MirrorReport { compared: 1, left, ..MirrorReport::default() });
        let source = outcome.ok_or_else(|| PassError {
            reason: skyfleet_api::Reason::CopyFailed,
            message: "it failed".to_owned(),
            passing: true,
        });
        PassReport { source, targets: Vec::new(), left: None }
    }

    async fn ended(report: PassReport) -> Arc<Passes> {
        let (ends, mut ended) = mpsc::channel(1);
        let passes = Arc::new(Passes::new(1, ends));
        passes.start("uid", Reference::new("name"), ("job", "version 1"), async { report });
        ended.recv().await.expect("an end");
        passes
    }

    fn after_a_minute(passes: &Passes, fingerprint: &str, cron: Option<&str>) -> Option<Duration> {
        let ended = passes.lock()["uid"].last.as_ref().expect("an end").at;
        let now = ended + Duration::from_mins(1);
        match passes.look("uid", (fingerprint, "version 1", &schedule(cron)), (None, None), now) {
            Look::Ended { next, .. } => Some(next),
            Look::Due(_) => None,
            Look::Running { .. } | Look::Resting { .. } | Look::Changed(_) => panic!("it has ended here"),
        }
    }

    #[tokio::test]
    async fn what_is_left_for_its_cost_waits_for_the_regular_time_and_a_failure_does_not() {
        let left = Left { objects: 1, bytes: 1, ..Left::default() };
        let passes = ended(report(Some(left))).await;
        assert_eq!(after_a_minute(&passes, "job", None), Some(Duration::from_mins(4)));
        assert_eq!(after_a_minute(&passes, "another", None), None, "another spec starts at once");
        let failed = ended(report(None)).await;
        assert_eq!(after_a_minute(&failed, "job", None), None);
        assert_eq!(after_a_minute(&failed, "job", Some("0 0 1 1 *")), None);
    }

    #[tokio::test]
    async fn a_new_version_of_what_it_is_made_of_is_followed_at_once() {
        let left = Left { objects: 1, bytes: 1, ..Left::default() };
        let passes = ended(report(Some(left))).await;
        let now = passes.lock()["uid"].last.as_ref().expect("an end").at;
        let look = |follows: &str| passes.look("uid", ("job", follows, &schedule(None)), (None, None), now);
        assert!(matches!(look("version 1"), Look::Ended { .. }));
        assert!(matches!(look("version 2"), Look::Due(Some(_))), "with what the last pass found");
    }

    #[tokio::test]
    async fn a_job_is_swept_when_nobody_follows_it_and_not_before_that_is_known() {
        let (ends, mut ended) = mpsc::channel(1);
        let passes = Arc::new(Passes::new(1, ends));
        let job = |name: &str, phase| Some(JobStatus { name: name.to_owned(), phase, ..JobStatus::default() });
        assert!(passes.may_follow("uid", "a"), "this operator has just begun");
        let (counters, _) = passes.counters("uid");
        let (end, wait) = tokio::sync::oneshot::channel::<()>();
        passes.start("uid", Reference::new("name"), ("job", ""), async {
            let _ended = wait.await;
            report(None)
        });
        assert!(passes.may_follow("uid", "a"), "it may be taken up yet");
        counters.tell_job(job("b", JobPhase::Running));
        assert!(passes.may_follow("uid", "b") && !passes.may_follow("uid", "a"));
        counters.tell_job(job("b", JobPhase::Removing));
        assert!(!passes.may_follow("uid", "b"));
        counters.tell_job(job("b", JobPhase::Running));
        end.send(()).expect("it waits");
        ended.recv().await.expect("an end");
        assert!(!passes.may_follow("uid", "b"), "the pass has ended");
        passes.cancel("another");
        assert!(!passes.may_follow("another", "c"), "it is suspended");
    }

    #[tokio::test]
    async fn an_operator_that_was_restarted_keeps_to_the_schedule() {
        let passes = Passes::new(1, mpsc::channel(1).0);
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let (last, hourly) = (Some(time("2026-11-25T12:10:00Z")), Some("0 * * * *"));
        for (cron, known, now, rests) in [
            (hourly, last, "2026-11-25T12:50:00Z", Some(10 * 60)),
            (hourly, last, "2026-11-25T13:00:00Z", None),
            (hourly, last, "2026-11-29T07:30:00Z", None),
            (hourly, None, "2026-11-25T12:50:00Z", None),
            // One that left objects for their cost.
            (None, last, "2026-11-25T12:10:01Z", Some(299)),
            (None, None, "2026-11-25T12:10:01Z", None),
        ] {
            let found = match passes.look("uid", ("job", "", &schedule(cron)), (known, None), time(now)) {
                Look::Resting { next } => Some(next.as_secs()),
                Look::Due(None) => None,
                _ => panic!("nothing was made here"),
            };
            assert_eq!(found, rests, "{cron:?} {known:?} {now}");
        }
    }
}
