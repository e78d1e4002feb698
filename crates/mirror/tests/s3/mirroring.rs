//! Whole buckets kept the same: what is copied, what is removed, and what never is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use skyfleet_mirror::{
    Attributes, Bounds, Condition, Deletion, Filter, MirrorError, MirrorEvent, MirrorOptions, MirrorReport,
    MostDeleted, ObjectStore as _, Payload, StoreErrorKind, TargetError, mirror,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Call, Reaction, Server, Watched, content, replica};

fn deleting(percent: u8) -> MirrorOptions {
    MirrorOptions { deletion: Deletion::Surplus(MostDeleted::percent(percent)), ..MirrorOptions::default() }
}

async fn run(
    source: &Arc<Watched>,
    targets: &[&Arc<Watched>],
    options: &MirrorOptions,
) -> Result<MirrorReport, MirrorError> {
    let targets: Vec<_> = targets.iter().map(|target| replica(target, "")).collect();
    mirror(&replica(source, ""), &targets, options, &CancellationToken::new(), Arc::new(|_| ())).await
}

async fn put_many(store: &Watched, keys: impl Iterator<Item = String>) {
    futures::stream::iter(keys).for_each_concurrent(16, async |key| store.put_text(&key, &key).await).await;
}

async fn put(store: &Watched, key: &str, attributes: &Attributes, body: bytes::Bytes) {
    store.put(key, attributes, Payload::of(body), &Condition::Any).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pass_reads_and_writes_nothing() {
    let server = Server::start().await;
    let source = server.bucket("source").await;
    let (one, two) = (server.bucket("one").await, server.bucket("two").await);
    put_many(&source, ["a", "b//c", "../d", "é"].map(str::to_owned).into_iter()).await;
    skyfleet_upload(&source, "large", 20 << 20).await;
    let gets = Arc::new(AtomicU64::new(0));
    let counted = gets.clone();
    source.hook(move |call| {
        if matches!(call, Call::Get { .. }) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Reaction::Pass
    });
    let report = run(&source, &[&one, &two], &MirrorOptions::default()).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.targets.iter().map(|target| target.copied).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(gets.swap(0, Ordering::SeqCst), 5, "each object is read once for both targets");
    assert!(one.contents().await == source.contents().await && two.contents().await == source.contents().await);

    let _until_now = (one.writes(), two.writes());
    let report = run(&source, &[&one, &two], &MirrorOptions::default()).await.unwrap();
    assert_eq!(report.targets.iter().map(|target| (target.settled, target.copied)).collect::<Vec<_>>(), [(5, 0); 2]);
    assert_eq!((one.writes(), two.writes(), gets.load(Ordering::SeqCst)), (0, 0, 0));
}

/// An object in parts, which one request could not have written.
async fn skyfleet_upload(store: &Arc<Watched>, key: &str, size: usize) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, content(size, 1)).unwrap();
    let store: Arc<dyn skyfleet_mirror::ObjectStore> = store.clone();
    let limits = skyfleet_mirror::TransferLimits { part_size: 6 << 20, ..Default::default() };
    skyfleet_mirror::upload(&store, key, &file, limits, &CancellationToken::new(), |_| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn any_change_is_copied_though_sizes_are_equal() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    put_many(&source, ["content", "metadata", "same"].map(str::to_owned).into_iter()).await;
    run(&source, &[&target], &MirrorOptions::default()).await.unwrap();
    // Times are told by the second: what is written in the second of the copy cannot be told from it by its time.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    source.put_text("content", "tnetnoc").await;
    let attributes = Attributes { cache_control: Some("no-store".to_owned()), ..Attributes::default() };
    put(&source, "metadata", &attributes, "metadata".into()).await;
    let report = run(&source, &[&target], &MirrorOptions::default()).await.unwrap();
    assert_eq!((report.targets[0].copied, report.targets[0].settled), (2, 1), "{report:?}");
    assert_eq!(target.read("content").await, b"tnetnoc");
    assert_eq!(target.head("metadata").await.unwrap().attributes.cache_control.as_deref(), Some("no-store"));

    // A copy that somebody changed is none.
    target.put_text("same", "emas").await;
    let report = run(&source, &[&target], &MirrorOptions::default()).await.unwrap();
    assert_eq!(report.targets[0].copied, 1);
    assert_eq!(target.read("same").await, b"same");
}

#[tokio::test(flavor = "multi_thread")]
async fn surplus_goes_only_when_asked_for_and_never_too_much() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    put_many(&source, (0..20).map(|number| format!("{number:02}"))).await;
    run(&source, &[&target], &MirrorOptions::default()).await.unwrap();
    put_many(&target, ["x1", "x2"].map(str::to_owned).into_iter()).await;
    target.put_text(".skyfleet/own", "stays").await;

    let report = run(&source, &[&target], &MirrorOptions::default()).await.unwrap();
    assert_eq!((report.targets[0].surplus, report.targets[0].removed), (2, 0));
    let report = run(&source, &[&target], &deleting(9)).await.unwrap();
    assert_eq!(report.targets[0].error, Some(TargetError::TooManyDeletions { surplus: 2, held: 22 }));
    let dry = MirrorOptions { dry_run: true, ..deleting(10) };
    assert_eq!(run(&source, &[&target], &dry).await.unwrap().targets[0].removed, 2);
    assert_eq!(target.contents().await.len(), 22, "nothing was removed until now");
    let report = run(&source, &[&target], &deleting(10)).await.unwrap();
    assert!(report.is_complete() && report.targets[0].removed == 2, "{report:?}");
    assert!(target.contents().await == source.contents().await);
    assert_eq!(target.own_keys().await, [".skyfleet/own"]);

    let nothing = server.bucket("nothing").await;
    let report = run(&nothing, &[&target], &deleting(10)).await.unwrap();
    assert_eq!(report.targets[0].error, Some(TargetError::TooManyDeletions { surplus: 20, held: 20 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_fails_on_any_page_removes_nothing() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    put_many(&source, (0..1200).map(|number| format!("{number:04}"))).await;
    put_many(&target, (0..1300).map(|number| format!("{number:04}"))).await;
    let fails = |first: bool| {
        move |call: &Call| match call {
            Call::List { is_first_page } if *is_first_page == first => Reaction::Fail,
            _ => Reaction::Pass,
        }
    };
    for first in [true, false] {
        source.hook(fails(first));
        let outcome = run(&source, &[&target], &deleting(100)).await;
        assert!(matches!(outcome, Err(MirrorError::Source(_))), "{outcome:?}");
        source.unhook();
        target.hook(fails(first));
        let report = run(&source, &[&target], &deleting(100)).await.unwrap();
        assert!(matches!(report.targets[0].error, Some(TargetError::Store(_))), "{report:?}");
        target.unhook();
        assert_eq!(target.contents().await.len(), 1300);
    }
    let report = run(&source, &[&target], &deleting(100)).await.unwrap();
    assert_eq!((report.targets[0].removed, report.targets[0].surplus), (100, 100), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_at_the_last_moment_stays() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    put_many(&target, ["returns", "changes", "goes"].map(str::to_owned).into_iter()).await;
    let writer = server.open("source", "").await;
    source.hook(move |call| match call {
        Call::Head { key } if key == "returns" => {
            let writer = writer.clone();
            Reaction::After(Box::pin(async move { writer.put_text("returns", "returns").await }))
        }
        _ => Reaction::Pass,
    });
    let other = server.open("target", "").await;
    target.hook(move |call| match call {
        Call::Head { key } if key == "changes" => {
            let other = other.clone();
            Reaction::After(Box::pin(async move { other.put_text("changes", "somebody needs it").await }))
        }
        _ => Reaction::Pass,
    });
    let report = run(&source, &[&target], &deleting(100)).await.unwrap();
    assert_eq!((report.targets[0].surplus, report.targets[0].removed), (3, 1), "{report:?}");
    assert_eq!(target.contents().await.into_keys().collect::<Vec<_>>(), ["changes", "returns"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_keeps_everything() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    put_many(&source, ["archived", "broken", "fine"].map(str::to_owned).into_iter()).await;
    target.put_text("surplus", "surplus").await;
    source.hook(|call| match call {
        Call::Get { key, .. } if key == "archived" => Reaction::Refuse,
        // It is opened again where it broke, and breaks again after two more bytes: so it arrives in the end.
        Call::Get { key, .. } if key == "broken" => Reaction::BreakBody(2),
        _ => Reaction::Pass,
    });
    let report = run(&source, &[&target], &deleting(100)).await.unwrap();
    assert_eq!((report.source_failures, report.targets[0].copied, report.targets[0].removed), (1, 2, 0), "{report:?}");
    assert_eq!(report.targets[0].error, Some(TargetError::SourceIncomplete));
    assert!(!report.is_complete());

    source.put_text("broken", "another").await;
    source.hook(|call| match call {
        Call::Get { key, .. } if key == "broken" => Reaction::BreakBody(0),
        _ => Reaction::Pass,
    });
    let outcome = run(&source, &[&target], &deleting(100)).await;
    assert!(matches!(outcome, Err(MirrorError::Source(_))), "{outcome:?}");
    assert_eq!(target.read("surplus").await, b"surplus");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_in_another_order_is_sorted_first() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    put_many(&source, (0..30).map(|number| number.to_string())).await;
    put_many(&target, (0..33).map(|number| number.to_string())).await;
    source.hook(|_| Reaction::Reverse);
    let report = run(&source, &[&target], &deleting(10)).await.unwrap();
    assert_eq!((report.targets[0].removed, report.targets[0].failed), (3, 0), "{report:?}");
    target.hook(|_| Reaction::Reverse);
    let report = run(&source, &[&target], &deleting(10)).await.unwrap();
    assert_eq!((report.compared, report.targets[0].surplus, report.targets[0].copied), (30, 0, 0), "{report:?}");
    assert!(target.contents().await == source.contents().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_filter_leaves_out_is_neither_copied_nor_removed() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    for (key, size) in [("in/small", 10), ("in/large", 1000), ("out/x", 10)] {
        put(&source, key, &Attributes::default(), content(size, 1)).await;
    }
    put_many(&target, ["out/surplus", "in/large"].map(str::to_owned).into_iter()).await;
    let filter = Filter::new(&["in/**".to_owned()], &[]).unwrap();
    let sizes = Bounds { least: None, most: Some(100) };
    let options = MirrorOptions { filter, sizes, ..deleting(100) };
    let report = run(&source, &[&target], &options).await.unwrap();
    assert_eq!((report.targets[0].copied, report.targets[0].surplus), (1, 0), "{report:?}");
    let keys: Vec<_> = target.contents().await.into_keys().collect();
    assert_eq!(keys, ["in/large", "in/small", "out/surplus"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_cannot_hold_is_not_read_for_it() {
    let server = Server::start().await;
    let source = server.bucket("source").await;
    let (small, any) = (server.bucket("small").await, server.bucket("any").await);
    put(&source, "large", &Attributes::default(), content(2000, 1)).await;
    put(&source, "fits", &Attributes::default(), content(1000, 1)).await;
    small.hold_at_most(1000);
    let gets = Arc::new(AtomicU64::new(0));
    let counted = gets.clone();
    source.hook(move |call| {
        counted.fetch_add(u64::from(matches!(call, Call::Get { .. })), Ordering::SeqCst);
        Reaction::Pass
    });
    let report = run(&source, &[&small, &any], &MirrorOptions::default()).await.unwrap();
    let counts: Vec<_> = report.targets.iter().map(|target| (target.copied, target.failed)).collect();
    assert_eq!((counts, gets.swap(0, Ordering::SeqCst)), (vec![(1, 1), (2, 0)], 2));
    let report = run(&source, &[&small], &MirrorOptions::default()).await.unwrap();
    assert_eq!((report.targets[0].failed, gets.load(Ordering::SeqCst)), (1, 0), "nobody could take it");
    assert_eq!(small.contents().await.into_keys().collect::<Vec<_>>(), ["fits"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_stopped_goes_on_where_it_was() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    put_many(&source, (0..60).map(|number| format!("{number:02}"))).await;
    let (cancel, copied) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let (stop, counted) = (cancel.clone(), copied.clone());
    let progress = Arc::new(move |event| {
        if matches!(event, MirrorEvent::Copied { .. }) && counted.fetch_add(1, Ordering::SeqCst) == 19 {
            stop.cancel();
        }
    });
    let options = MirrorOptions::default();
    let outcome = mirror(&replica(&source, ""), &[replica(&target, "")], &options, &cancel, progress).await;
    assert_eq!(outcome, Err(MirrorError::Cancelled));
    let there = target.contents().await.len() as u64;
    assert!((20..60).contains(&there), "{there}");
    let report = run(&source, &[&target], &options).await.unwrap();
    // The server may have ended meanwhile what it had been asked before.
    let settled = report.targets[0].settled;
    assert!(settled >= there && settled + report.targets[0].copied == 60, "{there} {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_fails_alone_and_overlaps_are_refused() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    let missing = server.open("missing", "").await;
    put_many(&source, ["a", "b"].map(str::to_owned).into_iter()).await;
    let report = run(&source, &[&missing, &target], &deleting(10)).await.unwrap();
    let Some(TargetError::Store(error)) = &report.targets[0].error else { panic!("{report:?}") };
    assert_eq!((&error.kind, report.targets[1].copied), (&StoreErrorKind::MissingBucket, 2));
    assert!(!report.is_complete());
    assert!(matches!(run(&source, &[&source], &deleting(10)).await, Err(MirrorError::Overlap(..))));
}
