//! What breaks in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use skyfleet_mirror::{
    Condition, MirrorError, MirrorEvent, MirrorOptions, MirrorReport, ObjectStore as _, Payload, StoreErrorKind,
    TargetError, TargetReport, TransferLimits, mirror,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Call, Reaction, Server, Watched, content, dataset_options, pass, pass_with, replica};

async fn put(store: &Watched, key: &str, size: usize, seed: u64) {
    let bytes = content(size, seed);
    store.put(key, &skyfleet_mirror::Attributes::default(), Payload::of(bytes.clone()), &Condition::Any).await.unwrap();
}

/// Why a target was given up.
fn store_error(target: &TargetReport) -> Option<&StoreErrorKind> {
    match target.error.as_ref()? {
        TargetError::Store(error) => Some(&error.kind),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_under_the_copy_is_copied_anew() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    put(&source, "big", 30 << 20, 1).await;
    let (writer, gets) = (server.open("source", "").await, Arc::new(AtomicU64::new(0)));
    let counted = gets.clone();
    source.hook(move |call| match call {
        // The connection breaks after the first parts are on their way, and before it is opened again the object changes.
        Call::Get { key, .. } if key == "big" => match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Reaction::BreakBody(17 << 20),
            1 => {
                let writer = writer.clone();
                Reaction::After(Box::pin(async move { put(&writer, "big", 25 << 20, 2).await }))
            }
            _ => Reaction::Pass,
        },
        _ => Reaction::Pass,
    });
    let outcome = pass(&source, &[&target]).await;
    assert_eq!(outcome.targets[0].copied, 1, "{outcome:?}");
    assert!(target.read("big").await == content(25 << 20, 2));
    assert_eq!(gets.load(Ordering::SeqCst), 3);
    // The next pass sees the new version as the one it has.
    source.unhook();
    assert_eq!(pass(&source, &[&target]).await.targets[0].copied, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_that_flips_on_the_way_from_the_source_is_found() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    put(&source, "small", 1000, 1).await;
    let gets = Arc::new(AtomicU64::new(0));
    let counted = gets.clone();
    source.hook(move |call| match call {
        Call::Get { key, .. } if key == "small" && counted.fetch_add(1, Ordering::SeqCst) < 2 => Reaction::FlipBit,
        _ => Reaction::Pass,
    });
    assert_eq!(pass(&source, &[&target]).await.targets[0].copied, 1);
    assert!(target.read("small").await == content(1000, 1));
    assert_eq!(gets.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_connections_keep_breaking_is_read_on() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    put(&source, "big", 30 << 20, 1).await;
    source.hook(|call| match call {
        Call::Get { key, .. } if key == "big" => Reaction::BreakBody(3 << 20),
        _ => Reaction::Pass,
    });
    assert_eq!(pass(&source, &[&target]).await.targets[0].copied, 1);
    assert!(target.read("big").await == content(30 << 20, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_dies_fails_alone_and_a_later_pass_completes_it() {
    let (here, there) = (Server::start().await, Server::start().await);
    let (source, steady) = (here.bucket("source").await, here.bucket("steady").await);
    let dying = there.bucket("dying").await;
    for index in 0..40 {
        put(&source, &format!("{index:02}"), if index % 10 == 0 { 9 << 20 } else { 1000 }, index).await;
    }
    // Its server ends while it is being written to.
    let slot = Arc::new(tokio::sync::Mutex::new(Some(there)));
    let (killed, writes) = (slot.clone(), AtomicU64::new(0));
    let stopped = Arc::new(std::sync::Mutex::new(None));
    let kept = stopped.clone();
    dying.hook(move |call| {
        if matches!(call, Call::Write { .. }) && writes.fetch_add(1, Ordering::SeqCst) == 10 {
            let (killed, kept) = (killed.clone(), kept.clone());
            return Reaction::After(Box::pin(async move {
                if let Some(server) = killed.lock().await.take() {
                    *kept.lock().unwrap() = Some(server.stop().await);
                }
            }));
        }
        Reaction::Pass
    });
    let outcome = pass(&source, &[&steady, &dying]).await;
    let [fine, failed] = &outcome.targets[..] else { panic!() };
    assert_eq!((fine.manifest, fine.settled + fine.copied), (outcome.manifest, 40), "{fine:?}");
    assert!(outcome.manifest.is_some());
    assert_eq!(failed.manifest, None);
    assert_eq!(store_error(failed), Some(&StoreErrorKind::Unreachable), "{failed:?}");
    assert!(failed.copied < 40 && failed.failures.len() <= 10);

    dying.unhook();
    let stopped = stopped.lock().unwrap().take().unwrap();
    let _again = stopped.start_again().await;
    let outcome = pass(&source, &[&steady, &dying]).await;
    assert_eq!(outcome.targets[1].manifest, outcome.manifest, "{outcome:?}");
    assert_eq!(outcome.targets[0].copied, 0);
    assert_eq!(dying.contents().await, source.contents().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_target_does_not_stop_the_others() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    let missing = server.open("no-such-bucket", "").await;
    source.put_text("a", "a").await;
    let outcome = pass(&source, &[&missing, &target]).await;
    assert_eq!(store_error(&outcome.targets[0]), Some(&StoreErrorKind::MissingBucket));
    assert_eq!((outcome.targets[0].manifest, outcome.targets[1].manifest), (None, outcome.manifest));
    assert_eq!(missing.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_source_is_an_error_and_never_an_empty_dataset() {
    let server = Server::start().await;
    let target = server.bucket("target").await;
    let missing = server.open("no-such-bucket", "").await;
    let cancel = CancellationToken::new();
    let targets = [replica(&target, "")];
    let options = dataset_options();
    let outcome = mirror(&replica(&missing, ""), &targets, &options, &cancel, Arc::new(|_| ())).await;
    assert!(matches!(outcome, Err(MirrorError::Source(error)) if error.kind == StoreErrorKind::MissingBucket));
    assert_eq!(target.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_fails_is_never_the_end_of_a_listing() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    // One more than a page holds.
    futures::stream::iter(0..1001)
        .for_each_concurrent(16, async |index| source.put_text(&format!("{index:04}"), "").await)
        .await;
    let fail_second_page = |call: &Call| match call {
        Call::List { is_first_page: false } => Reaction::Fail,
        _ => Reaction::Pass,
    };
    source.hook(fail_second_page);
    let (cancel, options) = (CancellationToken::new(), dataset_options());
    let targets = [replica(&target, "")];
    let outcome = mirror(&replica(&source, ""), &targets, &options, &cancel, Arc::new(|_| ())).await;
    assert!(matches!(outcome, Err(MirrorError::Source(error)) if error.kind == StoreErrorKind::Unreachable));
    // What came until then is copied and remembered, and nothing is published.
    let first = target.contents().await.len() as u64;
    assert!(first < 1001 && !target.own_keys().await.iter().any(|key| key.contains("/manifests/")));

    source.unhook();
    let second = pass(&source, &[&target]).await;
    assert_eq!((second.targets[0].settled, second.targets[0].copied), (first, 1001 - first));
    assert!(second.manifest.is_some());
    // At the target neither: the objects on the page that did not come are not copied again, they are unknown.
    target.writes();
    target.hook(fail_second_page);
    let outcome = pass(&source, &[&target]).await;
    assert!(outcome.targets[0].error.is_some() && outcome.targets[0].manifest.is_none());
    assert_eq!(target.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_pass_is_remembered_and_the_next_one_goes_on() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    for index in 0..60 {
        put(&source, &format!("{index:02}"), 1000, index).await;
    }
    let (cancel, copied) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let (stop, counted) = (cancel.clone(), copied.clone());
    let progress = Arc::new(move |event| {
        if matches!(event, MirrorEvent::Copied { .. }) && counted.fetch_add(1, Ordering::SeqCst) == 19 {
            stop.cancel();
        }
    });
    let targets = [replica(&target, "")];
    let outcome = mirror(&replica(&source, ""), &targets, &dataset_options(), &cancel, progress).await;
    assert_eq!(outcome, Err(MirrorError::Cancelled));
    let first = copied.load(Ordering::SeqCst);
    assert!((20..60).contains(&first), "{first}");

    let outcome = pass(&source, &[&target]).await;
    assert_eq!(outcome.targets[0].copied, 60 - first);
    assert_eq!(target.contents().await, source.contents().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_was_killed_is_made_good_by_the_next() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    for index in 0..30 {
        put(&source, &format!("{index:02}"), if index % 10 == 0 { 20 << 20 } else { 1000 }, index).await;
    }
    // Killed in the middle of a multipart upload: the hook never lets the third part go.
    let reached = Arc::new(tokio::sync::Notify::new());
    let (reach, parts) = (reached.clone(), AtomicU64::new(0));
    target.hook(move |call| match call {
        Call::Write { what: "part", .. } if parts.fetch_add(1, Ordering::SeqCst) >= 2 => {
            reach.notify_one();
            Reaction::After(Box::pin(std::future::pending()))
        }
        _ => Reaction::Pass,
    });
    let running = {
        let (source, target) = (source.clone(), target.clone());
        tokio::spawn(async move { pass(&source, &[&target]).await })
    };
    reached.notified().await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    target.unhook();

    let outcome = pass(&source, &[&target]).await;
    assert_eq!(outcome.targets[0].manifest, outcome.manifest, "{outcome:?}");
    assert_eq!(target.contents().await, source.contents().await);
}

/// Bytes taken from the source and not yet taken by the slow target never exceed the budget.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_when_a_target_is_slow() {
    const BUDGET: u64 = 32 << 20;
    let server = Server::start().await;
    let (source, quick, slow) =
        (server.bucket("source").await, server.bucket("quick").await, server.bucket("slow").await);
    for index in 0..4 {
        put(&source, &format!("{index}"), 40 << 20, index).await;
    }
    let (held, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (enter, peak) = (held.clone(), most.clone());
    // The slow target takes nothing until the whole budget waits for it, and a while longer in which more could come.
    let full = Arc::new(tokio::sync::Semaphore::new(0));
    slow.hook(move |call| match call {
        Call::Write { what: "part", bytes, .. } => {
            let (enter, full, bytes) = (enter.clone(), full.clone(), *bytes);
            let now = enter.fetch_add(bytes, Ordering::SeqCst) + bytes;
            peak.fetch_max(now, Ordering::SeqCst);
            Reaction::After(Box::pin(async move {
                if now >= BUDGET {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    full.close();
                }
                if tokio::time::timeout(Duration::from_mins(1), full.acquire()).await.is_err() {
                    // It never comes to that: the test fails below, and does not wait for each part.
                    full.close();
                }
                enter.fetch_sub(bytes, Ordering::SeqCst);
            }))
        }
        _ => Reaction::Pass,
    });
    // A third is for what is read ahead.
    let limits = TransferLimits { memory: BUDGET / 2 * 3, parts: 16, ..TransferLimits::default() };
    let options = MirrorOptions { limits, ..dataset_options() };
    let outcome: MirrorReport = pass_with(&source, &[&quick, &slow], &options).await;
    assert_eq!(outcome.targets[1].manifest, outcome.manifest);
    assert_eq!(most.load(Ordering::SeqCst), BUDGET);
}
