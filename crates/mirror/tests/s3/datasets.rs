//! Datasets: what is copied, remembered, published.

use std::sync::Arc;

use skyfleet_mirror::{
    Attributes, Condition, Deletion, Filter, Manifest, MirrorError, MirrorOptions, MostDeleted, ObjectStore as _,
    Payload, SourcePublication, TargetError, Verification, mirror, verify,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Call, Reaction, Server, content, dataset, dataset_options, pass, pass_with, replica};

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_copied_again() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    for key in ["a", "b", "c"] {
        source.put_text(key, key).await;
    }
    let first = pass(&source, &[&target]).await;
    assert_eq!(first.targets[0].copied, 3);

    source.put_text("b", "B").await;
    source.put_text("d", "d").await;
    source.delete("a").await.unwrap();
    target.put_text("own", "not of the dataset").await;
    let second = pass(&source, &[&target]).await;
    assert_eq!(second.targets[0].copied, 2);
    assert_ne!(second.manifest, first.manifest);
    assert_eq!(second.targets[0].manifest, second.manifest);
    // Nothing is deleted at the target, and what the source lacks is not in the manifest.
    let kept: Vec<_> = target.contents().await.into_keys().collect();
    assert_eq!(kept, ["a", "b", "c", "d", "own"]);
    assert_eq!(second.targets[0].settled + second.targets[0].copied, 3);

    // A byte is flipped at the target.
    let manifest_key = skyfleet_mirror::manifest_key(&dataset(), second.manifest.unwrap());
    let manifest = Manifest::parse(&target.read(&manifest_key).await).unwrap();
    target.put_text("c", "x").await;
    let cancel = CancellationToken::new();
    for verification in [Verification::Checksum, Verification::ReadBack] {
        let report = verify(&replica(&target, ""), (&manifest, None), verification, 4, &cancel).await.unwrap();
        let keys: Vec<_> = report.mismatches.iter().map(|mismatch| mismatch.key.as_str()).collect();
        assert_eq!((report.verified, keys), (2, vec!["c"]));
    }
    let third = pass(&source, &[&target]).await;
    assert_eq!(third.targets[0].copied, 1);
    let report = verify(&replica(&target, ""), (&manifest, None), Verification::ReadBack, 4, &cancel).await.unwrap();
    assert!(report.mismatches.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_prefixes_name_the_dataset() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    for key in ["models/a.bin", "models/tmp/b.bin", "models/readme.md", "models/", "other/c.bin"] {
        source.put_text(key, key).await;
    }
    let filter = Filter::new(&["**/*.bin".into()], &["tmp/**".into()]).unwrap();
    let options = MirrorOptions { filter, ..dataset_options() };
    let (from, to) = (replica(&source, "models/"), replica(&target, "copy/"));
    let cancel = CancellationToken::new();
    let outcome = mirror(&from, &[to], &options, &cancel, Arc::new(|_| ())).await.unwrap();
    assert_eq!((outcome.compared, outcome.compared_bytes), (1, 12));
    assert_eq!(outcome.source_publication, SourcePublication::Skipped);
    assert_eq!(target.contents().await.into_keys().collect::<Vec<_>>(), ["copy/a.bin"]);
    assert!(source.own_keys().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_go_in_parts_and_have_the_same_digest_everywhere() {
    let server = Server::start().await;
    let (source, one, two) = (server.bucket("source").await, server.bucket("one").await, server.bucket("two").await);
    let bytes = content((40 << 20) + 5, 9);
    source
        .put("big", &skyfleet_mirror::Attributes::default(), Payload::of(bytes.clone()), &Condition::Any)
        .await
        .unwrap();
    for verification in [Verification::Checksum, Verification::ReadBack] {
        let options = MirrorOptions { verification, ..dataset_options() };
        let targets = if verification == Verification::Checksum { [&one] } else { [&two] };
        let outcome = pass_with(&source, &targets, &options).await;
        assert_eq!(outcome.targets[0].manifest, outcome.manifest, "{outcome:?}");
        assert!(outcome.manifest.is_some());
        assert!(targets[0].read("big").await == bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_source_has_an_empty_manifest() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    let outcome = pass(&source, &[&target]).await;
    assert_eq!(outcome.targets[0].manifest, Some(Manifest::default().digest()));
    target.writes();
    pass(&source, &[&target]).await;
    assert_eq!(target.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_only_the_newest_manifests() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    let mut newest = None;
    for version in 0..8 {
        source.put_text("a", &"v".repeat(version + 1)).await;
        newest = pass(&source, &[&target]).await.manifest;
    }
    let manifests = |keys: Vec<String>| keys.into_iter().filter(|key| key.contains("/manifests/")).collect::<Vec<_>>();
    for store in [&source, &target] {
        let kept = manifests(store.own_keys().await);
        assert_eq!(kept.len(), 5);
        assert!(kept.contains(&skyfleet_mirror::manifest_key(&dataset(), newest.unwrap())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_inside_another_is_refused() {
    let server = Server::start().await;
    let store = server.bucket("bucket").await;
    let cancel = CancellationToken::new();
    for (from, to) in [("", ""), ("", "copy/"), ("a/b/", "a/")] {
        let targets = [replica(&store, to)];
        let options = dataset_options();
        let refused = mirror(&replica(&store, from), &targets, &options, &cancel, Arc::new(|_| ())).await;
        assert!(matches!(refused, Err(MirrorError::Overlap(..))), "{from:?} {to:?}");
    }
    assert_eq!(store.writes(), 0);
}

fn deleting(percent: u8) -> MirrorOptions {
    let filter = Filter::new(&[], &["logs/**".into()]).unwrap();
    MirrorOptions { deletion: Deletion::Surplus(MostDeleted::percent(percent)), filter, ..dataset_options() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_source_leaves_the_target_when_that_is_asked_for() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    for key in ["a", "b", "c"] {
        source.put_text(key, key).await;
    }
    pass_with(&source, &[&target], &deleting(50)).await;
    source.delete("a").await.unwrap();
    target.put_text("own", "of nobody").await;
    target.put_text("logs/own", "left alone").await;

    let few = pass_with(&source, &[&target], &deleting(49)).await;
    let error = few.targets[0].error.clone();
    assert_eq!(error, Some(TargetError::TooManyDeletions { surplus: 2, held: 4 }));
    assert_eq!((few.targets[0].removed, target.contents().await.len()), (0, 5));
    assert_eq!(few.targets[0].manifest, few.manifest, "what is there is all there");

    let outcome = pass_with(&source, &[&target], &deleting(50)).await;
    assert_eq!((outcome.targets[0].removed, outcome.targets[0].error.clone()), (2, None));
    assert_eq!(target.contents().await.into_keys().collect::<Vec<_>>(), ["b", "c", "logs/own"]);
    assert!(!target.own_keys().await.is_empty());
    target.writes();
    pass_with(&source, &[&target], &deleting(50)).await;
    assert_eq!(target.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_while_the_source_cannot_be_read_or_has_it_again() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    for key in ["a", "b"] {
        source.put_text(key, key).await;
        target.put_text(&format!("old-{key}"), key).await;
    }
    source.hook(|call| match call {
        Call::Get { key, .. } if key == "b" => Reaction::Refuse,
        _ => Reaction::Pass,
    });
    pass_with(&source, &[&target], &deleting(100)).await;
    assert_eq!(target.contents().await.into_keys().collect::<Vec<_>>(), ["a", "old-a", "old-b"]);

    // It is written to the source between the listing and the removal.
    let writer = server.open("source", "").await;
    source.hook(move |call| match call {
        Call::Head { key } if key == "old-a" => {
            let writer = writer.clone();
            Reaction::After(Box::pin(async move {
                writer.put("old-a", &Attributes::default(), Payload::of("again"), &Condition::Any).await.unwrap();
            }))
        }
        _ => Reaction::Pass,
    });
    let outcome = pass_with(&source, &[&target], &deleting(100)).await;
    assert_eq!(outcome.targets[0].removed, 1);
    assert_eq!(target.contents().await.into_keys().collect::<Vec<_>>(), ["a", "b", "old-a"]);
}
