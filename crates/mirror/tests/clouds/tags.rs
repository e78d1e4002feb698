//! Tags go to where there are tags; elsewhere the report names what was lost.

use std::sync::Arc;

use skyfleet_mirror::{
    Attributes, Condition, MirrorOptions, MirrorReport, ObjectStore, Payload, Replica, Tags, TagsLost, TransferLimits,
    mirror,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Cloud, content};

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn run(source: &Arc<dyn ObjectStore>, targets: &[&Arc<dyn ObjectStore>]) -> MirrorReport {
    let replica = |store: &Arc<dyn ObjectStore>| Replica { store: store.clone(), prefix: String::new() };
    let targets: Vec<_> = targets.iter().map(|target| replica(target)).collect();
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    let options = MirrorOptions { limits, ..MirrorOptions::default() };
    mirror(&replica(source), &targets, &options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_blobs_travel_and_what_has_none_says_so() {
    let (azure, google) = (Cloud::azure().await, Cloud::google().await);
    let (source, target) = (azure.bucket("source").await, azure.bucket("target").await);
    let other = google.bucket("target").await;
    let wanted = tags(&[("team", "a b+c/d"), ("class", ""), ("x:y=z", "1")]);
    let attributes = Attributes { tags: wanted.clone(), ..Attributes::default() };
    for (key, size) in [("small", 100), ("large", 12 << 20)] {
        source.put(key, &attributes, Payload::of(content(size, 1)), &Condition::Any).await.unwrap();
        assert_eq!(source.head(key).await.unwrap().tag_count, 3, "{key}");
        assert_eq!(source.tags(key).await.unwrap(), wanted);
    }
    source.put("plain", &Attributes::default(), Payload::of(content(10, 1)), &Condition::Any).await.unwrap();

    let report = run(&source, &[&target, &other]).await;
    assert!(report.is_complete() && report.targets.iter().all(|target| target.copied == 3), "{report:?}");
    assert!(report.targets[0].tags_lost.is_empty(), "{report:?}");
    assert_eq!(report.targets[1].tags_lost, [(TagsLost::Unsupported, 2)].into());
    for (key, wanted) in [("small", &wanted), ("large", &wanted), ("plain", &Tags::new())] {
        assert_eq!(target.tags(key).await.unwrap(), *wanted, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_azure_has_no_form_for_are_left_out() {
    let azure = Cloud::azure().await;
    let store = azure.bucket("bucket").await;
    let given = tags(&[("team", "größe"), ("class", "x")]);
    let attributes = Attributes { tags: given.clone(), ..Attributes::default() };
    store.put("key", &attributes, Payload::of("x"), &Condition::Any).await.unwrap();
    assert_eq!(store.tags("key").await.unwrap(), tags(&[("class", "x")]));
    assert!(matches!(store.tags_lost(&given), Some(TagsLost::Unfit(_))));
    assert_eq!(store.tags_lost(&tags(&[("class", "x")])), None);
}
