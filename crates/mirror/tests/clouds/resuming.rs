//! A pass that is killed in the middle of a large object, and the next one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use skyfleet_e2e::object_store::{Contents, Fault, SIMULATED_KEY, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Credentials, Dataset, DatasetName, LocalStore, MirrorEvent, MirrorOptions, MirrorReport, ObjectFailure,
    ObjectStore, Replica, S3Location, S3Store, Sha256, TransferLimits, mirror,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::place::Place;
use crate::support::{Cloud, content, keys, quick, read};

const MIB: usize = 1 << 20;
const SIZE: usize = 60 * MIB + 5;
/// How much has to be at the target when the first pass is killed.
const KILLED_AFTER: u64 = 35 << 20;

/// A source in memory, which tells how it is read.
struct Source {
    server: SimulatedS3,
    replica: Replica,
}

impl Source {
    async fn start(seed: u64) -> Self {
        let server = SimulatedS3::start().await.unwrap();
        let source = Self { replica: Self::open(&server).await, server };
        source.set(content(SIZE, seed));
        source
    }

    async fn open(server: &SimulatedS3) -> Replica {
        let location = S3Location::new(Some(server.endpoint()), None, "source".to_owned(), String::new());
        let (key, secret) = SIMULATED_KEY;
        let credentials = Credentials::Static {
            access_key_id: key.to_owned(),
            secret_access_key: secret.to_owned(),
            session_token: None,
        };
        let store = S3Store::connect(location, credentials, quick()).await.unwrap();
        Replica { store: Arc::new(store), prefix: String::new() }
    }

    fn set(&self, body: Bytes) {
        let bucket = SimulatedBucket::default().with(["big".to_owned()], &Contents::of(body));
        self.server.set_bucket("source", bucket);
    }

    /// Where each reading of the object began, from now on.
    fn watch(&self) -> Arc<Mutex<Vec<u64>>> {
        let starts: Arc<Mutex<Vec<u64>>> = Arc::default();
        let told = starts.clone();
        self.server.script(move |asked| {
            if asked.method == "GET" && asked.target.starts_with("/source/big") {
                let range = asked.headers.get("range").and_then(|range| range.to_str().ok());
                let range = range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next());
                told.lock().unwrap().push(range.map_or(0, |start| start.parse().unwrap()));
            }
            Fault::None
        });
        starts
    }
}

fn limits() -> TransferLimits {
    TransferLimits { part_size: 5 << 20, parts: 2, noted_every: 10 << 20, ..TransferLimits::default() }
}

fn options() -> MirrorOptions {
    MirrorOptions { limits: limits(), ..MirrorOptions::default() }
}

async fn pass(source: &Source, targets: &[Replica]) -> MirrorReport {
    let cancel = CancellationToken::new();
    let failures: Arc<Mutex<Vec<ObjectFailure>>> = Arc::default();
    let told = failures.clone();
    let progress = Arc::new(move |event| {
        if let MirrorEvent::Failed { failure, .. } = event {
            told.lock().unwrap().push(failure);
        }
    });
    let report = mirror(&source.replica, targets, &options(), &cancel, progress).await.unwrap();
    assert!(report.is_complete(), "{report:?} {failures:?}");
    report
}

/// Ends a pass as a kill does: nothing of it runs on.
async fn killed_pass(source: &Source, targets: Vec<Replica>) {
    let (replica, enough, sent) = (source.replica.clone(), Arc::new(Notify::new()), AtomicU64::new(0));
    let stores: Vec<_> = targets.iter().map(|target| target.store.clone()).collect();
    let told = enough.clone();
    let progress = Arc::new(move |event| {
        if let MirrorEvent::Sent { bytes, .. } = event
            && sent.fetch_add(bytes, Ordering::SeqCst) + bytes >= KILLED_AFTER
        {
            told.notify_one();
        }
    });
    let running = tokio::spawn(async move {
        mirror(&replica, &targets, &options(), &CancellationToken::new(), progress).await.unwrap();
    });
    enough.notified().await;
    running.abort();
    assert!(running.await.is_err(), "the pass was over before it was killed");
    for store in stores {
        settle(&*store).await;
    }
}

/// Waits until a server has ended what it was asked before: it does not know that nobody listens any more.
async fn settle(store: &dyn ObjectStore) {
    let (mut seen, mut equal) = (Vec::new(), 0);
    while equal < 6 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let now = keys(store, ".skyfleet/").await;
        equal = if now == seen { equal + 1 } else { 0 };
        seen = now;
    }
}

async fn own_keys(store: &Arc<dyn ObjectStore>) -> Vec<String> {
    let mut found = keys(&**store, ".skyfleet/journals/").await;
    found.extend(keys(&**store, ".skyfleet/parts/").await);
    found
}

/// A bucket in each kind of store.
async fn everywhere() -> (Vec<Arc<dyn ObjectStore>>, impl Sized) {
    let folder = tempfile::tempdir().unwrap();
    let places = [Place::garage().await, Place::Cloud(Cloud::azure().await), Place::Cloud(Cloud::google().await)];
    let mut stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(LocalStore::open(folder.path()).unwrap())];
    for place in &places {
        stores.push(place.bucket("target").await);
    }
    (stores, (places, folder))
}

fn whole(store: &Arc<dyn ObjectStore>) -> Replica {
    Replica { store: store.clone(), prefix: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pass_is_taken_up_in_the_middle_of_an_object() {
    let (stores, _running) = everywhere().await;
    let source = Source::start(1).await;
    for store in stores {
        killed_pass(&source, vec![whole(&store)]).await;
        let starts = source.watch();
        pass(&source, &[whole(&store)]).await;
        assert!(read(&*store, "big").await == content(SIZE, 1), "{store:?}");
        let starts = starts.lock().unwrap().clone();
        assert!(starts.len() == 1 && starts[0] >= 20 << 20, "{starts:?} {store:?}");
        assert_eq!(own_keys(&store).await, [""; 0], "{store:?}");
        let again = pass(&source, &[whole(&store)]).await;
        assert_eq!((again.targets[0].settled, again.targets[0].copied), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changed_meanwhile_is_copied_anew() {
    let (stores, _running) = everywhere().await;
    for store in stores {
        let source = Source::start(1).await;
        killed_pass(&source, vec![whole(&store)]).await;
        source.set(content(SIZE, 2));
        let starts = source.watch();
        pass(&source, &[whole(&store)]).await;
        assert!(read(&*store, "big").await == content(SIZE, 2), "{store:?}");
        assert_eq!(*starts.lock().unwrap(), [0], "{store:?}");
        assert_eq!(own_keys(&store).await, [""; 0], "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_left_the_source_meanwhile_leaves_nothing() {
    let (stores, _running) = everywhere().await;
    for store in stores {
        let source = Source::start(1).await;
        killed_pass(&source, vec![whole(&store)]).await;
        assert_eq!(keys(&*store, ".skyfleet/journals/").await.len(), 1);
        source.server.set_bucket("source", SimulatedBucket::default());
        pass(&source, &[whole(&store)]).await;
        assert_eq!(own_keys(&store).await, [""; 0], "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_its_store_threw_away_is_begun_anew_in_the_same_pass() {
    let (stores, _running) = everywhere().await;
    for store in stores {
        let source = Source::start(1).await;
        killed_pass(&source, vec![whole(&store)]).await;
        // A write to a folder that was under way runs on: it is this process that was not killed.
        while store.abort_leftovers("big").await.is_err() {
            tokio::task::yield_now().await;
        }
        pass(&source, &[whole(&store)]).await;
        assert!(read(&*store, "big").await == content(SIZE, 1), "{store:?}");
        assert_eq!(own_keys(&store).await, [""; 0], "{store:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_ahead_gets_only_what_it_lacks() {
    let (stores, _running) = everywhere().await;
    let (source, ahead, behind) = (Source::start(1).await, &stores[1], &stores[3]);
    killed_pass(&source, vec![whole(ahead)]).await;
    let starts = source.watch();
    pass(&source, &[whole(ahead), whole(behind)]).await;
    for store in [ahead, behind] {
        assert!(read(&**store, "big").await == content(SIZE, 1), "{store:?}");
        assert_eq!(own_keys(store).await, [""; 0], "{store:?}");
    }
    assert_eq!(*starts.lock().unwrap(), [0], "it is read once for both");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_that_is_taken_up_has_the_digest_of_the_whole() {
    let source = Source::start(1).await;
    let place = Place::garage().await;
    let store = place.bucket("target").await;
    let dataset = Dataset { name: DatasetName::new("ml", "weights").unwrap(), publish_to_source: false };
    let options = MirrorOptions { limits: limits(), dataset: Some(dataset), ..MirrorOptions::default() };
    // A pass that is asked to stop, too.
    let (cancel, sent) = (CancellationToken::new(), AtomicU64::new(0));
    let stop = cancel.clone();
    let progress = Arc::new(move |event| {
        if let skyfleet_mirror::MirrorEvent::Sent { bytes, .. } = event
            && sent.fetch_add(bytes, Ordering::SeqCst) + bytes >= KILLED_AFTER
        {
            stop.cancel();
        }
    });
    mirror(&source.replica, &[whole(&store)], &options, &cancel, progress).await.unwrap_err();
    let starts = source.watch();
    let cancel = CancellationToken::new();
    let outcome = mirror(&source.replica, &[whole(&store)], &options, &cancel, Arc::new(|_| ())).await.unwrap();
    let manifest = outcome.targets[0].manifest.expect("it is complete");
    let text = format!("{{\"key\":\"big\",\"size\":{SIZE},\"sha256\":\"{}\"}}\n", Sha256::of(&content(SIZE, 1)));
    assert_eq!(manifest.0, Sha256::of(text.as_bytes()));
    assert!(starts.lock().unwrap()[0] >= 20 << 20, "{starts:?}");
    assert_eq!(keys(&*store, ".skyfleet/journals/").await, [""; 0]);
}
