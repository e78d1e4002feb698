//! Work that a pass hands over to workers, each for a range of keys, and takes over from them.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;
use skyfleet_e2e::object_store::{Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Attributes, Condition, Deletion, HandOver, InvalidPortion, KeyRange, ManifestDigest, MirrorError, MirrorEvent,
    MirrorOptions, MirrorReport, MostDeleted, Payload, Portion, Retention, ShardBy, TransferLimits, forget_work,
    mirror, mirror_range,
};
use tokio_util::sync::CancellationToken;

use crate::faulty::{open, pass};
use crate::sharding::sharding;
use crate::support::{Server, content, dataset, dataset_options, replica};
use crate::transforming::{by, lines, refuse_writes, spec, table};
use crate::versions::bring;

const OBJECTS: u64 = 300;
const WORK: &str = "work-1";

fn options() -> MirrorOptions {
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    MirrorOptions { deletion: Deletion::Surplus(MostDeleted::percent(100)), limits, ..dataset_options() }
}

fn handing_over(options: &MirrorOptions) -> MirrorOptions {
    MirrorOptions { hand_over: Some(HandOver::default()), ..options.clone() }
}

/// What was not done by workers is not done here either.
fn adopting(options: &MirrorOptions) -> MirrorOptions {
    MirrorOptions { adopts: Some(WORK.to_owned()), ..handing_over(options) }
}

async fn server(buckets: &[&str]) -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    let mut source = SimulatedBucket::default();
    for number in 0..OBJECTS {
        source = source.with([format!("data/{number:03}")], &Contents::of(content(100, number)));
    }
    server.set_bucket("source", source);
    for bucket in buckets {
        server.set_bucket(bucket, SimulatedBucket::default());
    }
    server
}

fn portion(unit: u32, worker: u32, (after, last): (Option<&str>, Option<&str>)) -> Portion {
    let range = KeyRange { after: after.map(str::to_owned), last: last.map(str::to_owned) };
    Portion { range, work: WORK.to_owned(), unit, worker }
}

/// Three units: all of the source.
fn unit(unit: u32, worker: u32) -> Portion {
    let bounds = [None, Some("data/099"), Some("data/199"), None];
    portion(unit, worker, (bounds[unit as usize], bounds[unit as usize + 1]))
}

async fn work_until(
    server: &SimulatedS3,
    targets: &[&str],
    (options, portion): (&MirrorOptions, &Portion),
    most: u64,
) -> Result<MirrorReport, MirrorError> {
    let mut replicas = Vec::new();
    for target in targets {
        replicas.push(open(server, target).await);
    }
    let (cancel, copied) = (CancellationToken::new(), AtomicU64::new(0));
    let stop = cancel.clone();
    let told = Arc::new(move |event| {
        if matches!(event, MirrorEvent::Copied { .. }) && copied.fetch_add(1, Ordering::SeqCst) + 1 == most {
            stop.cancel();
        }
    });
    mirror_range(&open(server, "source").await, &replicas, (options, portion), &cancel, told).await
}

async fn work(server: &SimulatedS3, targets: &[&str], (options, portion): (&MirrorOptions, &Portion)) -> MirrorReport {
    let report = work_until(server, targets, (options, portion), u64::MAX).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    report
}

async fn work_all(server: &SimulatedS3, targets: &[&str], options: &MirrorOptions) {
    for index in 0..3 {
        work(server, targets, (options, &unit(index, index))).await;
    }
}

/// A pass, and what it handed over.
async fn pass_told(
    server: &SimulatedS3,
    targets: &[&str],
    options: &MirrorOptions,
) -> (MirrorReport, Vec<(String, u64)>) {
    let mut replicas = Vec::new();
    for target in targets {
        replicas.push(open(server, target).await);
    }
    let told: Arc<Mutex<Vec<_>>> = Arc::default();
    let heard = told.clone();
    let hear = Arc::new(move |event| {
        if let MirrorEvent::HandedOver { key, bytes, .. } = event {
            heard.lock().unwrap().push((key, bytes));
        }
    });
    let source = open(server, "source").await;
    let report = mirror(&source, &replicas, options, &CancellationToken::new(), hear).await.unwrap();
    let told = told.lock().unwrap().clone();
    (report, told)
}

/// What is asked of the server from now on: method and target.
fn listen(server: &SimulatedS3) -> Arc<Mutex<Vec<(Method, String)>>> {
    let asked: Arc<Mutex<Vec<_>>> = Arc::default();
    let heard = asked.clone();
    server.script(move |request| {
        heard.lock().unwrap().push((request.method.clone(), request.target.clone()));
        Fault::None
    });
    asked
}

fn own(server: &SimulatedS3, target: &str, folder: &str) -> Vec<String> {
    let (bucket, folder) = (server.bucket(target).unwrap(), format!(".skyfleet/{folder}/"));
    bucket.keys().filter(|key| key.starts_with(&folder)).map(str::to_owned).collect()
}

fn data(server: &SimulatedS3, bucket: &str) -> BTreeMap<String, Bytes> {
    let bucket = server.bucket(bucket).unwrap();
    let keys = bucket.keys().filter(|key| !key.starts_with(".skyfleet/"));
    keys.map(|key| (key.to_owned(), bucket.body(key).unwrap())).collect()
}

async fn put(server: &SimulatedS3, bucket: &str, key: &str, body: Bytes) {
    let store = open(server, bucket).await.store;
    store.put(key, &Attributes::default(), Payload::of(body), &Condition::Any).await.unwrap();
}

/// The next pass after the work is forgotten has nothing to write.
async fn assert_settled(server: &SimulatedS3, targets: &[&str], options: &MirrorOptions) {
    for target in targets {
        forget_work(&open(server, target).await, &dataset(), WORK).await.unwrap();
        assert_eq!(own(server, target, "work"), [] as [String; 0]);
    }
    refuse_writes(server);
    let report = pass(server, targets, options).await.unwrap();
    assert!(report.is_complete() && report.targets.iter().all(|target| target.copied == 0), "{report:?}");
    server.script(|_| Fault::None);
}

/// The name of all that the source has now.
async fn plain(server: &SimulatedS3, options: &MirrorOptions) -> ManifestDigest {
    server.set_bucket("plain", SimulatedBucket::default());
    pass(server, &["plain"], options).await.unwrap().manifest.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_over_is_done_by_workers_and_taken_over() {
    let (server, options) = (server(&["one"]).await, options());
    put(&server, "one", "data/old", content(100, 1)).await;
    let asked = listen(&server);
    let (report, told) = pass_told(&server, &["one"], &handing_over(&options)).await;
    let source = server.bucket("source").unwrap();
    assert!(told.iter().map(|(key, _)| key.as_str()).eq(source.keys()) && told.iter().all(|(_, bytes)| *bytes == 100));
    assert_eq!((report.handed_over.objects, report.handed_over.bytes), (OBJECTS, OBJECTS * 100));
    assert_eq!(report.targets[0].handed_over, report.handed_over);
    assert_eq!((report.targets[0].copied, report.targets[0].removed, report.manifest), (0, 0, None));
    assert!(!report.is_complete() && !report.targets[0].lacks_nothing());
    assert!(asked.lock().unwrap().iter().all(|(method, _)| method == Method::GET || method == Method::HEAD));

    // The second worker is stopped in the middle, and another one goes on.
    let asked = listen(&server);
    assert_eq!(work(&server, &["one"], (&options, &unit(0, 0))).await.targets[0].copied, 100);
    let stopped = work_until(&server, &["one"], (&options, &unit(1, 1)), 40).await;
    assert_eq!(stopped, Err(MirrorError::Cancelled));
    let report = work(&server, &["one"], (&options, &unit(1, 2))).await;
    let (settled, copied) = (report.targets[0].settled, report.targets[0].copied);
    assert!(settled >= 40 && settled + copied == 100, "{settled} {copied}");
    assert_eq!(work(&server, &["one"], (&options, &unit(2, 0))).await.targets[0].copied, 100);
    let names: Vec<_> =
        own(&server, "one", "work").iter().map(|key| key.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["000000.0.jsonl", "000001.1.jsonl", "000001.2.jsonl", "000002.0.jsonl"]);
    let is_other = |(method, target): &(Method, String)| {
        method == Method::DELETE || (method != Method::GET && target.contains(".skyfleet/state/"))
    };
    assert!(!asked.lock().unwrap().iter().any(is_other), "nothing is removed, and what is remembered stays");

    // A unit that is done is done, whoever looks.
    let before = own(&server, "one", "work");
    assert_eq!(work(&server, &["one"], (&options, &unit(1, 3))).await.targets[0].settled, 100);
    assert_eq!(own(&server, "one", "work"), before);

    let (report, told) = pass_told(&server, &["one"], &adopting(&options)).await;
    assert!(report.is_complete() && told.is_empty(), "{report:?}");
    assert_eq!((report.targets[0].copied, report.targets[0].settled, report.targets[0].removed), (0, OBJECTS, 1));
    assert_eq!(report.manifest, Some(plain(&server, &options).await));
    assert!(data(&server, "one") == data(&server, "source"));

    refuse_writes(&server);
    let again = pass(&server, &["one"], &adopting(&options)).await.unwrap();
    assert_eq!((again.manifest, again.is_complete()), (report.manifest, true));
    server.script(|_| Fault::None);
    assert_settled(&server, &["one"], &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_is_copied_at_once() {
    let (server, options) = (server(&["one"]).await, options());
    let bounded = |objects, bytes| MirrorOptions { hand_over: Some(HandOver { objects, bytes }), ..options.clone() };
    let (report, told) = pass_told(&server, &["one"], &bounded(7, u64::MAX)).await;
    assert_eq!((report.targets[0].copied, told.len() as u64), (7, OBJECTS - 7));
    let (report, told) = pass_told(&server, &["one"], &bounded(u64::MAX, 1050)).await;
    assert_eq!((report.targets[0].copied, report.targets[0].settled, told.len() as u64), (10, 7, OBJECTS - 17));
    assert!(report.manifest.is_none());
    let (report, told) = pass_told(&server, &["one"], &bounded(OBJECTS, u64::MAX)).await;
    assert_eq!((report.targets[0].settled, told.len(), report.manifest.is_some()), (17, 0, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_dies_while_it_takes_over_is_followed_by_one_that_goes_on() {
    let (server, options) = (server(&["one"]).await, options());
    work_all(&server, &["one"], &options).await;
    server.script(|asked| {
        let is_manifest = asked.method == Method::PUT && asked.target.contains(".skyfleet/manifests/");
        if is_manifest { Fault::Refused(403, "AccessDenied") } else { Fault::None }
    });
    let report = pass(&server, &["one"], &adopting(&options)).await.unwrap();
    assert!(report.manifest.is_none() && report.targets[0].settled == OBJECTS, "{report:?}");
    let asked = listen(&server);
    let report = pass(&server, &["one"], &adopting(&options)).await.unwrap();
    assert_eq!((report.targets[0].settled, report.is_complete(), report.manifest.is_some()), (OBJECTS, true, true));
    assert!(!asked.lock().unwrap().iter().any(|(method, key)| method == Method::PUT && key.contains("/pages/")));
    drop(asked);
    assert_settled(&server, &["one"], &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_at_once_do_no_harm() {
    let (server, options) = (server(&["one"]).await, options());
    let (first, second) = (unit(0, 0), unit(0, 1));
    let (first, second) = futures::join!(
        work_until(&server, &["one"], (&options, &first), u64::MAX),
        work_until(&server, &["one"], (&options, &second), u64::MAX),
    );
    let done = |report: &MirrorReport| report.targets[0].copied + report.targets[0].settled;
    assert!(done(&first.unwrap()) + done(&second.unwrap()) >= 100);
    for index in [1, 2] {
        work(&server, &["one"], (&options, &unit(index, 0))).await;
    }
    let report = pass(&server, &["one"], &adopting(&options)).await.unwrap();
    assert_eq!((report.targets[0].settled, report.targets[0].copied), (OBJECTS, 0), "{report:?}");
    assert_eq!(report.manifest, Some(plain(&server, &options).await));
    assert!(data(&server, "one") == data(&server, "source"));
    assert_settled(&server, &["one"], &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_proven_in_vain_is_copied_again() {
    let (server, options) = (server(&["one"]).await, options());
    let copying = MirrorOptions { hand_over: None, ..adopting(&options) };
    work_all(&server, &["one"], &options).await;
    let proofs = own(&server, "one", "work");
    let one = open(&server, "one").await.store;
    one.delete(&proofs[0]).await.unwrap();
    put(&server, "one", &proofs[1], Bytes::from_static(b"{\"version\":1,\"source\":\"another\"}\n")).await;
    // Times are told by the second.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    put(&server, "source", "data/250", content(200, 7)).await;
    put(&server, "source", "data/251", content(100, 251)).await;
    let report = pass(&server, &["one"], &copying).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.targets[0].copied, report.targets[0].settled), (202, 98));
    assert_eq!(report.manifest, Some(plain(&server, &options).await));
    assert!(data(&server, "one") == data(&server, "source"));
    assert_settled(&server, &["one"], &options).await;

    // A worker finds out by itself that what was proven is of no use; what the bucket holds has the same ETag as before.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    put(&server, "source", "data/050", content(100, 50)).await;
    let (_, told) = pass_told(&server, &["one"], &handing_over(&options)).await;
    assert_eq!(told, [("data/050".to_owned(), 100)]);
    let report = work(&server, &["one"], (&options, &unit(0, 0))).await;
    assert_eq!((report.targets[0].copied, report.targets[0].settled), (1, 99));
    let (report, told) = pass_told(&server, &["one"], &adopting(&options)).await;
    assert_eq!((report.is_complete(), told), (true, Vec::new()));
    assert_settled(&server, &["one"], &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_proof_costs_its_objects() {
    let (server, options) = (server(&["one"]).await, options());
    work_all(&server, &["one"], &options).await;
    let proofs = own(&server, "one", "work");
    let cut = server.bucket("one").unwrap().body(&proofs[2]).unwrap();
    put(&server, "one", &proofs[2], cut.slice(..cut.len() - 9)).await;
    let (report, told) = pass_told(&server, &["one"], &adopting(&options)).await;
    assert_eq!((report.targets[0].settled, told.len(), report.manifest), (200, 100, None));
    assert_eq!(work(&server, &["one"], (&options, &unit(2, 2))).await.targets[0].copied, 100);
    let (report, told) = pass_told(&server, &["one"], &adopting(&options)).await;
    assert_eq!((report.is_complete(), told.len()), (true, 0));
    assert_settled(&server, &["one"], &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_versions_load_after_workers_have_overwritten_what_they_name() {
    let server = server(&["one"]).await;
    let retention = Retention { newest: 3, ..Retention::only_the_newest() };
    let options = MirrorOptions { versions: Some(retention), ..options() };
    let first = pass(&server, &["one"], &options).await.unwrap().manifest.unwrap();
    let first_data = data(&server, "source");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for key in ["data/010", "data/110", "data/111"] {
        put(&server, "source", key, content(150, 1000)).await;
    }
    let (_, told) = pass_told(&server, &["one"], &handing_over(&options)).await;
    assert_eq!(told.len(), 3);
    work_all(&server, &["one"], &options).await;
    // One goes, and one changes again, before anybody has named what the worker brought.
    open(&server, "source").await.store.delete("data/112").await.unwrap();
    put(&server, "source", "data/111", content(150, 1001)).await;
    let report = pass(&server, &["one"], &MirrorOptions { hand_over: None, ..adopting(&options) }).await.unwrap();
    assert_eq!((report.is_complete(), report.targets[0].copied, report.targets[0].removed), (true, 1, 1), "{report:?}");
    let second = report.manifest.unwrap();
    assert_eq!(report.targets[0].versions.len(), 2);
    assert!(bring(&open(&server, "one").await, first).await.unwrap() == first_data, "the older one");
    assert!(bring(&open(&server, "one").await, second).await.unwrap() == data(&server, "source"), "the newest one");
    // 010, 110, 111 and 112 as the first version has them.
    assert_eq!(own(&server, "one", "objects").len(), 4, "what no version names does not stay");
    assert_settled(&server, &["one"], &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_and_split_is_brought_in_parts_too() {
    let targets = ["one", "two"];
    let mut objects = Vec::new();
    for number in 0..30 {
        objects.push((format!("data/{number:03}.jsonl"), lines(number..number + 40)));
        objects.push((format!("data/{number:03}-x.v2.csv"), table(number..number + 40)));
    }
    let objects: Vec<_> = objects.iter().map(|(key, text)| (key.as_str(), text.clone())).collect();
    for piece_size in [None, NonZeroU64::new(400)] {
        let server = crate::transforming::server(&objects, &["one", "two", "three", "four"]).await;
        let sharding = skyfleet_mirror::Sharding { piece_size, ..sharding(ShardBy::Hash, &targets) };
        let options = MirrorOptions { sharding: Some(sharding), ..by(spec(), 0) };
        let (report, told) = pass_told(&server, &targets, &handing_over(&options)).await;
        assert_eq!((report.handed_over.objects, told.len()), (report.compared, told.len()));
        assert!(told.is_sorted_by(|one, other| one.0 < other.0));
        // To be cut, a table is looked through once before.
        let times = |key: &str| if piece_size.is_some() && key.contains("-x.v2") { 2 } else { 1 };
        let bytes: u64 = objects.iter().map(|(key, text)| text.len() as u64 * times(key)).sum();
        assert_eq!((report.handed_over.bytes, told.iter().map(|(_, bytes)| bytes).sum()), (bytes, bytes));
        let bounds = [None, Some(told[told.len() / 3].0.as_str()), Some(told[told.len() / 2].0.as_str()), None];
        let mut copied = 0;
        for index in 0..3 {
            let range = (bounds[index], bounds[index + 1]);
            let portion = portion(u32::try_from(index).unwrap(), 0, range);
            let report = work(&server, &targets, (&options, &portion)).await;
            copied += report.targets.iter().map(|target| target.copied).sum::<u64>();
        }
        assert_eq!(copied, report.compared);
        let (report, told) = pass_told(&server, &targets, &adopting(&options)).await;
        assert!(report.is_complete() && told.is_empty(), "{report:?}");
        let elsewhere = pass(&server, &["three", "four"], &options).await.unwrap();
        assert!(report.shard_index.is_some());
        assert_eq!((report.shard_index, report.rows), (elsewhere.shard_index, elsewhere.rows));
        assert_settled(&server, &targets, &options).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_has_told_most_of_what_it_did() {
    let many = 6000;
    let server = SimulatedS3::start().await.unwrap();
    let keys = (0..many).map(|number| format!("{number:05}"));
    server.set_bucket("source", SimulatedBucket::default().with(keys, &Contents::of("content".into())));
    server.set_bucket("one", SimulatedBucket::default());
    let (source, target) = (open(&server, "source").await, open(&server, "one").await);
    let (reached, copied) = (Arc::new(tokio::sync::Notify::new()), AtomicU64::new(0));
    let reach = reached.clone();
    let progress = Arc::new(move |event| {
        if matches!(event, MirrorEvent::Copied { .. }) && copied.fetch_add(1, Ordering::SeqCst) == 5000 {
            reach.notify_one();
        }
    });
    let all = portion(3, 0, (None, None));
    let of = all.clone();
    let running = tokio::spawn(async move {
        mirror_range(&source, &[target], (&options(), &of), &CancellationToken::new(), progress).await
    });
    reached.notified().await;
    running.abort();
    assert!(running.await.is_err());
    // The same worker again: it goes on with its own files.
    let report = work(&server, &["one"], (&options(), &all)).await;
    assert!(report.targets[0].settled >= 3900, "{report:?}");
    assert_eq!(report.targets[0].settled + report.targets[0].copied, many);
    let proofs = own(&server, "one", "work");
    assert!((2..=3).contains(&proofs.len()) && proofs[0].ends_with("/000003.0.2.jsonl"), "{proofs:?}");
    let again = work(&server, &["one"], (&options(), &portion(3, 1, (None, None)))).await;
    assert_eq!((again.targets[0].settled, own(&server, "one", "work").len()), (many, proofs.len()));
    let report = pass(&server, &["one"], &adopting(&options())).await.unwrap();
    assert_eq!((report.targets[0].settled, report.manifest), (many, Some(plain(&server, &options()).await)));
    let pages = own(&server, "one", "state").into_iter().filter(|key| key.contains("/pages/")).count();
    assert_eq!(pages, 2, "as after any pass");
    assert_settled(&server, &["one"], &options()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_goes_on_in_the_middle_of_an_object_of_another() {
    const MIB: usize = 1 << 20;
    let server = SimulatedS3::start().await.unwrap();
    let large = content(60 * MIB, 1);
    server.set_bucket("source", SimulatedBucket::default().with(["large".to_owned()], &Contents::of(large.clone())));
    server.set_bucket("one", SimulatedBucket::default());
    let cancel = CancellationToken::new();
    let (stop, parts) = (cancel.clone(), AtomicU64::new(0));
    server.script(move |asked| {
        if asked.method == Method::PUT
            && asked.target.contains("partNumber=")
            && parts.fetch_add(1, Ordering::SeqCst) == 9
        {
            stop.cancel();
        }
        Fault::None
    });
    let (source, targets) = (open(&server, "source").await, [open(&server, "one").await]);
    let limits = TransferLimits { part_size: 5 << 20, parts: 2, noted_every: 10 << 20, ..TransferLimits::default() };
    let (options, all) = (MirrorOptions { limits, ..options() }, |worker| portion(0, worker, (None, None)));
    let first = mirror_range(&source, &targets, (&options, &all(0)), &cancel, Arc::new(|_| ())).await;
    assert_eq!(first, Err(MirrorError::Cancelled));
    let asked = listen(&server);
    let report = work(&server, &["one"], (&options, &all(1))).await;
    assert_eq!(report.targets[0].copied, 1);
    let is_part = |(method, target): &&(Method, String)| method == Method::PUT && target.contains("partNumber=");
    assert!(asked.lock().unwrap().iter().filter(is_part).count() < 12, "some parts are there");
    let report = pass(&server, &["one"], &adopting(&options)).await.unwrap();
    assert!(report.is_complete() && data(&server, "one")["large"] == large);
    assert_settled(&server, &["one"], &options).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_range_is_listed() {
    let server = SimulatedS3::start().await.unwrap();
    let keys = (0..10_000).map(|number| format!("{number:05}"));
    server.set_bucket("source", SimulatedBucket::default().with(keys, &Contents::of("content".into())));
    server.set_bucket("one", SimulatedBucket::default());
    let asked = listen(&server);
    let report = work(&server, &["one"], (&options(), &portion(0, 0, (Some("07999"), Some("08099"))))).await;
    assert_eq!((report.compared, report.targets[0].copied), (100, 100));
    let lists = |(_, target): &&(Method, String)| target.contains("list-type=2") && target.starts_with("/source");
    assert_eq!(asked.lock().unwrap().iter().filter(lists).count(), 1);
    assert!(
        data(&server, "one").keys().eq((8000..8100).map(|number| format!("{number:05}")).collect::<Vec<_>>().iter())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_gives_each_key_in_one_range() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    let keys = ["a", "a b", "a+b", "a-1", "a.1", "a/1", "a/2", "a0", "b%20", "b&c", "ç", "é/é", "日本"];
    for key in keys {
        source.put_text(&format!("in/{key}"), key).await;
    }
    for split in keys {
        let (mut compared, cancel) = (Vec::new(), CancellationToken::new());
        for range in [(None, Some(split)), (Some(split), None), (Some(split), Some("é/é"))] {
            let (source, targets) = (replica(&source, "in/"), [replica(&target, "out/")]);
            let portion = portion(0, 0, range);
            let told = Arc::new(|_| ());
            let report = mirror_range(&source, &targets, (&options(), &portion), &cancel, told).await.unwrap();
            assert!(report.is_complete(), "{report:?}");
            compared.push(report.compared);
        }
        let place = keys.iter().position(|key| *key == split).unwrap() as u64;
        assert_eq!(compared, [place + 1, 12 - place, 11_u64.saturating_sub(place)], "{split}");
    }
    assert_eq!(target.contents().await.len(), keys.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_alone_is_refused() {
    let server = server(&["one", "two"]).await;
    let targets = ["one", "two"];
    let split = MirrorOptions { sharding: Some(sharding(ShardBy::Size, &targets)), ..options() };
    let nameless = Portion { work: "../x".to_owned(), ..unit(0, 0) };
    for (options, portion, why) in [
        (MirrorOptions::default(), unit(0, 0), InvalidPortion::NoDataset),
        (split, unit(0, 0), InvalidPortion::Split),
        (options(), nameless, InvalidPortion::Work("../x".to_owned())),
    ] {
        let refused = work_until(&server, &targets, (&options, &portion), u64::MAX).await;
        assert_eq!(refused, Err(MirrorError::Portion(why)));
    }
}
