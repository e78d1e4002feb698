//! What is remembered of many objects: in pages, kept on the way, and never more than it saves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use skyfleet_e2e::object_store::{Contents, Fault, SIMULATED_KEY, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Condition, ConnectOptions, Filter, Manifest, MirrorError, MirrorEvent, MirrorOptions, MirrorReport, Payload,
    Replica, S3Location, S3Store, Sha256, manifest_key, mirror,
};
use tokio_util::sync::CancellationToken;

use crate::support::{credentials, dataset, dataset_options};

const OBJECTS: usize = 10_000;

/// A server with many objects, and how often something was written to the target.
async fn server() -> (SimulatedS3, Arc<AtomicU64>) {
    let server = SimulatedS3::start().await.unwrap();
    let keys = (0..OBJECTS).map(|number| format!("{number:05}"));
    server.set_bucket("source", SimulatedBucket::default().with(keys, &Contents::of("content".into())));
    server.set_bucket("target", SimulatedBucket::default());
    let writes = Arc::new(AtomicU64::new(0));
    let counted = writes.clone();
    server.script(move |asked| {
        let is_write = asked.method == Method::PUT || asked.method == Method::DELETE;
        counted.fetch_add(u64::from(is_write && asked.target.starts_with("/target/")), Ordering::SeqCst);
        Fault::None
    });
    (server, writes)
}

async fn open(server: &SimulatedS3, bucket: &str) -> Replica {
    let location = S3Location::new(Some(server.endpoint()), None, bucket.to_owned(), String::new());
    let credentials = credentials(SIMULATED_KEY.0, SIMULATED_KEY.1);
    let store = S3Store::connect(location, credentials, ConnectOptions::default()).await.unwrap();
    Replica { store: Arc::new(store), prefix: String::new() }
}

async fn pass(server: &SimulatedS3, options: &MirrorOptions) -> MirrorReport {
    let (source, target) = (open(server, "source").await, open(server, "target").await);
    mirror(&source, &[target], options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap()
}

fn pages(server: &SimulatedS3) -> BTreeSet<String> {
    let bucket = server.bucket("target").unwrap();
    bucket.keys().filter(|key| key.contains("/pages/")).map(str::to_owned).collect()
}

/// The manifest that must be there.
fn manifest(server: &SimulatedS3) -> Manifest {
    let source = server.bucket("source").unwrap();
    let entry = |key: &str| {
        let body = source.body(key).unwrap();
        skyfleet_mirror::ManifestEntry { key: key.to_owned(), size: body.len() as u64, sha256: Sha256::of(&body) }
    };
    Manifest::new(source.keys().map(entry).collect()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_is_remembered_in_pages() {
    let (server, writes) = server().await;
    let report = pass(&server, &dataset_options()).await;
    assert!(report.is_complete() && report.targets[0].copied == OBJECTS as u64, "{report:?}");
    let there = pages(&server);
    assert_eq!(there.len(), 4, "{there:?}");
    let expected = manifest(&server);
    assert_eq!(report.manifest, Some(expected.digest()));
    let published = server.bucket("target").unwrap().body(&manifest_key(&dataset(), expected.digest())).unwrap();
    assert_eq!(published, expected.to_bytes());

    writes.store(0, Ordering::SeqCst);
    let report = pass(&server, &dataset_options()).await;
    assert_eq!((report.targets[0].settled, report.manifest), (OBJECTS as u64, Some(expected.digest())));
    assert_eq!((writes.load(Ordering::SeqCst), pages(&server)), (0, there.clone()));

    // Times are told by the second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let source = open(&server, "source").await;
    source
        .store
        .put("05000", &skyfleet_mirror::Attributes::default(), Payload::of("changed"), &Condition::Any)
        .await
        .unwrap();
    writes.store(0, Ordering::SeqCst);
    let report = pass(&server, &dataset_options()).await;
    assert_eq!((report.targets[0].copied, report.manifest), (1, Some(manifest(&server).digest())));
    assert_eq!((pages(&server).len(), pages(&server).intersection(&there).count()), (4, 3), "one is another");
    // The object, its page, the index, the old page that goes, where the version came from, the manifest, and the index with its
    // digest.
    assert_eq!(writes.load(Ordering::SeqCst), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_page_costs_its_objects_and_a_damaged_one_too() {
    let (server, _) = server().await;
    pass(&server, &dataset_options()).await;
    let target = open(&server, "target").await;
    let there: Vec<_> = pages(&server).into_iter().collect();
    target.store.delete(&there[0]).await.unwrap();
    target
        .store
        .put(&there[1], &skyfleet_mirror::Attributes::default(), Payload::of("damaged"), &Condition::Any)
        .await
        .unwrap();
    let report = pass(&server, &dataset_options()).await;
    assert!((4096..8192).contains(&report.targets[0].copied), "{report:?}");
    assert_eq!(report.manifest, Some(manifest(&server).digest()));
    let report = pass(&server, &dataset_options()).await;
    assert_eq!(report.targets[0].settled, OBJECTS as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_killed_has_kept_most_of_what_it_did() {
    let (server, _) = server().await;
    let (source, target) = (open(&server, "source").await, open(&server, "target").await);
    let (reached, copied) = (Arc::new(tokio::sync::Notify::new()), AtomicU64::new(0));
    let reach = reached.clone();
    let progress = Arc::new(move |event| {
        if matches!(event, MirrorEvent::Copied { .. }) && copied.fetch_add(1, Ordering::SeqCst) == 6000 {
            reach.notify_one();
        }
    });
    let running = tokio::spawn(async move {
        mirror(&source, &[target], &dataset_options(), &CancellationToken::new(), progress).await
    });
    reached.notified().await;
    running.abort();
    let report = running.await;
    assert!(report.is_err(), "{report:?}");
    // What is not known yet is not begun twice by the one that was killed.
    let report = pass(&server, &dataset_options()).await;
    assert!(report.targets[0].settled >= 4900, "{report:?}");
    assert_eq!(report.manifest, Some(manifest(&server).digest()));
    let report = pass(&server, &dataset_options()).await;
    assert_eq!(report.targets[0].settled, OBJECTS as u64);
    assert_eq!(pages(&server).len(), 4, "nothing is left of pages that do not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_stopped_before_it_learns_anything_writes_nothing() {
    let (server, writes) = server().await;
    let first = pass(&server, &dataset_options()).await;
    let (source, target) = (open(&server, "source").await, open(&server, "target").await);
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let progress = Arc::new(move |event| {
        if matches!(event, MirrorEvent::Compared(_)) {
            stop.cancel();
        }
    });
    writes.store(0, Ordering::SeqCst);
    let stopped = mirror(&source, &[target], &dataset_options(), &cancel, progress).await;
    assert_eq!((stopped, writes.load(Ordering::SeqCst)), (Err(MirrorError::Cancelled), 0));
    let report = pass(&server, &dataset_options()).await;
    assert_eq!((report.manifest, writes.load(Ordering::SeqCst)), (first.manifest, 0));
}

/// Copies that listings cannot settle, by passes with one filter and with another.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_leaves_out_stays_remembered() {
    let folder = tempfile::tempdir().unwrap();
    for (name, files) in [("a", 30), ("b", 20)] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        (0..files).for_each(|number| std::fs::write(folder.path().join(format!("{name}/{number}")), "x").unwrap());
    }
    let (server, _) = server().await;
    let source = skyfleet_mirror::LocalStore::open(folder.path()).unwrap();
    let source = Replica { store: Arc::new(source), prefix: String::new() };
    let target = open(&server, "target").await;
    let only = async |glob: &str| {
        let filter = Filter::new(&[glob.to_owned()], &[]).unwrap();
        let options = MirrorOptions { filter, ..MirrorOptions::default() };
        let (targets, cancel) = ([target.clone()], CancellationToken::new());
        let report = mirror(&source, &targets, &options, &cancel, Arc::new(|_| ())).await.unwrap();
        report.targets[0].copied
    };
    assert_eq!((only("a/**").await, only("b/**").await), (30, 20));
    assert_eq!((only("a/**").await, only("b/**").await, only("**").await), (0, 0, 0));
}
