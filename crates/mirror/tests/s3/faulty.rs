//! A server that fails in every way a server and the network to it can, on purpose.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use skyfleet_e2e::object_store::{Asked, Contents, Fault, SIMULATED_KEY, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Attributes, ConnectOptions, Deletion, MirrorError, MirrorEvent, MirrorOptions, MirrorReport, MostDeleted,
    ObjectStore, Payload, Replica, RetryPolicy, S3Location, S3Store, TargetError, TransferLimits, mirror,
};
use tokio_util::sync::CancellationToken;

use crate::support::{content, credentials};

const MIB: usize = 1 << 20;

pub(crate) async fn open(server: &SimulatedS3, bucket: &str) -> Replica {
    let location = S3Location::new(Some(server.endpoint()), None, bucket.to_owned(), String::new());
    let retry = RetryPolicy {
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(20),
        budget: Duration::from_secs(2),
    };
    let options = ConnectOptions { retry, ..ConnectOptions::default() };
    let store = S3Store::connect(location, credentials(SIMULATED_KEY.0, SIMULATED_KEY.1), options).await.unwrap();
    Replica { store: Arc::new(store) as Arc<dyn ObjectStore>, prefix: String::new() }
}

pub(crate) async fn pass(
    server: &SimulatedS3,
    targets: &[&str],
    options: &MirrorOptions,
) -> Result<MirrorReport, MirrorError> {
    let mut replicas = Vec::new();
    for target in targets {
        replicas.push(open(server, target).await);
    }
    let cancel = CancellationToken::new();
    let told = Arc::new(|event| {
        if let MirrorEvent::Failed { target, failure } = event {
            eprintln!("{target:?}: {failure:?}");
        }
    });
    mirror(&open(server, "source").await, &replicas, options, &cancel, told).await
}

fn deleting() -> MirrorOptions {
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    MirrorOptions { deletion: Deletion::Surplus(MostDeleted::percent(100)), limits, ..MirrorOptions::default() }
}

/// A server with many small objects and a few in parts, and targets that hold something else.
async fn server(targets: &[&str]) -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    let mut source = SimulatedBucket::default();
    for number in 0..300 {
        let size = if number % 100 == 7 { 12 * MIB + number } else { 100 + number };
        source = source.with([format!("data/{number:03}")], &Contents::of(content(size, number as u64)));
    }
    server.set_bucket("source", source);
    let other = Contents::of(content(100, 1000));
    let stale = SimulatedBucket::default().with((0..20).map(|number| format!("data/old-{number}")), &other);
    let stale = stale.with((0..20).map(|number| format!("data/{number:03}")), &other);
    for target in targets {
        server.set_bucket(target, stale.clone());
    }
    server
}

/// Every object is there byte for byte, nothing else is, and no upload was left.
fn assert_same(server: &SimulatedS3, target: &str) {
    let (source, target) = (server.bucket("source").unwrap(), server.bucket(target).unwrap());
    let own = |key: &&str| !key.starts_with(".skyfleet/");
    assert!(source.keys().eq(target.keys().filter(own)), "other keys");
    for key in source.keys() {
        assert!(source.body(key) == target.body(key), "{key}");
    }
    assert_eq!(target.unfinished().count(), 0);
}

fn is_object(asked: &Asked) -> bool {
    asked.target.contains("/data/")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_now_and_then_the_end_is_right() {
    let server = server(&["one", "two"]).await;
    let count = AtomicU64::new(0);
    server.script(move |asked| {
        // Every fifth request, in turns.
        let number = count.fetch_add(1, Ordering::SeqCst);
        if !number.is_multiple_of(5) {
            return Fault::None;
        }
        match number / 5 % 9 {
            0 => Fault::Refused(503, "SlowDown"),
            1 => Fault::Refused(500, "InternalError"),
            2 => Fault::Broken,
            3 => Fault::Lost,
            4 => Fault::CutOff(50),
            // Of what has no checksum of its own, nobody can tell.
            5 if asked.method == Method::GET && is_object(asked) => Fault::Flipped,
            6 => Fault::Refused(409, "OperationAborted"),
            7 => Fault::Refused(429, "TooManyRequests"),
            8 => Fault::Late(Duration::from_millis(30)),
            _ => Fault::None,
        }
    });
    let report = pass(&server, &["one", "two"], &deleting()).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    for target in ["one", "two"] {
        assert_same(&server, target);
    }
    let again = pass(&server, &["one", "two"], &deleting()).await.unwrap();
    assert!(again.targets.iter().all(|target| (target.settled, target.copied) == (300, 0)), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_no_failure() {
    for lost in ["uploadId=", "uploads=", "/data/1"] {
        let server = server(&["one"]).await;
        let count = AtomicU64::new(0);
        // The first of each kind: what was asked for is done, and asked for again.
        server.script(move |asked| {
            let is_meant = asked.target.contains(lost) && asked.method != Method::GET;
            if is_meant && count.fetch_add(1, Ordering::SeqCst) < 3 { Fault::Lost } else { Fault::None }
        });
        let report = pass(&server, &["one"], &deleting()).await.unwrap();
        assert!(report.is_complete(), "{lost}: {report:?}");
        // An upload that was begun twice, too, of which nobody knows the first one's id.
        assert_same(&server, "one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_pass_has_begun_is_thrown_away() {
    let server = server(&["one"]).await;
    let target = open(&server, "one").await.store;
    let part = content(5 * MIB, 1);
    for key in ["data/007", "data/0077"] {
        let upload = target.create_multipart(key, &Attributes::default()).await.unwrap();
        target.put_part(key, &upload, 1, Payload::checked_by(part.clone(), target.proof().algorithm())).await.unwrap();
    }
    pass(&server, &["one"], &deleting()).await.unwrap();
    let target = server.bucket("one").unwrap();
    assert_eq!(target.unfinished().collect::<Vec<_>>(), ["data/0077"], "that of a key that is none of ours stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_whose_answer_was_lost_is_proven_by_a_look() {
    let server = server(&["one"]).await;
    let seen = Mutex::new(HashSet::new());
    // The first answer of each is lost; the second one says that there is no such upload.
    server.script(move |asked| {
        let is_completion = asked.method == Method::POST && asked.target.contains("uploadId=");
        if is_completion && seen.lock().unwrap().insert(asked.target.clone()) { Fault::Lost } else { Fault::None }
    });
    let report = pass(&server, &["one"], &deleting()).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_same(&server, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_fails_on_any_page_removes_nothing() {
    for (bucket, page) in [("/source/", 0), ("/source/", 1), ("/one/", 0), ("/one/", 1)] {
        let server = SimulatedS3::start().await.unwrap();
        let some = Contents::of(content(10, 1));
        let source = SimulatedBucket::default().with((0..1500).map(|number| format!("data/{number:05}")), &some);
        let target = source.clone().with((0..10).map(|number| format!("surplus/{number}")), &some);
        server.set_bucket("source", source);
        server.set_bucket("one", target);
        server.script(move |asked| {
            let is_page = asked.target.contains("continuation-token") == (page == 1);
            let is_listing = asked.target.starts_with(bucket) && asked.target.contains("list-type=2");
            // That of Skyfleet's own objects is another one.
            let is_meant = is_listing && is_page && !asked.target.contains("prefix=.skyfleet");
            if is_meant { Fault::CutOff(1000) } else { Fault::None }
        });
        let report = pass(&server, &["one"], &deleting()).await;
        match report {
            Err(MirrorError::Source(_)) => assert_eq!(bucket, "/source/"),
            Ok(report) => {
                assert_eq!(bucket, "/one/", "{report:?}");
                assert!(matches!(report.targets[0].error, Some(TargetError::Store(_))), "{report:?}");
                assert_eq!(report.targets[0].removed, 0);
            }
            Err(other) => panic!("{other}"),
        }
        let left = server.bucket("one").unwrap();
        assert_eq!(left.keys().filter(|key| key.starts_with("surplus/")).count(), 10, "{bucket} {page}");
    }
}

/// Whether a request has to do with the checksum that older stores do not know.
fn names_crc64nvme(asked: &Asked) -> bool {
    let is = |value: Option<&http::HeaderValue>| value.is_some_and(|value| value == "CRC64NVME");
    asked.headers.contains_key("x-amz-checksum-crc64nvme") || is(asked.headers.get("x-amz-checksum-algorithm"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_know_the_newest_checksum_is_sent_another() {
    let server = server(&["one"]).await;
    let (sent, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (others, refusals) = (sent.clone(), refused.clone());
    server.script(move |asked| {
        if names_crc64nvme(asked) {
            refusals.fetch_add(1, Ordering::SeqCst);
            return Fault::Refused(501, "NotImplemented");
        }
        others.fetch_add(u64::from(asked.headers.contains_key("x-amz-checksum-sha256")), Ordering::SeqCst);
        Fault::None
    });
    let report = pass(&server, &["one"], &deleting()).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_same(&server, "one");
    // Those that were under way when the first was refused, and what was tried then.
    let (sent, refused) = (sent.load(Ordering::SeqCst), refused.load(Ordering::SeqCst));
    assert!(sent >= 300 && (1..=70).contains(&refused), "{sent} {refused}");
}
