//! Parts that are sent while they are read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use skyfleet_e2e::object_store::{Asked, Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{MirrorOptions, MirrorReport, TransferLimits, mirror};
use tokio_util::sync::CancellationToken;

use crate::faulty::open;
use crate::support::content;

const MIB: usize = 1 << 20;
const SIZE: usize = 32 * MIB + 5;
const BODY: u64 = 9;

async fn server() -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    set_source(&server, BODY);
    for target in ["one", "two"] {
        server.set_bucket(target, SimulatedBucket::default());
    }
    server
}

fn set_source(server: &SimulatedS3, seed: u64) {
    let source = SimulatedBucket::default().with(["big".to_owned()], &Contents::of(content(SIZE, seed)));
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
    /// Parts whose checksum followed, and those whose checksum was known before.
    live: usize,
    kept: usize,
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
            match header(asked, "x-amz-trailer") {
                Some(_) => seen.live += 1,
                None => seen.kept += 1,
            }
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
    asked.target.starts_with(target) && asked.target.contains("partNumber=") && header(asked, "x-amz-trailer").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_read_once_and_no_part_is_kept() {
    let server = server().await;
    let seen = watch(&server, |_| Fault::None);
    // Less memory than a part takes.
    let report = pass(&server, TransferLimits { memory: 4 << 20, ..TransferLimits::default() }).await;
    assert!(report.is_complete(), "{report:?}");
    assert_copied(&server, &report, &["one", "two"], BODY);
    let seen = seen.lock().unwrap();
    assert_eq!((&seen.reads[..], seen.live, seen.kept), (&[(None, false)][..], 10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_breaks_is_read_again_in_its_version() {
    for fault in [Fault::Refused(503, "SlowDown"), Fault::Refused(500, "InternalError"), Fault::Broken, Fault::Lost] {
        let server = server().await;
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
    let server = server().await;
    watch(&server, |asked| if is_live_part(asked, "/two/big") { Fault::Broken } else { Fault::None });
    let report = pass(&server, TransferLimits { memory: 8 << 20, ..TransferLimits::default() }).await;
    assert!(report.is_complete(), "{report:?}");
    assert_copied(&server, &report, &["one", "two"], BODY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_before_a_part_is_read_again_is_copied_anew() {
    let server = Arc::new(server().await);
    let (weak, failed) = (Arc::downgrade(&server), AtomicU64::new(0));
    let _seen = watch(&server, move |asked| {
        if is_live_part(asked, "/two/big") && failed.fetch_add(1, Ordering::SeqCst) == 0 {
            if let Some(server) = weak.upgrade() {
                set_source(&server, BODY + 1);
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
    let server = server().await;
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
    let server = server().await;
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
    let server = server().await;
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
