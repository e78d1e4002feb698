//! Large objects, which are read by several connections at once.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use skyfleet_e2e::object_store::{Asked, Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{MirrorOptions, MirrorReport, SourceLimits, TransferLimits, mirror};
use tokio_util::sync::CancellationToken;

use crate::faulty::open;
use crate::support::content;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 140 * MIB + 5;
const RANGE: u64 = 8 * MIB;

/// Nothing in it is the same at two places where ranges begin.
fn large(seed: u64) -> Bytes {
    let mut body = content((1 << 20) + 7, seed).repeat(140);
    body.truncate(usize::try_from(SIZE).unwrap());
    body.into()
}

fn set_source(server: &SimulatedS3, body: Bytes) {
    server.set_bucket("source", SimulatedBucket::default().with(["big".to_owned()], &Contents::of(body)));
}

async fn server() -> Arc<SimulatedS3> {
    let server = SimulatedS3::start().await.unwrap();
    set_source(&server, large(1));
    server.set_bucket("target", SimulatedBucket::default());
    Arc::new(server)
}

async fn pass(server: &SimulatedS3, options: MirrorOptions) -> MirrorReport {
    let (source, target) = (open(server, "source").await, open(server, "target").await);
    mirror(&source, &[target], &options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap()
}

fn is_read(asked: &Asked) -> bool {
    asked.method == "GET" && asked.target.starts_with("/source/big")
}

fn header(asked: &Asked, name: &str) -> Option<String> {
    asked.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// What is asked of the source's object (which range, and whether of one version only), and the parts of the target's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Read(Option<String>, bool),
    Part(String),
}

fn watch(server: &SimulatedS3, fault: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Arc<Mutex<Vec<Step>>> {
    let steps: Arc<Mutex<Vec<Step>>> = Arc::default();
    let told = steps.clone();
    server.script(move |asked| {
        if is_read(asked) {
            let read = Step::Read(header(asked, "range"), header(asked, "if-match").is_some());
            told.lock().unwrap().push(read);
        } else if asked.method == "PUT" && asked.target.contains("partNumber=") {
            told.lock().unwrap().push(Step::Part(asked.target.clone()));
        }
        fault(asked)
    });
    steps
}

fn reads(steps: &Mutex<Vec<Step>>) -> Vec<(Option<String>, bool)> {
    let steps = steps.lock().unwrap();
    let read =
        |step: &Step| if let Step::Read(range, is_pinned) = step { Some((range.clone(), *is_pinned)) } else { None };
    steps.iter().filter_map(read).collect()
}

fn range(from: u64, to: u64) -> String {
    format!("bytes={from}-{}", to - 1)
}

/// The ranges of the object, in order.
fn all_ranges() -> Vec<(Option<String>, bool)> {
    (0..SIZE.div_ceil(RANGE)).map(|n| (Some(range(n * RANGE, (n * RANGE + RANGE).min(SIZE))), n > 0)).collect()
}

fn sorted(mut reads: Vec<(Option<String>, bool)>) -> Vec<(Option<String>, bool)> {
    let from = |range: &Option<String>| range.as_ref()?.strip_prefix("bytes=")?.split_once('-')?.0.parse::<u64>().ok();
    reads.sort_by_key(|(range, _)| from(range));
    reads
}

fn assert_copied(server: &SimulatedS3, report: &MirrorReport, body: &Bytes) {
    assert!(report.is_complete(), "{report:?}");
    let bucket = server.bucket("target").unwrap();
    assert!(bucket.body("big").is_some_and(|found| found == *body), "{report:?}");
    assert_eq!(bucket.unfinished().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_connections_read_and_no_byte_comes_twice() {
    let server = server().await;
    // So that the first range takes longer than it takes to ask for others.
    server.set_bandwidth(NonZeroU64::new(100 * MIB));
    let steps = watch(&server, |_| Fault::None);
    let report = pass(&server, MirrorOptions::default()).await;
    assert_copied(&server, &report, &large(1));
    let steps = steps.lock().unwrap().clone();
    let is_second_part = |step: &Step| matches!(step, Step::Part(target) if target.contains("partNumber=2&"));
    let before = steps.iter().take_while(|step| !is_second_part(step));
    let before = before.filter(|step| matches!(step, Step::Read(..))).count();
    assert!(before >= 4, "{steps:?}");
    assert_eq!(sorted(reads(&Mutex::new(steps))), all_ranges());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_the_next_range_is_asked_for_before_its_turn() {
    let server = server().await;
    server.set_bandwidth(NonZeroU64::new(100 * MIB));
    let steps = watch(&server, |_| Fault::None);
    // A third of it is less than a range.
    let limits = TransferLimits { memory: 6 * MIB, ..TransferLimits::default() };
    let report = pass(&server, MirrorOptions { limits, ..MirrorOptions::default() }).await;
    assert_copied(&server, &report, &large(1));
    assert_eq!(sorted(reads(&steps)), all_ranges());
    // Parts are as large as ranges, and one is begun when the range before its own has been read.
    let steps = steps.lock().unwrap();
    let at = |wanted: &dyn Fn(&Step) -> bool| steps.iter().position(wanted).unwrap();
    for (index, (range, _)) in all_ranges().iter().enumerate().skip(1) {
        let read = at(&|step| matches!(step, Step::Read(asked, _) if asked == range));
        let number = format!("partNumber={}&", index + 1);
        let part = at(&|step| matches!(step, Step::Part(target) if target.contains(&number)));
        assert!(read < part, "{range:?} {steps:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_whose_connection_breaks_is_read_on_where_it_stopped() {
    let server = server().await;
    let broken = AtomicUsize::new(0);
    let third = Some(range(2 * RANGE, 3 * RANGE));
    let steps = watch(&server, move |asked| {
        let breaks = is_read(asked) && header(asked, "range") == third && broken.fetch_add(1, Ordering::SeqCst) == 0;
        if breaks { Fault::CutOff(3 << 20) } else { Fault::None }
    });
    let report = pass(&server, MirrorOptions::default()).await;
    assert_copied(&server, &report, &large(1));
    let again: Vec<_> = reads(&steps).into_iter().filter(|read| !all_ranges().contains(read)).collect();
    assert_eq!(again, [(Some(range(2 * RANGE + (3 << 20), 3 * RANGE)), true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_never_of_two_versions() {
    for part in ["partNumber=1&", "partNumber=9&", "partNumber=17&"] {
        let server = server().await;
        let (weak, changed) = (Arc::downgrade(&server), AtomicUsize::new(0));
        watch(&server, move |asked| {
            if asked.target.contains(part) && changed.fetch_add(1, Ordering::SeqCst) == 0 {
                set_source(&weak.upgrade().unwrap(), large(2));
            }
            Fault::None
        });
        let report = pass(&server, MirrorOptions::default()).await;
        assert!(report.is_complete(), "{report:?}");
        let found = server.bucket("target").unwrap().body("big").unwrap();
        assert!(found == large(1) || found == large(2), "{part}");
        // When the first part is sent, not all can have been read.
        assert!(part != "partNumber=1&" || found == large(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_cannot_be_read_fails_the_object_and_leaves_nothing() {
    let server = server().await;
    let fifth = Some(range(4 * RANGE, 5 * RANGE));
    watch(&server, move |asked| {
        let fails = is_read(asked) && header(asked, "range") == fifth;
        if fails { Fault::Refused(403, "InvalidObjectState") } else { Fault::None }
    });
    let report = pass(&server, MirrorOptions::default()).await;
    assert_eq!((report.source_failures, report.targets[0].copied), (1, 0), "{report:?}");
    let target = server.bucket("target").unwrap();
    assert_eq!((target.body("big"), target.unfinished().count()), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_became_empty_is_copied_as_it_is() {
    let server = server().await;
    let (weak, changed) = (Arc::downgrade(&server), AtomicUsize::new(0));
    watch(&server, move |asked| {
        if is_read(asked) && changed.fetch_add(1, Ordering::SeqCst) == 0 {
            set_source(&weak.upgrade().unwrap(), Bytes::new());
        }
        Fault::None
    });
    let report = pass(&server, MirrorOptions::default()).await;
    assert_copied(&server, &report, &Bytes::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_bandwidth_is_bounded_nothing_is_read_ahead() {
    let server = server().await;
    let steps = watch(&server, |_| Fault::None);
    let limits = SourceLimits { bandwidth: NonZeroU64::new(1 << 40), ..SourceLimits::default() };
    let report = pass(&server, MirrorOptions { source_limits: limits, ..MirrorOptions::default() }).await;
    assert_copied(&server, &report, &large(1));
    assert_eq!(reads(&steps), [(None, false)]);
}
