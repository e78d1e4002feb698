//! Parts that are sent while they are read: with their checksum behind them, or without where both stores tell theirs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use skyfleet_e2e::object_store::{Asked, Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{Checksum, ChecksumAlgorithm, MirrorOptions, MirrorReport, Payload, TransferLimits, mirror};
use tokio_util::sync::CancellationToken;

use crate::faulty::open;
use crate::support::content;

const MIB: usize = 1 << 20;
const SIZE: usize = 32 * MIB + 5;
const BODY: u64 = 9;
const CHECKSUM: &str = "x-amz-checksum-crc64nvme";

/// One for each target: whether it tells the checksum of a part.
const PROBES: usize = 2;
/// Whether the source's store tells the checksum of what it holds.
const BOTH: [bool; 2] = [false, true];

async fn server(is_told: bool) -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    set_source(&server, BODY, is_told);
    for target in ["one", "two"] {
        server.set_bucket(target, SimulatedBucket::default());
    }
    server
}

fn set_source(server: &SimulatedS3, seed: u64, is_told: bool) {
    let contents = Contents::of(content(SIZE, seed));
    let contents = if is_told { contents } else { contents.untold() };
    let source = SimulatedBucket::default().with(["big".to_owned()], &contents);
    server.set_bucket("source", source);
}

async fn pass(server: &SimulatedS3, limits: TransferLimits) -> MirrorReport {
    let (source, targets) = (open(server, "source").await, [open(server, "one").await, open(server, "two").await]);
    let options = MirrorOptions { limits, ..MirrorOptions::default() };
    mirror(&source, &targets, &options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap()
}

/// What was asked for of the object.
#[derive(Default)]
struct Seen {
    /// The range of each reading, and whether it named a version.
    reads: Vec<(Option<String>, bool)>,
    /// Parts whose checksum followed, those that came without, and those whose checksum was known before.
    live: usize,
    bare: usize,
    kept: usize,
    /// What was sent of the whole with each completion.
    completed: Vec<Option<String>>,
}

fn header(asked: &Asked, name: &str) -> Option<String> {
    asked.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// Watches requests, and lets some fail.
fn watch(server: &SimulatedS3, fault: impl Fn(&Asked) -> Fault + Send + Sync + 'static) -> Arc<Mutex<Seen>> {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let told = seen.clone();
    server.script(move |asked| {
        let mut seen = told.lock().unwrap();
        if asked.method == "GET" && asked.target.starts_with("/source/big") {
            seen.reads.push((header(asked, "range"), header(asked, "if-match").is_some()));
        }
        if asked.target.contains("partNumber=") {
            match (header(asked, "x-amz-trailer"), header(asked, CHECKSUM)) {
                (Some(_), _) => seen.live += 1,
                (None, None) => seen.bare += 1,
                (None, Some(_)) => seen.kept += 1,
            }
        }
        if asked.method == "POST" && asked.target.contains("uploadId=") {
            seen.completed.push(header(asked, CHECKSUM));
        }
        drop(seen);
        fault(asked)
    });
    seen
}

fn assert_copied(server: &SimulatedS3, report: &MirrorReport, targets: &[&str], seed: u64) {
    for target in targets {
        let bucket = server.bucket(target).unwrap();
        assert!(bucket.body("big").is_some_and(|body| body == content(SIZE, seed)), "{target} {report:?}");
        assert_eq!(bucket.unfinished().count(), 0);
        assert!(!bucket.keys().any(|key| key.contains("probe")), "what was tried is removed again");
    }
}

fn is_live_part(asked: &Asked, target: &str) -> bool {
    asked.target.starts_with(target) && asked.target.contains("partNumber=") && header(asked, CHECKSUM).is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_read_once_and_no_part_is_kept() {
    for is_told in BOTH {
        let server = server(is_told).await;
        let seen = watch(&server, |_| Fault::None);
        // Less memory than a part takes.
        let report = pass(&server, TransferLimits { memory: 4 << 20, ..TransferLimits::default() }).await;
        assert!(report.is_complete(), "{report:?}");
        assert_copied(&server, &report, &["one", "two"], BODY);
        let seen = seen.lock().unwrap();
        let parts = if is_told { (0, 10 + PROBES, 0) } else { (10, 0, 0) };
        assert_eq!((&seen.reads[..], (seen.live, seen.bare, seen.kept)), (&[(None, false)][..], parts));
        let whole = Payload::checked_by(content(SIZE, BODY), ChecksumAlgorithm::Crc64Nvme).checksum();
        let Checksum::Crc64Nvme(whole) = whole else { panic!("another checksum") };
        let whole = Some(base64::engine::general_purpose::STANDARD.encode(whole.to_be_bytes()));
        assert_eq!(seen.completed, [whole.clone(), whole]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_breaks_is_read_again_in_its_version() {
    let faults = [Fault::Refused(503, "SlowDown"), Fault::Refused(500, "InternalError"), Fault::Broken, Fault::Lost];
    for (fault, is_told) in faults.into_iter().flat_map(|fault| BOTH.map(|is_told| (fault.clone(), is_told))) {
        let server = server(is_told).await;
        let (failed, told) = (AtomicU64::new(0), fault.clone());
        let seen = watch(&server, move |asked| {
            let is_second = is_live_part(asked, "/two/big") && asked.target.contains("partNumber=2");
            if is_second && failed.fetch_add(1, Ordering::SeqCst) == 0 { told.clone() } else { Fault::None }
        });
        let report = pass(&server, TransferLimits { memory: 8 << 20, ..TransferLimits::default() }).await;
        assert!(report.is_complete(), "{fault:?} {report:?}");
        assert_copied(&server, &report, &["one", "two"], BODY);
        let seen = seen.lock().unwrap();
        assert_eq!(
            seen.reads,
            [(None, false), (Some(format!("bytes={}-{}", 8 * MIB, 16 * MIB - 1)), true)],
            "{fault:?}"
        );
        assert!(seen.kept > 0, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_first_attempt_may_break() {
    for is_told in BOTH {
        let server = server(is_told).await;
        watch(&server, |asked| if is_live_part(asked, "/two/big") { Fault::Broken } else { Fault::None });
        let report = pass(&server, TransferLimits { memory: 8 << 20, ..TransferLimits::default() }).await;
        assert!(report.is_complete(), "{report:?}");
        assert_copied(&server, &report, &["one", "two"], BODY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_before_a_part_is_read_again_is_copied_anew() {
    for is_told in BOTH {
        changes_before_a_part_is_read_again(is_told).await;
    }
}

async fn changes_before_a_part_is_read_again(is_told: bool) {
    let server = Arc::new(server(is_told).await);
    let (weak, failed) = (Arc::downgrade(&server), AtomicU64::new(0));
    let _seen = watch(&server, move |asked| {
        if is_live_part(asked, "/two/big") && failed.fetch_add(1, Ordering::SeqCst) == 0 {
            if let Some(server) = weak.upgrade() {
                set_source(&server, BODY + 1, is_told);
            }
            return Fault::Refused(500, "InternalError");
        }
        Fault::None
    });
    let report = pass(&server, TransferLimits::default()).await;
    assert!(report.is_complete(), "{report:?}");
    assert_copied(&server, &report, &["two"], BODY + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_takes_no_part_fails_alone() {
    for is_told in BOTH {
        takes_no_part(is_told).await;
    }
}

async fn takes_no_part(is_told: bool) {
    let server = server(is_told).await;
    watch(&server, |asked| {
        let is_part = asked.target.starts_with("/two/big") && asked.target.contains("partNumber=");
        if is_part { Fault::Refused(403, "AccessDenied") } else { Fault::None }
    });
    let report = pass(&server, TransferLimits::default()).await;
    assert_eq!((report.targets[0].copied, report.targets[1].copied), (1, 0), "{report:?}");
    assert_copied(&server, &report, &["one"], BODY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_check_what_follows_gets_whole_parts() {
    let server = server(false).await;
    let seen = watch(&server, |asked| match header(asked, "x-amz-trailer") {
        Some(_) => Fault::Refused(501, "NotImplemented"),
        None => Fault::None,
    });
    let report = pass(&server, TransferLimits::default()).await;
    assert!(report.is_complete(), "{report:?}");
    assert_copied(&server, &report, &["one", "two"], BODY);
    let seen = seen.lock().unwrap();
    assert_eq!((&seen.reads[..], seen.live, seen.kept), (&[(None, false)][..], 0, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_did_not_confirm_is_never_completed() {
    let server = server(true).await;
    let completed = Arc::new(AtomicU64::new(0));
    let counted = completed.clone();
    watch(&server, move |asked| {
        if asked.method == "POST" && asked.target.contains("uploadId=") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let is_read = asked.method == "GET" && asked.target.starts_with("/source/big");
        if is_read { Fault::Flipped } else { Fault::None }
    });
    let report = pass(&server, TransferLimits::default()).await;
    assert_eq!((report.source_failures, completed.load(Ordering::SeqCst)), (1, 0), "{report:?}");
    for target in ["one", "two"] {
        assert_eq!(server.bucket(target).unwrap().unfinished().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_on_the_way_is_found_by_what_the_stores_tell() {
    let server = server(true).await;
    let first = AtomicU64::new(0);
    let seen = watch(&server, move |asked| {
        let is_read = asked.method == "GET" && asked.target.starts_with("/source/big");
        if is_read && first.fetch_add(1, Ordering::SeqCst) == 0 { Fault::Flipped } else { Fault::None }
    });
    let report = pass(&server, TransferLimits::default()).await;
    assert!(report.is_complete(), "{report:?}");
    assert_copied(&server, &report, &["one", "two"], BODY);
    let seen = seen.lock().unwrap();
    assert_eq!((seen.bare, seen.live, seen.completed.len()), (10 + PROBES, 10, 2), "the second time they are computed");
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_are_computed_where_a_store_tells_none_of_parts() {
    let server = server(true).await;
    let seen = watch(&server, |asked| {
        let is_bare = asked.target.starts_with("/two/") && is_live_part(asked, "/two/");
        let refused = Fault::Refused(400, "InvalidRequest");
        if is_bare && header(asked, "x-amz-trailer").is_none() { refused } else { Fault::None }
    });
    let report = pass(&server, TransferLimits::default()).await;
    assert!(report.is_complete(), "{report:?}");
    assert_copied(&server, &report, &["one", "two"], BODY);
    let seen = seen.lock().unwrap();
    assert_eq!((seen.bare, seen.live, seen.kept), (PROBES, 10, 0));
}
