//! A dataset goes from each cloud to each.

use std::sync::Arc;

use skyfleet_mirror::{
    Condition, Dataset, DatasetName, ObjectStore, Payload, Replica, SyncOptions, Verification, sync, verify,
};
use tokio_util::sync::CancellationToken;

use crate::keys::attributes;
use crate::place::Place;
use crate::support::{Cloud, content, keys, put, read};

const LARGE: usize = 20 * 1024 * 1024 + 7;
const SMALL: &[&str] = &["a b/1", "a//b", "é😀", "100%+x", "folder/"];

async fn fill(source: &dyn ObjectStore) {
    let large = content(LARGE, 3);
    let mut kept = attributes();
    // What S3 can hold too.
    kept.metadata.retain(|name, value| name.is_ascii() && value.trim() == value && !value.is_empty());
    let upload = source.create_multipart("large.bin", &kept).await.unwrap();
    let mut parts = Vec::new();
    for (number, part) in (1..).zip(large.chunks(8 * 1024 * 1024)) {
        let part = Payload::checked_by(large.slice_ref(part), source.proof().algorithm());
        parts.push(source.put_part("large.bin", &upload, number, part).await.unwrap());
    }
    source.complete_multipart("large.bin", &upload, &parts, None, &Condition::Any).await.unwrap();
    for key in SMALL {
        put(source, key, &key.to_owned().into()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_goes_from_each_cloud_to_each() {
    let places = [Place::garage().await, Place::Cloud(Cloud::azure().await), Place::Cloud(Cloud::google().await)];
    let name = DatasetName::new("ml", "weights").unwrap();
    let dataset = Dataset { name: name.clone(), publish_to_source: false };
    let cancel = CancellationToken::new();
    let replica = |store: &Arc<dyn ObjectStore>| Replica { store: store.clone(), prefix: String::new() };
    let mut digests = Vec::new();
    for (from, place) in places.iter().enumerate() {
        let source = place.bucket(&format!("source{from}")).await;
        fill(&*source).await;
        let mut targets = Vec::new();
        for place in &places {
            targets.push(place.bucket(&format!("target{from}")).await);
        }
        let replicas: Vec<_> = targets.iter().map(replica).collect();
        let (from_source, options) =
            (replica(&source), SyncOptions { dataset: Some(dataset.clone()), ..SyncOptions::default() });
        for copied in [SMALL.len() as u64 + 1, 0] {
            let pass = sync(&from_source, &replicas, &options, &cancel, Arc::new(|_| ()));
            let outcome = pass.await.unwrap();
            for target in &outcome.targets {
                assert_eq!((target.copied, target.failed), (copied, 0), "from {from}: {target:?}");
                assert_eq!(target.manifest, outcome.manifest);
            }
            digests.push(outcome.manifest.unwrap());
        }
        for target in &targets {
            assert!(read(&**target, "large.bin").await == content(LARGE, 3));
            let attributes = target.head("large.bin").await.unwrap().attributes;
            assert_eq!(attributes, source.head("large.bin").await.unwrap().attributes, "from {from} {target:?}");
            assert!(keys(&**target, ".skyfleet/parts/").await.is_empty());
            let key = skyfleet_mirror::manifest_key(&name, digests[0]);
            let manifest = skyfleet_mirror::Manifest::parse(&read(&**target, &key).await).unwrap();
            let report = verify(&replica(target), &manifest, Verification::ReadBack, 4, &cancel).await.unwrap();
            assert_eq!((report.verified, report.mismatches), (SMALL.len() as u64 + 1, vec![]));
        }
    }
    // The content is the same, wherever it lies.
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn google_copies_by_itself_what_is_its_own() {
    let google = Cloud::google().await;
    let (source, target) = (google.bucket("source").await, google.bucket("target").await);
    fill(&*source).await;
    let replica = |store: &Arc<dyn ObjectStore>| Replica { store: store.clone(), prefix: String::new() };
    let (from, to, cancel) = (replica(&source), [replica(&target)], CancellationToken::new());
    for (copied, settled) in [(SMALL.len() as u64 + 1, 0), (0, SMALL.len() as u64 + 1)] {
        let report = sync(&from, &to, &SyncOptions::default(), &cancel, Arc::new(|_| ())).await.unwrap();
        let target = &report.targets[0];
        assert_eq!((target.copied, target.settled, report.source_bytes), (copied, settled, 0), "{report:?}");
    }
    for key in SMALL.iter().chain(&["large.bin"]) {
        assert!(read(&*target, key).await == read(&*source, key).await, "{key}");
        let heads = (source.head(key).await.unwrap(), target.head(key).await.unwrap());
        assert_eq!(heads.0.attributes, heads.1.attributes, "{key}");
    }
}
