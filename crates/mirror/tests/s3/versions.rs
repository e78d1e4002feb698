//! Older versions of a dataset stay, and each is loaded as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use skyfleet_e2e::object_store::{Asked, Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Attributes, Condition, Deletion, FetchError, FetchRequest, Manifest, ManifestDigest, ManifestEntry, MirrorOptions,
    MirrorReport, MostDeleted, ObjectStore, Payload, Replica, Retention, Sha256, Shard, ShardBy, Sharding,
    TransferLimits, Verification, fetch, kept_key, manifest_key, mirror, provenance_key, read_shard_index, verify,
};
use tokio_util::sync::CancellationToken;

use crate::faulty::{open, pass};
use crate::support::{Call, Reaction, Server, content, dataset, dataset_options, replica};
use crate::transforming::{by, lines, refuse_writes, rows_of, spec};

const MIB: usize = 1 << 20;

/// What a version is to be, byte for byte.
pub(crate) type Files = BTreeMap<String, Bytes>;

fn files(all: &[(&str, &str)]) -> Files {
    all.iter().map(|(key, text)| ((*key).to_owned(), Bytes::from((*text).to_owned()))).collect()
}

/// Three versions: objects are overwritten, removed, renamed and added, small ones and one in parts.
pub(crate) fn three() -> [Files; 3] {
    let mut first = files(&[("a", "a1"), ("b", "b1"), ("c", "c1"), ("d/same", "same"), ("d/twin", "same")]);
    first.insert("large".to_owned(), content(9 * MIB, 1));
    let mut second = first.clone();
    second.extend(files(&[("a", "a2"), ("e", "c1"), ("f", "f2")]));
    second.retain(|key, _| key != "b" && key != "c");
    second.insert("large".to_owned(), content(9 * MIB, 2));
    let mut third = second.clone();
    third.extend(files(&[("a", "a3"), ("b", "b3"), ("d/twin", "other")]));
    third.retain(|key, _| key != "f");
    [first, second, third]
}

fn manifest(files: &Files) -> Manifest {
    let entry = |(key, body): (&String, &Bytes)| ManifestEntry {
        key: key.clone(),
        size: body.len() as u64,
        sha256: Sha256::of(body),
    };
    Manifest::new(files.iter().map(entry).collect()).unwrap()
}

pub(crate) fn digest(files: &Files) -> ManifestDigest {
    manifest(files).digest()
}

pub(crate) fn newest(number: usize) -> Retention {
    Retention { newest: number, ..Retention::only_the_newest() }
}

pub(crate) fn keeping(retention: Retention) -> MirrorOptions {
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    MirrorOptions { versions: Some(retention), limits, ..dataset_options() }
}

pub(crate) fn deleting(options: MirrorOptions) -> MirrorOptions {
    MirrorOptions { deletion: Deletion::Surplus(MostDeleted::percent(100)), ..options }
}

/// Makes a bucket hold exactly these, and writes nothing that it holds already.
async fn become_now(store: &dyn ObjectStore, held: &Files, files: &Files) {
    for (key, body) in files.iter().filter(|(key, body)| held.get(*key) != Some(body)) {
        store.put(key, &Attributes::default(), Payload::of(body.clone()), &Condition::Any).await.unwrap();
    }
    for key in held.keys().filter(|key| !files.contains_key(*key)) {
        store.delete(key).await.unwrap();
    }
}

async fn put(server: &SimulatedS3, files: &Files) {
    let bucket = server.bucket("source").unwrap();
    let held = bucket.keys().map(|key| (key.to_owned(), bucket.body(key).unwrap())).collect();
    become_now(&*open(server, "source").await.store, &held, files).await;
}

pub(crate) async fn server(targets: &[&str]) -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    for bucket in targets.iter().chain(&["source"]) {
        server.set_bucket(bucket, SimulatedBucket::default());
    }
    server
}

/// Brings the source to this and a target too.
pub(crate) async fn publish(server: &SimulatedS3, files: &Files, options: &MirrorOptions) -> MirrorReport {
    put(server, files).await;
    let report = pass(server, &["one"], options).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.targets[0].manifest, Some(digest(files)));
    report
}

pub(crate) async fn bring(replica: &Replica, digest: ManifestDigest) -> Result<Files, FetchError> {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().to_owned();
    let request = FetchRequest { dataset: dataset(), digest, path: String::new(), into: into.clone(), concurrency: 8 };
    fetch(replica, &request, &CancellationToken::new(), |_| ()).await?;
    let mut found = Files::new();
    let mut folders = vec![into.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let key = path.strip_prefix(&into).unwrap().to_str().unwrap().to_owned();
                found.insert(key, std::fs::read(&path).unwrap().into());
            }
        }
    }
    Ok(found)
}

async fn assert_loads(replica: &Replica, files: &Files) {
    let found = bring(replica, digest(files)).await.unwrap();
    assert!(found == *files, "{:?} instead of {:?}", found.keys(), files.keys());
    assert_verified(replica, files).await;
}

/// The same without a file.
async fn assert_verified(replica: &Replica, files: &Files) {
    let (manifest, dataset) = (manifest(files), dataset());
    let of = (&manifest, Some(&dataset));
    let report = verify(replica, of, Verification::Checksum, 4, &CancellationToken::new()).await.unwrap();
    assert_eq!(report.mismatches, []);
}

fn below(server: &SimulatedS3, target: &str, folder: &str) -> BTreeSet<String> {
    let (bucket, folder) = (server.bucket(target).unwrap(), format!(".skyfleet/{folder}/ml.weights/"));
    bucket.keys().filter_map(|key| key.strip_prefix(&folder).map(str::to_owned)).collect()
}

/// A target holds these versions, the newest first, all that they need, and nothing beside that.
async fn assert_holds(server: &SimulatedS3, target: &str, versions: &[&Files]) {
    let replica = open(server, target).await;
    for files in versions {
        assert_loads(&replica, files).await;
    }
    let named: BTreeSet<_> = versions.iter().map(|files| format!("{}.jsonl", digest(files).0)).collect();
    assert_eq!((&below(server, target, "manifests"), &below(server, target, "provenance")), (&named, &named));
    let is_lost = |(key, body): &(&String, &Bytes)| versions[0].get(*key) != Some(body);
    let needed = versions.iter().flat_map(|files| files.iter().filter(is_lost));
    let needed: BTreeSet<_> = needed.map(|(_, body)| Sha256::of(body).to_string()).collect();
    assert_eq!(below(server, target, "objects"), needed);
    let bucket = server.bucket(target).unwrap();
    for kept in &needed {
        let body = bucket.body(&format!(".skyfleet/objects/ml.weights/{kept}")).unwrap();
        assert_eq!(Sha256::of(&body).to_string(), *kept);
    }
    assert_eq!(bucket.unfinished().count(), 0, "no upload is left");
}

/// Whatever manifest is there can be loaded whole.
async fn assert_all_load(server: &SimulatedS3, target: &str, known: &[&Files]) {
    let replica = open(server, target).await;
    for name in below(server, target, "manifests") {
        let of = |files: &&&Files| format!("{}.jsonl", digest(files).0) == name;
        assert_verified(&replica, known.iter().find(of).unwrap()).await;
    }
}

async fn assert_settled(server: &SimulatedS3, targets: &[&str], options: &MirrorOptions) {
    refuse_writes(server);
    let report = pass(server, targets, options).await.unwrap();
    assert!(report.is_complete(), "nothing is written where nothing changed: {report:?}");
    server.script(|_| Fault::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_is_loaded_as_it_was() {
    for options in [keeping(newest(3)), deleting(keeping(newest(3)))] {
        let (server, [first, second, third]) = (server(&["one"]).await, three());
        publish(&server, &first, &options).await;
        assert_holds(&server, "one", &[&first]).await;
        publish(&server, &second, &options).await;
        assert_holds(&server, "one", &[&second, &first]).await;
        assert_settled(&server, &["one"], &options).await;
        let report = publish(&server, &third, &options).await;
        assert_holds(&server, "one", &[&third, &second, &first]).await;
        assert_settled(&server, &["one"], &options).await;
        let versions: Vec<_> = report.targets[0].versions.iter().map(|version| version.digest).collect();
        assert_eq!(versions, [&third, &second, &first].map(digest));
        let times: Vec<_> = report.targets[0].versions.iter().map(|version| version.published.unwrap()).collect();
        assert!(times.is_sorted_by(|one, other| one >= other));
        let removed = options.deletion != Deletion::Never;
        assert_eq!(server.bucket("one").unwrap().body("c").is_none(), removed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_beyond_the_number_go_with_all_that_they_alone_need() {
    let (server, [first, second, third]) = (server(&["one"]).await, three());
    let options = deleting(keeping(newest(2)));
    for files in [&first, &second, &third] {
        publish(&server, files, &options).await;
    }
    assert_holds(&server, "one", &[&third, &second]).await;
    let gone = bring(&open(&server, "one").await, digest(&first)).await;
    assert!(matches!(gone, Err(FetchError::MissingManifest { .. })), "{gone:?}");
    assert_settled(&server, &["one"], &options).await;
    // Fewer are wanted, and then none but the newest.
    pass(&server, &["one"], &deleting(keeping(newest(1)))).await.unwrap();
    assert_holds(&server, "one", &[&third]).await;
    assert_settled(&server, &["one"], &deleting(keeping(newest(1)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_were_replaced_too_long_ago_go_by_themselves() {
    let (server, [first, second, third]) = (server(&["one"]).await, three());
    let begun = Timestamp::now();
    let at = |hours: i64| {
        let now = Some(begun + SignedDuration::from_hours(hours));
        keeping(Retention { replaced_within: Some(SignedDuration::from_hours(10)), now, ..newest(100) })
    };
    for (files, hour) in [(&first, 0), (&second, 1), (&third, 5)] {
        publish(&server, files, &at(hour)).await;
    }
    assert_settled(&server, &["one"], &at(11)).await;
    assert_holds(&server, "one", &[&third, &second, &first]).await;
    let report = pass(&server, &["one"], &at(12)).await.unwrap();
    assert_eq!(report.targets[0].versions.len(), 2);
    assert_holds(&server, "one", &[&third, &second]).await;
    assert_settled(&server, &["one"], &at(15)).await;
    // What is pinned stays beyond any time.
    let pinned = |options: MirrorOptions| {
        let versions = options.versions.map(|kept| Retention { pinned: [digest(&second)].into(), ..kept });
        MirrorOptions { versions, ..options }
    };
    assert_settled(&server, &["one"], &pinned(at(1000))).await;
    pass(&server, &["one"], &at(1000)).await.unwrap();
    assert_holds(&server, "one", &[&third]).await;
    assert_settled(&server, &["one"], &at(1001)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_comes_back_is_the_newest_again() {
    let (server, [first, second, third]) = (server(&["one"]).await, three());
    let options = deleting(keeping(newest(2)));
    for (files, versions) in [
        (&first, vec![&first]),
        (&second, vec![&second, &first]),
        (&first, vec![&first, &second]),
        (&third, vec![&third, &first]),
        (&first, vec![&first, &third]),
    ] {
        let report = publish(&server, files, &options).await;
        let found: Vec<_> = report.targets[0].versions.iter().map(|version| version.digest).collect();
        assert_eq!(found, versions.iter().map(|files| digest(files)).collect::<Vec<_>>());
        assert_all_load(&server, "one", &versions).await;
        assert_eq!(below(&server, "one", "manifests").len(), versions.len());
        assert_settled(&server, &["one"], &options).await;
    }
    // What lies under its key once more may be there twice, until a version goes.
    let named: BTreeSet<_> = first.values().chain(third.values()).map(|body| Sha256::of(body).to_string()).collect();
    assert!(below(&server, "one", "objects").is_subset(&named));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_away_is_not_overwritten() {
    let (server, [first, second, _]) = (server(&["one", "two"]).await, three());
    let options = deleting(keeping(newest(2)));
    put(&server, &first).await;
    assert!(pass(&server, &["one", "two"], &options).await.unwrap().is_complete());
    put(&server, &second).await;
    server.script(|asked| {
        let is_meant = asked.method != Method::GET && asked.target.starts_with("/one/.skyfleet/objects/");
        if is_meant && asked.method != Method::HEAD { Fault::Refused(400, "InvalidRequest") } else { Fault::None }
    });
    let report = pass(&server, &["one", "two"], &options).await.unwrap();
    let [failed, fine] = &report.targets[..] else { panic!() };
    // What is overwritten, and what leaves the version.
    assert_eq!((failed.failed, failed.manifest, failed.removed), (4, None, 0), "{report:?}");
    assert!(failed.failures.iter().all(|failure| failure.error.to_string().contains("could not be put away")));
    assert!(fine.is_complete() && fine.manifest == Some(digest(&second)), "{report:?}");
    let held = server.bucket("one").unwrap();
    for key in ["a", "b", "c", "large"] {
        assert_eq!(held.body(key), first.get(key).cloned(), "{key}");
    }
    assert_eq!(held.unfinished().count(), 0);
    assert_all_load(&server, "one", &[&first]).await;
    assert_holds(&server, "two", &[&second, &first]).await;
    server.script(|_| Fault::None);
    assert!(pass(&server, &["one", "two"], &options).await.unwrap().is_complete());
    assert_holds(&server, "one", &[&second, &first]).await;
}

/// Whether a request changes something.
fn is_write(asked: &Asked) -> bool {
    asked.method != Method::GET && asked.method != Method::HEAD
}

/// Cuts a target off at its n-th write, which is done or not; whether it came to that.
fn cut_off_at(server: &SimulatedS3, write: u64, is_done: bool) -> Arc<AtomicU64> {
    let writes = Arc::new(AtomicU64::new(0));
    let counted = writes.clone();
    server.script(move |asked| {
        if !asked.target.starts_with("/one") {
            return Fault::None;
        }
        let before =
            if is_write(asked) { counted.fetch_add(1, Ordering::SeqCst) } else { counted.load(Ordering::SeqCst) };
        match before {
            before if before == write && is_write(asked) && is_done => Fault::Lost,
            before if before > write || before == write && is_write(asked) => Fault::Refused(403, "AccessDenied"),
            _ => Fault::None,
        }
    });
    writes
}

/// Ends a pass at each of its writes in turn. Afterwards all versions load, and the next pass leaves nothing.
async fn cut_off_everywhere(is_done: bool) {
    // The second one differs from the first in an object in parts.
    let [first, second, oldest] = three();
    let options = deleting(keeping(newest(2)));
    let server = server(&["one"]).await;
    publish(&server, &oldest, &options).await;
    publish(&server, &first, &options).await;
    put(&server, &second).await;
    let before = server.bucket("one").unwrap();
    for write in 0.. {
        server.set_bucket("one", before.clone());
        let writes = cut_off_at(&server, write, is_done);
        let cut = pass(&server, &["one"], &options).await;
        let is_through = writes.load(Ordering::SeqCst) <= write;
        server.script(|_| Fault::None);
        assert_eq!(is_through, cut.as_ref().is_ok_and(MirrorReport::is_complete), "{write}: {cut:?}");
        assert_all_load(&server, "one", &[&second, &first, &oldest]).await;
        let report = pass(&server, &["one"], &options).await.unwrap();
        assert!(report.is_complete(), "{write}: {report:?}");
        assert_holds(&server, "one", &[&second, &first]).await;
        assert_settled(&server, &["one"], &options).await;
        if is_through {
            assert!(write > 25, "{write}");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_a_pass_ends_before_all_versions_load_and_nothing_is_left() {
    cut_off_everywhere(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_write_a_pass_ends_after_all_versions_load_and_nothing_is_left() {
    cut_off_everywhere(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_published_is_not_kept() {
    let (server, [first, _, third]) = (server(&["one"]).await, three());
    let options = keeping(newest(3));
    publish(&server, &first, &options).await;
    let mut half = first.clone();
    half.extend(files(&[("b", "never copied")]));
    server.script(|asked| {
        if asked.method == Method::GET && asked.target.starts_with("/source/b") {
            return Fault::Refused(403, "InvalidObjectState");
        }
        Fault::None
    });
    let named: BTreeSet<_> = first.values().map(|body| Sha256::of(body).to_string()).collect();
    for again in ["never published", "nor was this", "nor this"] {
        half.insert("a".to_owned(), again.into());
        put(&server, &half).await;
        assert!(pass(&server, &["one"], &options).await.unwrap().manifest.is_none());
        assert_eq!(server.bucket("one").unwrap().body("a"), half.get("a").cloned());
        assert!(below(&server, "one", "objects").is_subset(&named), "nothing piles up meanwhile");
        assert_all_load(&server, "one", &[&first]).await;
    }
    server.script(|_| Fault::None);
    publish(&server, &third, &options).await;
    assert_holds(&server, "one", &[&third, &first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_wrote_is_not_put_away_as_something_that_it_is_not() {
    let (server, [first, second, _]) = (server(&["one"]).await, three());
    let options = keeping(newest(3));
    publish(&server, &first, &options).await;
    let target = open(&server, "one").await;
    for key in ["a", "b"] {
        // As large as what was there.
        target.store.put(key, &Attributes::default(), Payload::of("xx"), &Condition::Any).await.unwrap();
    }
    publish(&server, &second, &options).await;
    let kept = below(&server, "one", "objects");
    let bucket = server.bucket("one").unwrap();
    for name in &kept {
        let body = bucket.body(&format!(".skyfleet/objects/ml.weights/{name}")).unwrap();
        assert_eq!(Sha256::of(&body).to_string(), *name);
    }
    let is_kept = |text: &str| kept.contains(&Sha256::of(text.as_bytes()).to_string());
    assert!(!is_kept("a1") && !is_kept("b1") && !is_kept("xx"), "{kept:?}");
    // The version that lost it is none any more; until then its reader was told.
    assert_holds(&server, "one", &[&second]).await;
    assert_settled(&server, &["one"], &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_which_another_took_something_goes_unless_it_is_pinned() {
    let [first, second, third] = three();
    for is_pinned in [false, true] {
        let server = server(&["one"]).await;
        let pinned = is_pinned.then(|| digest(&first)).into_iter().collect();
        let options = keeping(Retention { pinned, ..newest(3) });
        publish(&server, &first, &options).await;
        let target = open(&server, "one").await;
        target.store.delete("a").await.unwrap();
        let lost = bring(&target, digest(&first)).await;
        assert!(matches!(lost, Err(FetchError::Mismatch { .. })), "{lost:?}");
        publish(&server, &second, &options).await;
        let report = publish(&server, &third, &options).await;
        assert_eq!(report.targets[0].versions.len(), if is_pinned { 3 } else { 2 });
        for files in [&second, &third] {
            assert_loads(&target, files).await;
        }
        if !is_pinned {
            assert_holds(&server, "one", &[&third, &second]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_wanted_no_more_go() {
    let (server, [first, second, third]) = (server(&["one"]).await, three());
    let (kept, not_kept) = (keeping(newest(5)), MirrorOptions { versions: None, ..keeping(newest(1)) });
    // The one that is there when versions are first wanted is the first that is kept.
    publish(&server, &first, &not_kept).await;
    publish(&server, &second, &kept).await;
    assert_holds(&server, "one", &[&second, &first]).await;
    assert!(pass(&server, &["one"], &not_kept).await.unwrap().is_complete());
    assert_holds(&server, "one", &[&second]).await;
    assert_settled(&server, &["one"], &not_kept).await;
    // Of those that were published meanwhile, older ones cannot be loaded: they are none.
    publish(&server, &third, &not_kept).await;
    assert_eq!(below(&server, "one", "manifests").len(), 2);
    publish(&server, &first, &kept).await;
    assert_holds(&server, "one", &[&first, &third]).await;
    assert_settled(&server, &["one"], &kept).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_outlive_what_is_remembered() {
    let (server, [first, second, _]) = (server(&["one"]).await, three());
    let options = keeping(newest(5));
    publish(&server, &first, &options).await;
    publish(&server, &second, &options).await;
    let target = open(&server, "one").await;
    let index = server.bucket("one").unwrap().keys().find(|key| key.ends_with("/index.json")).unwrap().to_owned();
    target.store.delete(&index).await.unwrap();
    let report = pass(&server, &["one"], &options).await.unwrap();
    assert_eq!((report.targets[0].copied, report.targets[0].versions.len()), (second.len() as u64, 2));
    assert_holds(&server, "one", &[&second, &first]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transform_made_is_kept_too() {
    let server = server(&["one"]).await;
    let options = MirrorOptions { versions: Some(newest(2)), ..by(spec(), 0) };
    let mut versions = Vec::new();
    for last in [20, 30, 40] {
        put(&server, &[("a.jsonl".to_owned(), Bytes::from(lines(0..last)))].into()).await;
        versions.push((last, pass(&server, &["one"], &options).await.unwrap().manifest.unwrap()));
    }
    let target = open(&server, "one").await;
    for (last, digest) in &versions[1..] {
        let found = bring(&target, *digest).await.unwrap();
        assert_eq!(rows_of(found["a.parquet"].clone()), lines(10..*last));
    }
    assert!(bring(&target, versions[0].1).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_in_one_bucket_leave_each_other_what_they_need() {
    let (server, [first, second, third]) = (server(&["one"]).await, three());
    let options = keeping(newest(1));
    let (source, bucket) = (open(&server, "source").await, open(&server, "one").await);
    let targets = ["x/", "y/"].map(|prefix| Replica { prefix: prefix.to_owned(), ..bucket.clone() });
    let run =
        || async { mirror(&source, &targets, &options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap() };
    put(&server, &first).await;
    assert!(run().await.is_complete());
    // Only half of the new version comes to one of them.
    put(&server, &second).await;
    server.script(|asked| {
        let is_meant = is_write(asked) && asked.target.starts_with("/one/y/f");
        if is_meant { Fault::Refused(400, "InvalidRequest") } else { Fault::None }
    });
    let report = run().await;
    assert_eq!(report.targets[0].manifest, Some(digest(&second)));
    assert_eq!(report.targets[1].manifest, None);
    assert_loads(&targets[0], &second).await;
    assert_loads(&targets[1], &first).await;
    server.script(|_| Fault::None);
    put(&server, &third).await;
    assert!(run().await.is_complete());
    for target in &targets {
        assert_loads(target, &third).await;
    }
    // The last one that was published knows that nobody needs more.
    assert_eq!(below(&server, "one", "manifests").len(), 1);
    assert_eq!(below(&server, "one", "objects"), BTreeSet::new());
}

fn split(weights: &[u32]) -> MirrorOptions {
    let shard = |(index, weight): (usize, &u32)| Shard {
        name: format!("target{index}"),
        weight: NonZeroU32::new(*weight).unwrap(),
        target: Some(index),
    };
    let shards = weights.iter().enumerate().map(shard).collect();
    let sharding = Some(Sharding { by: ShardBy::Hash, shards, piece_size: None });
    MirrorOptions { sharding, ..deleting(keeping(newest(2))) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_dataset_can_be_put_together_as_it_was() {
    let targets = ["target0", "target1", "target2"];
    let server = server(&targets).await;
    let many = |version: usize| -> Files {
        (0..40 + version)
            .map(|number| (format!("{number:02}"), Bytes::from(format!("{number} {}", version.min(number % 3)))))
            .collect()
    };
    let mut indexes = Vec::new();
    // A target that is added takes over its share.
    for (version, weights) in [(0, &[1, 1][..]), (1, &[1, 1]), (1, &[1, 1, 2])] {
        put(&server, &many(version)).await;
        let report = pass(&server, &targets[..weights.len()], &split(weights)).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        indexes.push((many(version), report.shard_index.unwrap()));
        let moved: u64 = report.targets.iter().map(|target| target.moved).sum();
        assert_eq!(moved > 0, weights.len() == 3, "{report:?}");
        assert_settled(&server, &targets[..weights.len()], &split(weights)).await;
    }
    let cancel = CancellationToken::new();
    for (files, index) in &indexes[1..] {
        let index = read_shard_index(&open(&server, "target0").await, &dataset(), *index, &cancel).await.unwrap();
        let mut found = Files::new();
        for shard in &index.shards {
            found.extend(bring(&open(&server, &shard.name).await, shard.manifest).await.unwrap());
        }
        assert!(found == *files);
    }
    let oldest = read_shard_index(&open(&server, "target0").await, &dataset(), indexes[0].1, &cancel).await.unwrap();
    let part = bring(&open(&server, "target0").await, oldest.shards[0].manifest).await;
    assert!(matches!(part, Err(FetchError::MissingManifest { .. })), "{part:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_s_bucket_may_be_a_target_s_too() {
    let (server, [first, second, third]) = (server(&[]).await, three());
    let bucket = open(&server, "source").await;
    let [source, target] = ["from/", "to/"].map(|prefix| Replica { prefix: prefix.to_owned(), ..bucket.clone() });
    let mut options = deleting(keeping(newest(7)));
    if let Some(dataset) = &mut options.dataset {
        dataset.publish_to_source = true;
    }
    let mut held = Files::new();
    let mut versions = vec![first, second, third];
    versions.extend((4..8).map(|number| files(&[("a", &format!("a{number}"))])));
    for version in &versions {
        let below: Files = version.iter().map(|(key, body)| (format!("from/{key}"), body.clone())).collect();
        become_now(&*bucket.store, &held, &below).await;
        held = below;
        let targets = [target.clone()];
        let report = mirror(&source, &targets, &options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
    }
    for version in &versions {
        assert_loads(&target, version).await;
    }
}

async fn garage_pass(source: &Replica, target: &Replica, options: &MirrorOptions) -> MirrorReport {
    let targets = [target.clone()];
    let report = mirror(source, &targets, options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_puts_away_by_itself() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    let (from, to) = (replica(&source, ""), replica(&target, ""));
    let options = deleting(keeping(newest(3)));
    let (versions, mut held) = (three(), Files::new());
    for files in &versions {
        become_now(&*source, &held, files).await;
        held.clone_from(files);
        garage_pass(&from, &to, &options).await;
    }
    for files in &versions {
        assert_loads(&to, files).await;
    }
    let kept = |body: &str| kept_key(&dataset(), Sha256::of(body.as_bytes()));
    assert_eq!(target.read(&kept("a1")).await, b"a1");
    // What was overwritten or removed, twice: three small ones and the large one, then one removed and two overwritten.
    assert_eq!(target.copies(), 4 + 3);
    target.writes();
    let report = garage_pass(&from, &to, &options).await;
    assert_eq!((target.writes(), report.targets[0].versions.len()), (0, 3));
}

/// Every write of a pass is made only after a reader has loaded the version from before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_loaded_at_every_moment_of_a_pass() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    let ([first, second, _], reading) = (three(), server.open("target", "").await);
    // Nothing older stays afterwards, and what is the newest until then is whole until then.
    let options = deleting(keeping(newest(1)));
    become_now(&*source, &Files::new(), &first).await;
    let (from, to) = (replica(&source, ""), replica(&target, ""));
    garage_pass(&from, &to, &options).await;
    become_now(&*source, &first, &second).await;
    let loads = Arc::new(AtomicU64::new(0));
    let counted = loads.clone();
    let name = manifest_key(&dataset(), digest(&first));
    target.hook(move |call| {
        let Call::Write { what, key, .. } = call else { return Reaction::Pass };
        // From then on it is not the newest any more.
        if *what == "delete" && *key == name {
            counted.fetch_or(1 << 32, Ordering::SeqCst);
        }
        if counted.load(Ordering::SeqCst) < 1 << 32 {
            let load = || tokio::runtime::Handle::current().block_on(assert_loads(&replica(&reading, ""), &first));
            tokio::task::block_in_place(load);
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Reaction::Pass
    });
    garage_pass(&from, &to, &options).await;
    let loads = loads.load(Ordering::SeqCst);
    assert!(loads > (1 << 32) + 10, "{loads}");
    target.unhook();
    assert_loads(&to, &second).await;
    assert!(!target.own_keys().await.iter().any(|key| key.contains("/objects/")));
}

/// A pass overwrites an object while it is being read: the reader goes on with what was put away, from where it was.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_overwritten_under_its_reader_is_read_on() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    let ([first, second, _], reading) = (three(), server.open("target", "").await);
    let options = keeping(newest(2));
    become_now(&*source, &Files::new(), &first).await;
    let (from, to) = (replica(&source, ""), replica(&target, ""));
    garage_pass(&from, &to, &options).await;
    become_now(&*source, &first, &second).await;
    let gets = Arc::new(Mutex::new(Vec::new()));
    let seen = gets.clone();
    reading.hook(move |call| {
        let Call::Get { key, offset } = call else { return Reaction::Pass };
        if key != "large" {
            return Reaction::Pass;
        }
        let mut seen = seen.lock().unwrap();
        seen.push(*offset);
        if seen.len() == 1 {
            return Reaction::BreakBody(MIB);
        }
        let (from, to, options) = (from.clone(), to.clone(), options.clone());
        Reaction::After(Box::pin(async move { _ = garage_pass(&from, &to, &options).await }))
    });
    let found = bring(&replica(&reading, ""), digest(&first)).await.unwrap();
    assert!(found == first);
    let gets = gets.lock().unwrap();
    assert!(gets.len() == 2 && gets[1] > 0, "{gets:?}");
}

/// Nothing is asked for that would not be if no versions were kept.
#[tokio::test(flavor = "multi_thread")]
async fn loading_the_newest_version_asks_for_nothing_beside() {
    let (server, [first, second, _]) = (server(&["one"]).await, three());
    publish(&server, &first, &keeping(newest(3))).await;
    publish(&server, &second, &keeping(newest(3))).await;
    let asked = Arc::new(AtomicU64::new(0));
    let counted = asked.clone();
    server.script(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Fault::None
    });
    bring(&open(&server, "one").await, digest(&second)).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1 + second.len() as u64);
}

/// More than a page of a listing holds is put away, and goes.
#[tokio::test(flavor = "multi_thread")]
async fn many_contents_are_put_away_and_go() {
    let server = server(&["one"]).await;
    let many = |version: usize| -> Files {
        (0..1100).map(|number| (format!("{number:04}"), Bytes::from(format!("{number} {version}")))).collect()
    };
    for version in 0..3 {
        let bodies = many(version);
        let put = |bucket: SimulatedBucket, (key, body): (&String, &Bytes)| {
            bucket.with([key.clone()], &Contents::of(body.clone()))
        };
        server.set_bucket("source", bodies.iter().fold(SimulatedBucket::default(), put));
        let report = pass(&server, &["one"], &keeping(newest(2))).await.unwrap();
        assert!(report.is_complete() && report.targets[0].copied == 1100, "{report:?}");
        assert_eq!(below(&server, "one", "objects").len(), if version > 0 { 1100 } else { 0 });
    }
    let target = open(&server, "one").await;
    for version in [1, 2] {
        assert_verified(&target, &many(version)).await;
    }
    pass(&server, &["one"], &keeping(newest(1))).await.unwrap();
    assert_eq!(below(&server, "one", "objects"), BTreeSet::new());
    assert_verified(&target, &many(2)).await;
}

/// Many passes of random versions with requests that fail: whatever manifest is there can be loaded.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_what_is_named_is_there() {
    let server = Arc::new(server(&["one"]).await);
    let mut random = 0x5EED_u64;
    let mut next = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut known: Vec<Files> = Vec::new();
    for round in 0..40 {
        let files: Files = (0..12)
            .filter_map(|key| {
                Some((format!("{key}"), Bytes::from(format!("{key} {}", next(3))))).filter(|_| next(5) > 0)
            })
            .collect();
        put(&server, &files).await;
        known.push(files.clone());
        let (rate, count) = (3 + next(20), Arc::new(AtomicU64::new(next(7))));
        server.script(move |asked| {
            let is_hit = asked.target.starts_with("/one") && count.fetch_add(1, Ordering::SeqCst).is_multiple_of(rate);
            if is_hit { Fault::Refused(400, "InvalidRequest") } else { Fault::None }
        });
        let mut options = keeping(newest(1 + usize::try_from(next(4)).unwrap()));
        if next(2) == 0 {
            options = deleting(options);
        }
        let _may_fail = pass(&server, &["one"], &options).await;
        server.script(|_| Fault::None);
        assert_all_load(&server, "one", &known.iter().collect::<Vec<_>>()).await;
        if round % 5 == 4 {
            let options = keeping(newest(3));
            let report = pass(&server, &["one"], &options).await.unwrap();
            assert!(report.is_complete(), "{report:?}");
            assert_all_load(&server, "one", &known.iter().collect::<Vec<_>>()).await;
            assert_settled(&server, &["one"], &options).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_on_a_manifest_that_cannot_be_read() {
    let [first, second, third] = three();
    for broken in ["damaged", "missing"] {
        let server = server(&["one"]).await;
        let options = keeping(newest(2));
        publish(&server, &first, &options).await;
        publish(&server, &second, &options).await;
        let before = below(&server, "one", "objects");
        put(&server, &third).await;
        let key = format!("/one/{}", manifest_key(&dataset(), digest(&second)));
        server.script(move |asked| match broken {
            _ if asked.target != key && !asked.target.starts_with(&format!("{key}?")) => Fault::None,
            "damaged" if asked.method == Method::GET => Fault::Flipped,
            _ => Fault::Refused(404, "NoSuchKey"),
        });
        let report = pass(&server, &["one"], &options).await.unwrap();
        assert!(!report.is_complete() && report.targets[0].manifest == Some(digest(&third)), "{broken}: {report:?}");
        assert!(below(&server, "one", "objects").is_superset(&before), "{broken}");
        server.script(|_| Fault::None);
        assert!(pass(&server, &["one"], &options).await.unwrap().is_complete());
        assert_holds(&server, "one", &[&third, &second]).await;
        let told = provenance_key(&dataset(), digest(&first));
        assert!(server.bucket("one").unwrap().body(&told).is_none());
    }
}
