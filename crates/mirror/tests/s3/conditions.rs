//! What somebody else writes to a target during a pass is neither overwritten nor taken for our own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skyfleet_e2e::object_store::{Asked, Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{MirrorEvent, MirrorOptions, MirrorReport, StoreErrorKind, TransferLimits, mirror};
use tokio_util::sync::CancellationToken;

use crate::faulty::{open, pass};
use crate::support::content;

const SMALL: usize = 100;
const LARGE: usize = 12 << 20;

fn in_parts() -> MirrorOptions {
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    MirrorOptions { limits, ..MirrorOptions::default() }
}

fn holding(size: usize, seed: u64) -> SimulatedBucket {
    SimulatedBucket::default().with(["key".to_owned()], &Contents::of(content(size, seed)))
}

/// A source whose object another program puts at the target, in other bytes, while it is read.
async fn with_foreign_write(size: usize, target: SimulatedBucket) -> Arc<SimulatedS3> {
    let server = Arc::new(SimulatedS3::start().await.unwrap());
    server.set_bucket("source", holding(size, 1));
    server.set_bucket("target", target);
    let (writing, count) = (Arc::downgrade(&server), AtomicU64::new(0));
    server.script(move |asked| {
        let reads = asked.method == http::Method::GET && asked.target == "/source/key";
        if reads && count.fetch_add(1, Ordering::SeqCst) == 0 {
            let server = writing.upgrade().unwrap();
            let foreign = Contents::of(content(size, 2));
            let target = server.bucket("target").unwrap().with(["key".to_owned()], &foreign);
            server.set_bucket("target", target);
        }
        Fault::None
    });
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_write_stays_until_the_next_pass_has_seen_it() {
    for (size, target) in [
        (SMALL, SimulatedBucket::default()),
        (SMALL, holding(SMALL, 3)),
        (LARGE, SimulatedBucket::default()),
        (LARGE, holding(SMALL, 3)),
    ] {
        let server = with_foreign_write(size, target).await;
        let errors = Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = errors.clone();
        let progress = Arc::new(move |event| {
            if let MirrorEvent::Failed { failure, .. } = event {
                told.lock().unwrap().push(failure.error);
            }
        });
        let (source, target) = (open(&server, "source").await, open(&server, "target").await);
        let report = mirror(&source, &[target], &in_parts(), &CancellationToken::new(), progress).await.unwrap();
        assert_eq!((report.targets[0].copied, report.targets[0].failed), (0, 1), "{report:?}");
        let error = errors.lock().unwrap().pop().unwrap();
        assert!(error.kind == StoreErrorKind::Changed && error.to_string().contains("somebody else"), "{error}");
        let held = server.bucket("target").unwrap();
        assert!(held.body("key").unwrap() == content(size, 2), "it is as the other program left it");
        assert_eq!(held.unfinished().count(), 0);

        let report = pass(&server, &["target"], &in_parts()).await.unwrap();
        assert!(report.is_complete() && report.targets[0].copied == 1, "{report:?}");
        assert!(server.bucket("target").unwrap().body("key").unwrap() == content(size, 1));
    }
}

/// One pass to a target that holds nothing, or another object, where this happens to each first request that writes the object.
async fn pass_with(size: usize, target: SimulatedBucket, fault: Fault, times: u64) -> (MirrorReport, u64) {
    let server = SimulatedS3::start().await.unwrap();
    server.set_bucket("source", holding(size, 1));
    server.set_bucket("target", target);
    let count = Arc::new(AtomicU64::new(0));
    let conditions = count.clone();
    server.script(move |asked| {
        if !is_conditional(asked) || conditions.fetch_add(1, Ordering::SeqCst) >= times {
            return Fault::None;
        }
        fault.clone()
    });
    let report = pass(&server, &["target"], &in_parts()).await.unwrap();
    assert!(report.is_complete() && report.targets[0].copied == 1, "{report:?}");
    let target = server.bucket("target").unwrap();
    assert!(target.body("key").unwrap() == content(size, 1) && target.unfinished().count() == 0);
    (report, count.load(Ordering::SeqCst))
}

/// Whether it writes the object's bytes, or makes it of its parts, on a condition.
fn is_conditional(asked: &Asked) -> bool {
    let has = |name| asked.headers.contains_key(name);
    let writes = asked.method != http::Method::GET && asked.target.starts_with("/target/key");
    writes && !has("x-amz-copy-source") && (has("if-match") || has("if-none-match"))
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_write_whose_answer_was_lost_is_none_of_another() {
    for (size, target) in [
        (SMALL, SimulatedBucket::default()),
        (SMALL, holding(SMALL, 3)),
        (LARGE, SimulatedBucket::default()),
        (LARGE, holding(LARGE, 3)),
    ] {
        let (_, attempts) = pass_with(size, target, Fault::Lost, 1).await;
        assert_eq!(attempts, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_tried_again() {
    for size in [SMALL, LARGE] {
        let conflict = Fault::Refused(409, "ConditionalRequestConflict");
        let (_, attempts) = pass_with(size, SimulatedBucket::default(), conflict, 2).await;
        assert_eq!(attempts, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_conditions_is_written_without() {
    for (size, target) in [(SMALL, SimulatedBucket::default()), (LARGE, holding(SMALL, 3))] {
        let (_, attempts) = pass_with(size, target, Fault::Refused(501, "NotImplemented"), u64::MAX).await;
        assert_eq!(attempts, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_somebody_removes_meanwhile_comes_with_the_next_pass() {
    let server = Arc::new(SimulatedS3::start().await.unwrap());
    server.set_bucket("source", holding(SMALL, 1));
    server.set_bucket("target", holding(SMALL, 2));
    let removing = Arc::downgrade(&server);
    server.script(move |asked| {
        if asked.method == http::Method::GET && asked.target == "/source/key" {
            removing.upgrade().unwrap().set_bucket("target", SimulatedBucket::default());
        }
        Fault::Late(Duration::ZERO)
    });
    let report = pass(&server, &["target"], &MirrorOptions::default()).await.unwrap();
    assert_eq!((report.targets[0].copied, report.targets[0].failed), (0, 1), "{report:?}");
    assert!(pass(&server, &["target"], &MirrorOptions::default()).await.unwrap().is_complete());
}
