//! Tags travel with their objects; where they cannot, the objects go without, and the report says why.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skyfleet_e2e::object_store::{Asked, Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Attributes, Condition, MirrorOptions, MirrorReport, ObjectStore as _, Payload, StoreErrorKind, Tags, TagsLost,
    TransferLimits, mirror,
};
use tokio_util::sync::CancellationToken;

use crate::faulty::{open, pass};
use crate::support::{Server, content, replica};

const TAGS: &[(&str, &str)] = &[("team", "a b+c/ü"), ("class", "")];

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A small and a large object with tags, and one without.
async fn server() -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    let (small, large) = (content(100, 1), content(12 << 20, 2));
    let source = SimulatedBucket::default()
        .with(["small".to_owned()], &Contents::of(small.clone()).tagged(TAGS))
        .with(["large".to_owned()], &Contents::of(large).tagged(TAGS))
        .with(["plain".to_owned()], &Contents::of(small));
    server.set_bucket("source", source);
    server.set_bucket("target", SimulatedBucket::default());
    server
}

fn in_parts() -> MirrorOptions {
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    MirrorOptions { limits, ..MirrorOptions::default() }
}

async fn copied(server: &SimulatedS3) -> MirrorReport {
    let report = pass(server, &["target"], &in_parts()).await.unwrap();
    assert!(report.is_complete() && report.targets[0].copied == 3, "{report:?}");
    assert_eq!(server.bucket("target").unwrap().keys().filter(|key| !key.starts_with(".skyfleet/state/")).count(), 3);
    report
}

fn writes_tags(asked: &Asked) -> bool {
    asked.headers.contains_key("x-amz-tagging")
}

fn asks_for_tags(asked: &Asked) -> bool {
    asked.method == http::Method::GET && asked.target.ends_with("?tagging=")
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_travel_with_objects_of_any_size_and_cost_the_others_nothing() {
    let server = server().await;
    let questions = Arc::new(AtomicU64::new(0));
    let counted = questions.clone();
    server.script(move |asked| {
        counted.fetch_add(u64::from(asks_for_tags(asked) && asked.target.starts_with("/source/")), Ordering::SeqCst);
        Fault::None
    });
    let report = copied(&server).await;
    assert!(report.targets[0].tags_lost.is_empty() && report.tags_unread.is_none(), "{report:?}");
    let target = server.bucket("target").unwrap();
    for (key, wanted) in [("small", TAGS), ("large", TAGS), ("plain", &[])] {
        assert_eq!(target.tags(key), tags(wanted), "{key}");
    }
    assert_eq!(questions.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_no_tags_gets_the_objects_without() {
    let refused = TagsLost::Refused("s3:PutObjectTagging");
    for (status, code, why) in [(501, "NotImplemented", TagsLost::Unsupported), (403, "AccessDenied", refused)] {
        let server = server().await;
        let attempts = Arc::new(AtomicU64::new(0));
        let counted = attempts.clone();
        server.script(move |asked| {
            if !writes_tags(asked) {
                return Fault::None;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            Fault::Refused(status, code)
        });
        let report = copied(&server).await;
        assert_eq!(report.targets[0].tags_lost, [(why, 2)].into(), "{code}");
        assert_eq!(server.bucket("target").unwrap().tags("small"), Tags::new());
        assert_eq!(attempts.load(Ordering::SeqCst), 1, "{code}: it is tried once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_may_not_be_read_stay_behind() {
    let server = server().await;
    server.script(|asked| {
        let is_refused = asks_for_tags(asked) && asked.target.starts_with("/source/");
        if is_refused { Fault::Refused(403, "AccessDenied") } else { Fault::None }
    });
    let report = copied(&server).await;
    let unread = report.tags_unread.unwrap();
    assert_eq!((unread.objects, &unread.error.kind), (2, &StoreErrorKind::CredentialsRefused));
    assert!(unread.error.to_string().contains("s3:GetObjectTagging"), "{}", unread.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_at_tags_for_a_moment_keeps_them() {
    let server = server().await;
    let count = AtomicU64::new(0);
    server.script(move |asked| {
        let fails =
            (writes_tags(asked) || asks_for_tags(asked)) && count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        if fails { Fault::Refused(500, "InternalError") } else { Fault::None }
    });
    assert!(copied(&server).await.targets[0].tags_lost.is_empty());
    assert_eq!(server.bucket("target").unwrap().tags("large"), tags(TAGS));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_would_refuse_is_left_out_and_said() {
    let server = server().await;
    let source = SimulatedBucket::default();
    let contents = Contents::of(content(10, 1)).tagged(&[("aws:system", "x"), ("team", "a")]);
    server.set_bucket("source", source.with(["one".to_owned()], &contents));
    let report = pass(&server, &["target"], &MirrorOptions::default()).await.unwrap();
    let lost: Vec<_> = report.targets[0].tags_lost.iter().collect();
    assert!(matches!(lost[..], [(TagsLost::Unfit(_), 1)]), "{report:?}");
    assert_eq!(server.bucket("target").unwrap().tags("one"), tags(&[("team", "a")]));
}

/// Garage takes tags without a word, and forgets them.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_store_that_forgets_tags_is_found_out() {
    let (server, garage) = (server().await, Server::start().await);
    let target = garage.bucket("target").await;
    let targets = [replica(&target, "")];
    let cancel = CancellationToken::new();
    let source = open(&server, "source").await;
    let report = mirror(&source, &targets, &in_parts(), &cancel, Arc::new(|_| ())).await.unwrap();
    assert!(report.is_complete() && report.targets[0].copied == 3, "{report:?}");
    assert_eq!(target.contents().await.len(), 3);

    let location = garage.location("target", "");
    let store = skyfleet_mirror::S3Store::connect(location, garage.credentials(), crate::support::quick());
    let store = store.await.unwrap();
    let attributes = Attributes { tags: tags(TAGS), ..Attributes::default() };
    store.put("tagged", &attributes, Payload::of("x"), &Condition::Any).await.unwrap();
    assert_eq!(store.tags_lost(&attributes.tags), Some(TagsLost::Unsupported));
    assert_eq!(store.tags_lost(&Tags::new()), None);
    assert_eq!(store.head("tagged").await.unwrap().tag_count, 0);
}
