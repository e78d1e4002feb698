//! Workers that share a work: they know each other by a bucket only, stop, vanish, and are cut off.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use skyfleet_e2e::object_store::{Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Cutter, HandOver, Ledger, MirrorEvent, MirrorOptions, WorkError, WorkOutcome, WorkPace, WorkPlan, WorkerId,
    forget_work, mirror, work,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::faulty::{open, pass};
use crate::support::{content, dataset, dataset_options};

const OBJECTS: u64 = 240;

/// As the real one, and sooner.
const PACE: WorkPace =
    WorkPace { beat: Duration::from_millis(200), self_fence: Duration::from_secs(6), stale: Duration::from_secs(9) };

struct Work {
    server: Arc<SimulatedS3>,
    ledger: Ledger,
    plan: WorkPlan,
}

impl Work {
    /// Hands everything over, to so many workers.
    async fn begin(workers: u32) -> Self {
        let server = SimulatedS3::start().await.unwrap();
        let mut source = SimulatedBucket::default();
        for number in 0..OBJECTS {
            source = source.with([format!("data/{number:03}")], &Contents::of(content(40_000, number)));
        }
        server.set_bucket("source", source);
        for bucket in ["target", "plain"] {
            server.set_bucket(bucket, SimulatedBucket::default());
        }
        let cutter: Arc<Mutex<Cutter>> = Arc::default();
        let cut = cutter.clone();
        let told = Arc::new(move |event| {
            if let MirrorEvent::HandedOver { key, bytes, .. } = event {
                cut.lock().unwrap().add(&key, bytes);
            }
        });
        let options = MirrorOptions { hand_over: Some(HandOver::default()), ..dataset_options() };
        let (source, target) = (open(&server, "source").await, open(&server, "target").await);
        let targets = [target.clone()];
        mirror(&source, &targets, &options, &CancellationToken::new(), told).await.unwrap();
        let units = std::mem::take(&mut *cutter.lock().unwrap()).finish(workers);
        assert!(units.len() > 4 * workers as usize, "{}", units.len());
        let plan = WorkPlan {
            id: "0a1b2c3d".to_owned(),
            fingerprint: "job".to_owned(),
            cluster: "here".to_owned(),
            attempt: 0,
            workers,
            units: u32::try_from(units.len()).unwrap(),
            objects: OBJECTS,
            bytes: units.iter().map(|unit| unit.bytes).sum(),
            closed: false,
        };
        let ledger = Ledger::new(target, &dataset());
        ledger.publish(&plan, &units).await.unwrap();
        Self { server: Arc::new(server), ledger, plan }
    }

    /// Starts a worker; what it copies is counted.
    fn worker(
        &self,
        index: u32,
        cancel: &CancellationToken,
    ) -> (JoinHandle<Result<WorkOutcome, WorkError>>, Arc<AtomicU64>) {
        let (server, ledger, id) = (self.server.clone(), self.ledger.clone(), self.plan.id.clone());
        let (cancel, copied) = (cancel.clone(), Arc::new(AtomicU64::new(0)));
        let counted = copied.clone();
        let told = Arc::new(move |event| {
            if matches!(event, MirrorEvent::Copied { .. }) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let task = tokio::spawn(async move {
            let (source, targets) = (open(&server, "source").await, [open(&server, "target").await]);
            let worker = (&ledger, id.as_str(), WorkerId { attempt: 0, index }, PACE);
            Box::pin(work(&source, &targets, &dataset_options(), worker, &cancel, told)).await
        });
        (task, copied)
    }

    async fn done(&self) -> BTreeSet<u32> {
        let mut finished = std::collections::BTreeMap::new();
        self.ledger.progress(&self.plan, &mut finished, &CancellationToken::new()).await.unwrap().done
    }

    /// The pass that takes the work over copies so many objects itself, and publishes what a plain mirror would.
    async fn is_taken_over(&self, copies: u64) {
        let options = MirrorOptions { adopts: Some(self.plan.id.clone()), ..dataset_options() };
        let report = pass(&self.server, &["target"], &options).await.unwrap();
        assert_eq!(report.targets[0].copied, copies, "{report:?}");
        let plain = pass(&self.server, &["plain"], &dataset_options()).await.unwrap();
        assert!(report.manifest.is_some() && report.manifest == plain.manifest);
        forget_work(&open(&self.server, "target").await, &dataset(), &self.plan.id).await.unwrap();
        self.ledger.forget().await.unwrap();
        let bucket = self.server.bucket("target").unwrap();
        assert_eq!(bucket.keys().filter(|key| key.starts_with(".skyfleet/work/")).count(), 0);
    }
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_mins(2), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_leave_others_finish_and_nothing_is_copied_twice() {
    let work = Work::begin(3).await;
    work.server.script(|_| Fault::Late(Duration::from_millis(4)));
    let (stays, stops) = (CancellationToken::new(), CancellationToken::new());
    let (first, first_copied) = work.worker(0, &stays);
    let (second, second_copied) = work.worker(1, &stops);
    let (third, third_copied) = work.worker(2, &stays);
    let copied = |of: &Arc<AtomicU64>| of.load(Ordering::SeqCst);
    until("the second copies", async || copied(&second_copied) > 5).await;
    stops.cancel();
    assert!(matches!(second.await.unwrap(), Err(WorkError::Cancelled | WorkError::Mirror(_))));
    until("the third copies", async || copied(&third_copied) > 20).await;
    // As a node that vanishes: it says nothing.
    third.abort();
    assert!(third.await.is_err());
    assert_eq!(first.await.unwrap().unwrap(), WorkOutcome::Finished);
    assert_eq!(work.done().await.len(), work.plan.units as usize);
    // What was in flight when it vanished was copied once more.
    let all = copied(&first_copied) + copied(&second_copied) + copied(&third_copied);
    assert!((OBJECTS..OBJECTS + 80).contains(&all), "{all}");
    assert!(copied(&first_copied) > OBJECTS / 3, "it took from the others");
    work.is_taken_over(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_the_place_of_a_worker_takes_its_claim_over_at_once() {
    let work = Work::begin(1).await;
    work.server.script(|_| Fault::Late(Duration::from_millis(4)));
    let cancel = CancellationToken::new();
    let (first, copied) = work.worker(0, &cancel);
    until("it copies", async || copied.load(Ordering::SeqCst) > 5).await;
    first.abort();
    assert!(first.await.is_err());
    let claimed = Instant::now();
    let (again, _) = work.worker(0, &cancel);
    let before = work.done().await.len();
    until("the next range is done", async || work.done().await.len() > before).await;
    assert!(claimed.elapsed() < PACE.stale, "it waited for its own claim");
    assert_eq!(again.await.unwrap().unwrap(), WorkOutcome::Finished);
    work.is_taken_over(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_that_is_closed_ends_and_what_was_done_stays_done() {
    let work = Work::begin(2).await;
    work.server.script(|_| Fault::Late(Duration::from_millis(20)));
    let cancel = CancellationToken::new();
    let workers = [work.worker(0, &cancel), work.worker(1, &cancel)];
    until("some are done", async || work.done().await.len() >= 2).await;
    work.ledger.replace(&WorkPlan { closed: true, ..work.plan.clone() }).await.unwrap();
    for (worker, _) in workers {
        assert_eq!(worker.await.unwrap().unwrap(), WorkOutcome::Closed);
    }
    let (late, copied) = work.worker(0, &cancel);
    assert_eq!(late.await.unwrap().unwrap(), WorkOutcome::Closed);
    assert_eq!(copied.load(Ordering::SeqCst), 0);
    work.server.script(|_| Fault::None);
    let held = work.server.bucket("target").unwrap();
    let held = held.keys().filter(|key| !key.starts_with(".skyfleet/")).count() as u64;
    assert!(held < OBJECTS, "it was not in the middle");
    work.is_taken_over(OBJECTS - held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_say_that_it_goes_on_stops_by_itself() {
    let work = Work::begin(2).await;
    let is_cut_off = Arc::new(AtomicBool::new(false));
    let cut_off = is_cut_off.clone();
    work.server.script(move |request| {
        if cut_off.load(Ordering::SeqCst) && request.target.contains("plan.json") {
            Fault::Refused(503, "ServiceUnavailable")
        } else {
            Fault::Late(Duration::from_millis(30))
        }
    });
    let cancel = CancellationToken::new();
    let (worker, copied) = work.worker(0, &cancel);
    until("it copies", async || copied.load(Ordering::SeqCst) > 3).await;
    is_cut_off.store(true, Ordering::SeqCst);
    assert!(matches!(worker.await.unwrap(), Err(WorkError::Store(_))));
    let stopped = copied.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(copied.load(Ordering::SeqCst), stopped, "nothing goes on behind it");
    is_cut_off.store(false, Ordering::SeqCst);
    let (other, _) = work.worker(1, &cancel);
    assert_eq!(other.await.unwrap().unwrap(), WorkOutcome::Finished);
    work.is_taken_over(0).await;
}
