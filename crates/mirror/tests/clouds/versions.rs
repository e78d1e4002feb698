//! Older versions of a dataset stay in each cloud, whoever puts away what they name: the store, or we.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use skyfleet_mirror::{
    Dataset, DatasetName, Deletion, FetchRequest, ManifestDigest, MirrorOptions, MostDeleted, ObjectStore, Replica,
    Retention, Sha256, TransferLimits, fetch, kept_key, list, mirror,
};
use tokio_util::sync::CancellationToken;

use crate::support::{clouds, content, keys, put, read};

const MIB: usize = 1 << 20;

type Files = BTreeMap<&'static str, Bytes>;

fn versions() -> [Files; 3] {
    let small = |text: &'static str| Bytes::from_static(text.as_bytes());
    let first = Files::from([("a", small("a1")), ("b/b", small("b1")), ("large", content(9 * MIB, 1))]);
    let mut second = first.clone();
    second.extend([("a", small("a2")), ("large", content(9 * MIB, 2))]);
    let mut third = second.clone();
    third.remove("b/b");
    third.insert("c", small("b1"));
    [first, second, third]
}

async fn assert_loads(replica: &Replica, dataset: &DatasetName, digest: ManifestDigest, files: &Files) {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().to_owned();
    let (dataset, path) = (dataset.clone(), String::new());
    let request = FetchRequest { dataset, digest, path, into: into.clone(), concurrency: 4 };
    let outcome = fetch(replica, &request, &CancellationToken::new(), |_| ()).await.unwrap();
    assert_eq!(outcome.files, files.len() as u64);
    for (key, body) in files {
        assert!(std::fs::read(into.join(key)).unwrap() == *body, "{key} {:?}", replica.store);
    }
}

/// What is put away there, whole.
async fn kept(store: &dyn ObjectStore) -> BTreeSet<Sha256> {
    let mut found = BTreeSet::new();
    for key in keys(store, ".skyfleet/objects/").await {
        let content = Sha256::of(&read(store, &key).await);
        assert!(key.ends_with(&content.to_string()), "{key}");
        found.insert(content);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_is_loaded_as_it_was() {
    let name = DatasetName::new("ml", "weights").unwrap();
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    let options = |newest| MirrorOptions {
        dataset: Some(Dataset { name: name.clone(), publish_to_source: false }),
        versions: Some(Retention { newest, ..Retention::only_the_newest() }),
        deletion: Deletion::Surplus(MostDeleted::percent(100)),
        limits,
        ..MirrorOptions::default()
    };
    for cloud in clouds().await {
        let (source, target) = (cloud.bucket("source").await, cloud.bucket("target").await);
        let replica = |store: &Arc<dyn ObjectStore>| Replica { store: store.clone(), prefix: "below/".to_owned() };
        let (from, to, cancel) = (replica(&source), [replica(&target)], CancellationToken::new());
        let mut published: Vec<(ManifestDigest, Files)> = Vec::new();
        for files in versions() {
            for (key, body) in &files {
                if published.last().is_none_or(|(_, held)| held.get(key) != Some(body)) {
                    put(&*source, &format!("below/{key}"), body).await;
                }
            }
            for key in published.last().iter().flat_map(|(_, held)| held.keys()).filter(|key| !files.contains_key(*key))
            {
                source.delete(&format!("below/{key}")).await.unwrap();
            }
            let report = mirror(&from, &to, &options(2), &cancel, Arc::new(|_| ())).await.unwrap();
            assert!(report.is_complete(), "{report:?}");
            published.push((report.manifest.unwrap(), files));
            for (digest, files) in published.iter().rev().take(2) {
                assert_loads(&to[0], &name, *digest, files).await;
            }
        }
        // Of the second version only that is gone which was removed: it was put away.
        let b1 = Sha256::of(b"b1");
        assert_eq!(kept(&*target).await, [b1].into(), "{target:?}");
        assert_eq!(keys(&*target, ".skyfleet/manifests/").await.len(), 2);

        let before: Vec<_> = list(&*target, "").try_collect().await.unwrap();
        let settled = mirror(&from, &to, &options(2), &cancel, Arc::new(|_| ())).await.unwrap();
        assert_eq!(settled.targets[0].versions.len(), 2);
        let after: Vec<_> = list(&*target, "").try_collect().await.unwrap();
        assert!(before == after, "nothing was written");

        mirror(&from, &to, &options(1), &cancel, Arc::new(|_| ())).await.unwrap();
        assert!(target.head(&kept_key(&name, b1)).await.is_err());
        assert_eq!(keys(&*target, ".skyfleet/manifests/").await.len(), 1);
        assert_loads(&to[0], &name, published[2].0, &published[2].1).await;
    }
}
