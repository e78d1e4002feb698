//! Buckets go from each cloud to each: nine pairs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt as _;
use skyfleet_mirror::{
    Attributes, Condition, Dataset, DatasetName, Deletion, Manifest, MirrorEvent, MirrorOptions, MirrorReport,
    MostDeleted, ObjectStore, ObjectSummary, Payload, Replica, SourcePublication, Verification, list, manifest_key,
    mirror, verify,
};
use tokio_util::sync::CancellationToken;

use crate::keys::{ODD, ODDER, attributes};
use crate::place::Place;
use crate::support::{Cloud, content, keys, put, read};

const LARGE: usize = 20 * 1024 * 1024 + 7;
/// Garage drops the slashes that a key begins with: a prefix keeps them inside.
const BELOW: &str = "é data/";
/// Keys that the emulator of Google can copy by itself, too.
const SMALL: &[&str] = &["a b/1", "a//b", "é😀", "100%+x", "folder/"];
/// Only S3 holds them.
const ODDEST: &[&str] = &["line\nbreak", "return\r"];

/// The odd keys that a place can hold.
fn held(place: &Place) -> Vec<&'static str> {
    match place {
        Place::Garage { .. } => [ODD, ODDER, ODDEST].concat(),
        Place::Cloud(cloud) if cloud.is_azure() => ODD.to_vec(),
        Place::Cloud(_) => [ODD, ODDER].concat(),
    }
}

/// What all three can hold.
fn kept() -> Attributes {
    let mut kept = attributes();
    kept.metadata.retain(|name, value| name.is_ascii() && value.trim() == value && !value.is_empty());
    assert!(kept.metadata.len() >= 2);
    kept
}

/// Odd keys, an object in parts, and one of a few bytes that has all attributes.
async fn fill(source: &dyn ObjectStore, odd: &[&str]) {
    let large = content(LARGE, 3);
    let upload = source.create_multipart("large.bin", &kept()).await.unwrap();
    let mut parts = Vec::new();
    for (number, part) in (1..).zip(large.chunks(8 * 1024 * 1024)) {
        let part = Payload::checked_by(large.slice_ref(part), source.proof().algorithm());
        parts.push(source.put_part("large.bin", &upload, number, part).await.unwrap());
    }
    source.complete_multipart("large.bin", &upload, &parts, None, &Condition::Any).await.unwrap();
    source.put("small.bin", &kept(), Payload::of("small"), &Condition::Any).await.unwrap();
    for key in odd {
        put(source, key, &format!("content of {key}").into()).await;
    }
}

/// A bucket in each place, and what it can hold.
struct Pairs {
    source: Arc<dyn ObjectStore>,
    targets: Vec<Arc<dyn ObjectStore>>,
    /// For each target, how many of the source's objects it can hold, and which it cannot.
    holds: Vec<(u64, Vec<String>)>,
}

impl Pairs {
    /// Passes from the one place to all, itself too.
    async fn new(places: &[Place], from: usize) -> Self {
        let odd = held(&places[from]);
        let source = places[from].bucket_at(&format!("source{from}"), BELOW).await;
        fill(&*source, &odd).await;
        let (mut targets, mut holds) = (Vec::new(), Vec::new());
        for place in places {
            targets.push(place.bucket_at(&format!("target{from}"), BELOW).await);
            let can = held(place);
            let mut cannot: Vec<String> =
                odd.iter().filter(|key| !can.contains(key)).map(ToString::to_string).collect();
            cannot.sort();
            holds.push(((odd.len() - cannot.len()) as u64 + 2, cannot));
        }
        Self { source, targets, holds }
    }

    /// A pass in which exactly those objects fail that a target cannot hold.
    async fn pass(&self, deletion: Deletion) -> MirrorReport {
        let replica = |store: &Arc<dyn ObjectStore>| Replica { store: store.clone(), prefix: String::new() };
        let targets: Vec<_> = self.targets.iter().map(replica).collect();
        let failures: Arc<Mutex<Vec<Vec<String>>>> = Arc::new(Mutex::new(vec![Vec::new(); targets.len()]));
        let told = failures.clone();
        let progress = Arc::new(move |event| {
            if let MirrorEvent::Failed { target, failure } = event {
                told.lock().unwrap()[target.expect("the source is whole")].push(failure.key);
            }
        });
        let options = MirrorOptions { deletion, ..MirrorOptions::default() };
        let cancel = CancellationToken::new();
        let report = mirror(&replica(&self.source), &targets, &options, &cancel, progress).await.unwrap();
        for (failed, (_, cannot)) in failures.lock().unwrap().iter_mut().zip(&self.holds) {
            failed.sort();
            assert_eq!(failed, cannot, "{:?} {report:?}", self.source);
        }
        report
    }

    /// Every target holds what the source does, byte for byte, as far as it can.
    async fn assert_same(&self) {
        let source = keys(&*self.source, "").await;
        for (target, (_, cannot)) in self.targets.iter().zip(&self.holds) {
            let wanted: Vec<_> = source.iter().filter(|key| !cannot.contains(key)).collect();
            let found: Vec<_> = keys(&**target, "").await;
            let found: Vec<_> = found.iter().filter(|key| !key.starts_with(".skyfleet/")).collect();
            assert_eq!(found, wanted, "{:?} {target:?}", self.source);
            for key in found {
                assert!(read(&**target, key).await == read(&*self.source, key).await, "{key:?} {target:?}");
            }
            for key in ["large.bin", "small.bin"] {
                let (wanted, found) = (self.source.head(key).await.unwrap(), target.head(key).await.unwrap());
                assert_eq!(found.attributes, wanted.attributes, "{key} {:?} {target:?}", self.source);
            }
            assert_eq!(keys(&**target, ".skyfleet/parts/").await, [""; 0]);
        }
    }

    /// All that is in the targets, in the versions that are there.
    async fn versions(&self) -> Vec<BTreeMap<String, ObjectSummary>> {
        let mut all = Vec::new();
        for target in &self.targets {
            let mut versions = BTreeMap::new();
            for prefix in ["", ".skyfleet/"] {
                let listed: Vec<ObjectSummary> = list(&**target, prefix).try_collect().await.unwrap();
                versions.extend(listed.into_iter().map(|object| (object.key.clone(), object)));
            }
            all.push(versions);
        }
        all
    }

    fn settled(&self) -> Vec<u64> {
        self.holds.iter().map(|(count, _)| *count).collect()
    }
}

fn counts(report: &MirrorReport) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let each = |of: fn(&skyfleet_mirror::TargetReport) -> u64| report.targets.iter().map(of).collect();
    (each(|target| target.copied), each(|target| target.settled), each(|target| target.removed))
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_go_from_each_cloud_to_each() {
    let places = [Place::garage().await, Place::Cloud(Cloud::azure().await), Place::Cloud(Cloud::google().await)];
    for from in 0..places.len() {
        let pairs = Pairs::new(&places, from).await;
        let (all, none) = (pairs.settled(), vec![0; places.len()]);
        let first = pairs.pass(Deletion::Never).await;
        assert_eq!(counts(&first), (all.clone(), none.clone(), none.clone()), "from {from}: {first:?}");
        assert_eq!(pairs.source.head("small.bin").await.unwrap().attributes, kept());
        pairs.assert_same().await;

        let before = pairs.versions().await;
        let second = pairs.pass(Deletion::Surplus(MostDeleted::percent(10))).await;
        assert_eq!(counts(&second), (none.clone(), all.clone(), none.clone()), "from {from}: {second:?}");
        assert!(pairs.versions().await == before, "from {from}: nothing was written");

        // Times are told by the second: a change of attributes alone shows by its time.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        put(&*pairs.source, "a+b+c", &"CONTENT OF a+b+c".into()).await;
        let changed = Attributes { cache_control: Some("no-store".to_owned()), ..kept() };
        pairs.source.put("small.bin", &changed, Payload::of("small"), &Condition::Any).await.unwrap();
        pairs.source.delete("a//b//c").await.unwrap();
        let third = pairs.pass(Deletion::Surplus(MostDeleted::percent(10))).await;
        let settled = all.iter().map(|count| count - 3).collect();
        assert_eq!(counts(&third), (vec![2; places.len()], settled, vec![1; places.len()]), "from {from}: {third:?}");
        pairs.assert_same().await;
        assert!(third.targets.iter().all(|target| target.error.is_none()), "from {from}: {third:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_has_one_digest_wherever_it_lies() {
    let places = [Place::garage().await, Place::Cloud(Cloud::azure().await), Place::Cloud(Cloud::google().await)];
    let name = DatasetName::new("ml", "weights").unwrap();
    let dataset = Some(Dataset { name: name.clone(), publish_to_source: true });
    let (options, cancel) = (MirrorOptions { dataset, ..MirrorOptions::default() }, CancellationToken::new());
    let replica = |store: &Arc<dyn ObjectStore>| Replica { store: store.clone(), prefix: String::new() };
    let mut digests = Vec::new();
    for (from, place) in places.iter().enumerate() {
        let source = place.bucket_at(&format!("source{from}"), BELOW).await;
        fill(&*source, ODD).await;
        let mut targets = Vec::new();
        for place in &places {
            targets.push(replica(&place.bucket_at(&format!("target{from}"), BELOW).await));
        }
        let from_source = replica(&source);
        for copied in [ODD.len() as u64 + 2, 0] {
            let report = mirror(&from_source, &targets, &options, &cancel, Arc::new(|_| ())).await.unwrap();
            assert_eq!(report.source_publication, SourcePublication::Published);
            for target in &report.targets {
                assert_eq!((target.copied, target.failed), (copied, 0), "from {from}: {target:?}");
                assert_eq!(target.manifest, report.manifest);
            }
            digests.push(report.manifest.unwrap());
        }
        for replica in targets.iter().chain([&from_source]) {
            let bytes = read(&*replica.store, &manifest_key(&name, digests[0])).await;
            let manifest = Manifest::parse(&bytes).unwrap();
            let report = verify(replica, (&manifest, Some(&name)), Verification::ReadBack, 4, &cancel).await.unwrap();
            assert_eq!((report.verified, report.mismatches), (ODD.len() as u64 + 2, vec![]));
        }
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn google_copies_by_itself_what_is_its_own() {
    let google = Cloud::google().await;
    let (source, target) = (google.bucket("source").await, google.bucket("target").await);
    fill(&*source, SMALL).await;
    let replica = |store: &Arc<dyn ObjectStore>| Replica { store: store.clone(), prefix: String::new() };
    let (from, to, cancel) = (replica(&source), [replica(&target)], CancellationToken::new());
    for (copied, settled) in [(SMALL.len() as u64 + 2, 0), (0, SMALL.len() as u64 + 2)] {
        let report = mirror(&from, &to, &MirrorOptions::default(), &cancel, Arc::new(|_| ())).await.unwrap();
        let target = &report.targets[0];
        assert_eq!((target.copied, target.settled, report.source_bytes), (copied, settled, 0), "{report:?}");
    }
    for key in SMALL.iter().chain(&["large.bin"]) {
        assert!(read(&*target, key).await == read(&*source, key).await, "{key}");
        let heads = (source.head(key).await.unwrap(), target.head(key).await.unwrap());
        assert_eq!(heads.0.attributes, heads.1.attributes, "{key}");
    }
}
