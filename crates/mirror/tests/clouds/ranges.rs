//! Ranges of keys, in stores that begin a listing in the middle and in ones that cannot.

use std::sync::Arc;

use skyfleet_mirror::{
    Dataset, DatasetName, HandOver, KeyRange, LocalStore, MirrorOptions, ObjectStore, Portion, Replica, forget_work,
    mirror, mirror_range,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Cloud, clouds, keys, put};

const KEYS: [&str; 13] = ["a", "a b", "a+b", "a-1", "a.1", "a/1", "a/2", "a0", "b%20", "b&c", "ç", "é/é", "日本"];

/// Each key is in one range, and a pass that may copy nothing takes all of it over.
async fn assert_in_ranges(source: Arc<dyn ObjectStore>, target: Arc<dyn ObjectStore>, keys_there: &[&str]) {
    for key in keys_there {
        put(&*source, &format!("in/{key}"), &(*key).to_owned().into()).await;
    }
    let name = DatasetName::new("ml", "weights").unwrap();
    let dataset = Some(Dataset { name: name.clone(), publish_to_source: false });
    let options = MirrorOptions { dataset, ..MirrorOptions::default() };
    let (source, target) =
        (Replica { store: source, prefix: "in/".to_owned() }, Replica { store: target, prefix: "out/".to_owned() });
    let (targets, cancel) = ([target.clone()], CancellationToken::new());
    let bounds = [None, Some("a+b"), Some("a/1"), Some("b"), Some("é"), None].map(|key| key.map(str::to_owned));
    let mut copied = 0;
    for (unit, bounds) in (0..).zip(bounds.windows(2)) {
        let range = KeyRange { after: bounds[0].clone(), last: bounds[1].clone() };
        let expected = keys_there.iter().filter(|key| range.holds(key)).count() as u64;
        let portion = Portion { range, work: "work".to_owned(), unit, worker: 0 };
        let report = mirror_range(&source, &targets, (&options, &portion), &cancel, Arc::new(|_| ())).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        assert_eq!((report.compared, report.targets[0].copied), (expected, expected), "{:?}", portion.range);
        copied += report.targets[0].copied;
    }
    assert_eq!(copied, keys_there.len() as u64);
    let adopts = Some("work".to_owned());
    let adopting = MirrorOptions { adopts, hand_over: Some(HandOver::default()), ..options };
    let report = mirror(&source, &targets, &adopting, &cancel, Arc::new(|_| ())).await.unwrap();
    assert!(report.is_complete() && report.manifest.is_some(), "{report:?}");
    assert_eq!(report.targets[0].settled, copied);
    forget_work(&target, &name, "work").await.unwrap();
    assert_eq!(keys(&*target.store, ".skyfleet/work/").await, [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_is_in_one_range() {
    for cloud in clouds().await {
        assert_in_ranges(cloud.bucket("source").await, cloud.bucket("target").await, &KEYS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_begins_in_the_middle_too() {
    let (folder, cloud) = (tempfile::tempdir().unwrap(), Cloud::azure().await);
    let held: Vec<_> = KEYS.into_iter().filter(|key| *key != "a").collect();
    let source = Arc::new(LocalStore::open(folder.path()).unwrap());
    assert_in_ranges(source, cloud.bucket("target").await, &held).await;
}
