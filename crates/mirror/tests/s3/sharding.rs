//! Datasets that are split over several targets.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use skyfleet_e2e::object_store::{Asked, Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Deletion, InvalidSharding, Manifest, MirrorError, MirrorOptions, MirrorReport, MostDeleted, Shard, ShardBy,
    ShardIndex, Sharding, SourcePublication, manifest_key, shard_index_key,
};

use crate::faulty::pass;
use crate::support::{content, dataset, dataset_options};

pub(crate) const ALL: [ShardBy; 3] = [ShardBy::Hash, ShardBy::Count, ShardBy::Size];
const OBJECTS: u64 = 200;

type Script = fn(&Asked) -> Fault;

pub(crate) fn sharding(by: ShardBy, targets: &[&str]) -> Sharding {
    let shard = |(index, name): (usize, &&str)| {
        let name = (*name).to_owned();
        Shard { name, weight: NonZeroU32::MIN, target: Some(index) }
    };
    Sharding { by, shards: targets.iter().enumerate().map(shard).collect(), piece_size: None }
}

/// With moved objects removed from where they were, however many.
fn options(by: ShardBy, targets: &[&str]) -> MirrorOptions {
    // The share is that of objects that left the source: what moved does not count.
    let deletion = Deletion::Surplus(MostDeleted::percent(0));
    MirrorOptions { deletion, sharding: Some(sharding(by, targets)), ..dataset_options() }
}

fn size_of(number: u64) -> usize {
    usize::try_from(100 + number * 7 % 500).unwrap()
}

async fn server(targets: &[&str]) -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    let mut source = SimulatedBucket::default();
    for number in 0..OBJECTS {
        source = source.with([format!("data/{number:03}")], &Contents::of(content(size_of(number), number)));
    }
    server.set_bucket("source", source);
    for target in targets {
        server.set_bucket(target, SimulatedBucket::default());
    }
    server
}

/// Which target holds each object; fails for one that several hold, or whose bytes are others.
fn holders(server: &SimulatedS3, targets: &[&str]) -> BTreeMap<String, usize> {
    let (source, mut holders) = (server.bucket("source").unwrap(), BTreeMap::new());
    for (index, target) in targets.iter().enumerate() {
        let bucket = server.bucket(target).unwrap();
        for key in bucket.keys().filter(|key| !key.starts_with(".skyfleet/")) {
            assert!(bucket.body(key) == source.body(key), "{key} at {target}");
            let other = holders.insert(key.to_owned(), index);
            assert_eq!(other, None, "{key} is at {target}, too");
        }
    }
    assert!(holders.keys().map(String::as_str).eq(source.keys()), "all of the source, and nothing else");
    holders
}

/// The index at a bucket, and that it is true of the manifests.
fn index(server: &SimulatedS3, bucket: &str, report: &MirrorReport, targets: &[&str]) -> ShardIndex {
    let digest = report.shard_index.unwrap();
    let bytes = server.bucket(bucket).unwrap().body(&shard_index_key(&dataset(), digest)).unwrap();
    let index = ShardIndex::parse(&bytes).unwrap();
    assert_eq!(index.digest(), digest);
    let mut keys = Vec::new();
    for (shard, target) in index.shards.iter().zip(targets) {
        let manifest = server.bucket(target).unwrap().body(&manifest_key(&dataset(), shard.manifest)).unwrap();
        let manifest = Manifest::parse(&manifest).unwrap();
        let bytes: u64 = manifest.entries().iter().map(|entry| entry.size).sum();
        assert_eq!((manifest.entries().len() as u64, bytes), (shard.objects, shard.bytes));
        keys.extend(manifest.entries().iter().map(|entry| entry.key.clone()));
    }
    keys.sort();
    assert!(keys.iter().map(String::as_str).eq(server.bucket("source").unwrap().keys()), "the parts are the whole");
    index
}

fn bytes_of(server: &SimulatedS3, target: &str) -> usize {
    let bucket = server.bucket(target).unwrap();
    let own = bucket.keys().filter(|key| !key.starts_with(".skyfleet/"));
    own.map(|key| bucket.body(key).unwrap().len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_is_at_one_target_and_the_index_says_at_which() {
    let targets = ["one", "two", "three"];
    for by in ALL {
        let server = server(&targets).await;
        let report = pass(&server, &targets, &options(by, &targets)).await.unwrap();
        assert!(report.is_complete(), "{by:?} {report:?}");
        let first = holders(&server, &targets);
        let counts = targets.map(|target| index(&server, target, &report, &targets).shards.len());
        assert_eq!((counts, &report.manifest), ([3; 3], &None), "no target holds all");
        assert_eq!(report.source_publication, SourcePublication::Skipped);

        // A settled dataset is not written to.
        server
            .script(|asked| if asked.method == "GET" || asked.method == "HEAD" { Fault::None } else { Fault::Broken });
        let again = pass(&server, &targets, &options(by, &targets)).await.unwrap();
        assert!(again.is_complete() && again.shard_index == report.shard_index, "{by:?} {again:?}");
        assert_eq!(again.targets.iter().map(|target| (target.copied, target.moved)).collect::<Vec<_>>(), [(0, 0); 3]);
        assert_eq!(holders(&server, &targets), first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_get_as_many_objects_or_bytes() {
    let targets = ["one", "two", "three", "four"];
    let server = server(&targets).await;
    pass(&server, &targets, &options(ShardBy::Count, &targets)).await.unwrap();
    let holders = holders(&server, &targets);
    for target in 0..4 {
        assert_eq!(holders.values().filter(|holder| **holder == target).count(), 50);
    }
    for target in targets {
        server.set_bucket(target, SimulatedBucket::default());
    }
    pass(&server, &targets, &options(ShardBy::Size, &targets)).await.unwrap();
    let total: usize = (0..OBJECTS).map(size_of).sum();
    for target in targets {
        assert!(bytes_of(&server, target).abs_diff(total / 4) < 600, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_comes_takes_its_share_and_nothing_else_moves() {
    let (before, after) = (["one", "two", "three"], ["one", "two", "three", "new"]);
    for by in ALL {
        let server = server(&after).await;
        pass(&server, &before, &options(by, &before)).await.unwrap();
        let old = holders(&server, &before);
        let report = pass(&server, &after, &options(by, &after)).await.unwrap();
        assert!(report.is_complete(), "{by:?} {report:?}");
        let new = holders(&server, &after);
        let moved = new.iter().filter(|(key, holder)| old[*key] != **holder).count() as u64;
        assert!(new.iter().all(|(key, holder)| old[key] == *holder || *holder == 3), "{by:?}");
        let counted = |count: fn(&skyfleet_mirror::TargetReport) -> u64| report.targets.iter().map(count).sum::<u64>();
        assert_eq!((counted(|target| target.moved), counted(|target| target.removed)), (moved, moved));
        assert_eq!((report.targets[3].copied, counted(|target| target.copied)), (moved, moved), "{by:?}");
        match by {
            ShardBy::Hash => assert!(moved.abs_diff(50) < 31, "five standard deviations: {moved}"),
            ShardBy::Count => assert_eq!(moved, 50),
            ShardBy::Size => {
                let total: usize = (0..OBJECTS).map(size_of).sum();
                assert!(bytes_of(&server, "new") <= total / 4 + 600);
            }
        }
        index(&server, "new", &report, &after);

        // And back: one that goes gives its part to the others.
        let report = pass(&server, &before, &options(by, &before)).await.unwrap();
        assert!(report.is_complete(), "{by:?} {report:?}");
        let back = holders(&server, &before);
        assert!(new.iter().all(|(key, holder)| *holder == 3 || back[key] == *holder), "{by:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_stays_where_it_is_and_what_leaves_the_source_goes() {
    let targets = ["one", "two"];
    for by in ALL {
        let server = server(&targets).await;
        pass(&server, &targets, &options(by, &targets)).await.unwrap();
        let old = holders(&server, &targets);
        let source = server.bucket("source").unwrap();
        let mut changed = SimulatedBucket::default();
        for key in source.keys().skip(5) {
            let number: u64 = key.rsplit('/').next().unwrap().parse().unwrap();
            let seed = if number.is_multiple_of(50) { number + 1_000_000 } else { number };
            changed = changed.with([key.to_owned()], &Contents::of(content(size_of(number), seed)));
        }
        server.set_bucket("source", changed);
        let deletion = Deletion::Surplus(MostDeleted::default());
        let report = pass(&server, &targets, &MirrorOptions { deletion, ..options(by, &targets) }).await.unwrap();
        assert!(report.is_complete(), "{by:?} {report:?}");
        assert_eq!(report.targets.iter().map(|target| target.surplus).sum::<u64>(), 5);
        for (key, holder) in holders(&server, &targets) {
            assert_eq!(holder, old[&key], "{by:?} {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_a_target_as_long_as_another_does_not_hold_its_part() {
    let (before, after) = (["one", "two"], ["one", "two", "new"]);
    let refused_write = |asked: &Asked| {
        let is_one = asked.method == "PUT" && asked.target.starts_with("/new/data/");
        if is_one && asked.target.ends_with('7') { Fault::Refused(400, "InvalidRequest") } else { Fault::None }
    };
    let no_listing = |asked: &Asked| {
        let is_listing = asked.method == "GET" && asked.target.starts_with("/new/?");
        if is_listing { Fault::Refused(403, "AccessDenied") } else { Fault::None }
    };
    for by in ALL {
        for (script, may_move) in [(refused_write as Script, true), (no_listing, by == ShardBy::Hash)] {
            let server = server(&after).await;
            pass(&server, &before, &options(by, &before)).await.unwrap();
            let old = holders(&server, &before);
            server.script(script);
            let report = pass(&server, &after, &options(by, &after)).await.unwrap();
            assert!(!report.is_complete() && report.shard_index.is_none(), "{by:?} {report:?}");
            assert_eq!(report.targets.iter().map(|target| target.removed).sum::<u64>(), 0);
            assert_eq!(report.targets.iter().any(|target| target.moved > 0), may_move, "{by:?}");
            assert_eq!(holders(&server, &before), old, "all is where it was, too");
            server.script(|_| Fault::None);
            let report = pass(&server, &after, &options(by, &after)).await.unwrap();
            assert!(report.is_complete(), "{by:?} {report:?}");
            holders(&server, &after);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moved_stays_where_nothing_may_be_removed() {
    let (before, after) = (["one", "two"], ["one", "two", "new"]);
    for by in ALL {
        let server = server(&after).await;
        let keeping = |targets| MirrorOptions { deletion: Deletion::Never, ..options(by, targets) };
        pass(&server, &before, &keeping(&before)).await.unwrap();
        let old = holders(&server, &before);
        let report = pass(&server, &after, &keeping(&after)).await.unwrap();
        assert!(report.is_complete(), "{by:?} {report:?}");
        assert_eq!(holders(&server, &before), old);
        let index_before = index(&server, "new", &report, &after);
        // And what stays there counts no more.
        let report = pass(&server, &after, &keeping(&after)).await.unwrap();
        assert_eq!(report.targets.iter().map(|target| target.copied).sum::<u64>(), 0);
        assert_eq!(index(&server, "new", &report, &after), index_before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_without_a_dataset_splits_too() {
    let (before, after) = (["one", "two"], ["one", "two", "new"]);
    for by in ALL {
        let server = server(&after).await;
        let plain = |targets| MirrorOptions { dataset: None, ..options(by, targets) };
        pass(&server, &before, &plain(&before)).await.unwrap();
        let old = holders(&server, &before);
        let report = pass(&server, &after, &plain(&after)).await.unwrap();
        assert!(report.is_complete() && report.shard_index.is_none(), "{by:?} {report:?}");
        assert!(holders(&server, &after).iter().all(|(key, holder)| old[key] == *holder || *holder == 2), "{by:?}");
        let again = pass(&server, &after, &plain(&after)).await.unwrap();
        assert_eq!(again.targets.iter().map(|target| target.copied + target.moved).sum::<u64>(), 0, "{by:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_move() {
    let (before, after) = (["one", "two"], ["one", "two", "new"]);
    for by in ALL {
        let server = server(&after).await;
        pass(&server, &before, &options(by, &before)).await.unwrap();
        let dry = MirrorOptions { dry_run: true, ..options(by, &after) };
        let told = pass(&server, &after, &dry).await.unwrap();
        assert!(server.bucket("new").unwrap().keys().next().is_none(), "nothing was written");
        let done = pass(&server, &after, &options(by, &after)).await.unwrap();
        let moves = |report: &MirrorReport| {
            report.targets.iter().map(|target| (target.copied, target.moved, target.removed)).collect::<Vec<_>>()
        };
        assert_eq!(moves(&told), moves(&done), "{by:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_do_not_fit_the_targets_are_refused_before_anything_is_asked() {
    let server = server(&["one", "two"]).await;
    server.script(|_| Fault::Broken);
    for (shards, expected) in [
        (&["one"][..], InvalidSharding::Targets { targets: 2 }),
        (&["one", "one"], InvalidSharding::SameName("one".to_owned())),
    ] {
        let refused = pass(&server, &["one", "two"], &options(ShardBy::Hash, shards)).await;
        assert_eq!(refused, Err(MirrorError::Sharding(expected)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_part_of_a_target_that_cannot_be_reached_stays_its_own() {
    let all = ["one", "two", "three"];
    for by in ALL {
        let server = server(&all).await;
        pass(&server, &all, &options(by, &all)).await.unwrap();
        let old = holders(&server, &all);
        let mut without = options(by, &all);
        for (shard, target) in without.sharding.as_mut().unwrap().shards.iter_mut().zip([Some(0), None, Some(1)]) {
            shard.target = target;
        }
        server
            .script(|asked| if asked.method == "GET" || asked.method == "HEAD" { Fault::None } else { Fault::Broken });
        let report = pass(&server, &["one", "three"], &without).await.unwrap();
        assert!(report.is_complete() && report.shard_index.is_none(), "{by:?} {report:?}");
        assert_eq!(holders(&server, &all), old);

        // One that was not reached since it came gets nothing, and takes nothing.
        let four = ["one", "two", "three", "four"];
        let mut early = options(by, &four);
        early.sharding.as_mut().unwrap().shards[3].target = None;
        let report = pass(&server, &all, &early).await.unwrap();
        assert!(report.is_complete(), "{by:?} {report:?}");
        assert_eq!(holders(&server, &all), old);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_looked_at_beforehand_leaves_the_pass_unfinished() {
    let targets = ["one", "two"];
    for by in [ShardBy::Count, ShardBy::Size] {
        let server = server(&targets).await;
        let first = AtomicU64::new(0);
        server.script(move |asked| {
            let is_listing = asked.method == "GET" && asked.target.starts_with("/two/?");
            let is_first = is_listing && first.fetch_add(1, Ordering::SeqCst) == 0;
            if is_first { Fault::Refused(403, "AccessDenied") } else { Fault::None }
        });
        let report = pass(&server, &targets, &options(by, &targets)).await.unwrap();
        assert!(!report.is_complete() && report.shard_index.is_none(), "nothing says that it is whole: {report:?}");
        let report = pass(&server, &targets, &options(by, &targets)).await.unwrap();
        assert!(report.is_complete() && report.shard_index.is_some(), "{by:?} {report:?}");
        holders(&server, &targets);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_were_there_before_are_split_without_copying_and_then_stay() {
    let targets = ["one", "two"];
    let server = server(&targets).await;
    pass(&server, &targets, &MirrorOptions::default()).await.unwrap();
    let split = MirrorOptions { dataset: None, ..options(ShardBy::Count, &targets) };
    let report = pass(&server, &targets, &split).await.unwrap();
    assert_eq!(report.targets.iter().map(|target| target.copied).sum::<u64>(), 0, "{report:?}");
    let old = holders(&server, &targets);
    // One that comes before all others would shift a count that begins anew.
    let source = server.bucket("source").unwrap().with(["a".to_owned()], &Contents::of(content(10, 1)));
    server.set_bucket("source", source);
    let report = pass(&server, &targets, &split).await.unwrap();
    assert_eq!(report.targets.iter().map(|target| target.copied).sum::<u64>(), 1, "{report:?}");
    let new = holders(&server, &targets);
    assert!(old.iter().all(|(key, holder)| new[key] == *holder));
}
