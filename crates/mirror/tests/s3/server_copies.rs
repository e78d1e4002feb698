//! Within one service the store copies by itself, and nothing is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt as _;
use skyfleet_e2e::object_store::{Access, Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Attributes, ByteRange, Condition, ConnectOptions, Credentials, MirrorOptions, MirrorReport, ObjectStore, Payload,
    Replica, S3Store, TransferLimits, Verification, list, mirror,
};
use tokio_util::sync::CancellationToken;

use crate::faulty::pass;
use crate::support::{Server, content, credentials, put_in_parts, quick};

async fn open(server: &Server, bucket: &str, prefix: &str, by: Credentials) -> Replica {
    open_with(quick(), server, bucket, prefix, by).await
}

async fn open_with(options: ConnectOptions, server: &Server, bucket: &str, prefix: &str, by: Credentials) -> Replica {
    let store = S3Store::connect(server.location(bucket, prefix), by, options).await.unwrap();
    Replica { store: Arc::new(store), prefix: String::new() }
}

fn in_parts() -> MirrorOptions {
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    MirrorOptions { limits, ..MirrorOptions::default() }
}

async fn run(source: &Replica, target: &Replica, options: &MirrorOptions) -> MirrorReport {
    let targets = [target.clone()];
    let report = mirror(source, &targets, options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    report
}

async fn read(store: &dyn ObjectStore, key: &str) -> Vec<u8> {
    let (_, body) = store.get(key, ByteRange::ALL, None).await.unwrap();
    body.try_fold(Vec::new(), async |mut all, chunk| {
        all.extend_from_slice(&chunk);
        Ok(all)
    })
    .await
    .unwrap()
}

const KEYS: [&str; 5] = ["plain", "a//b +c%2F", "é?x=1", "folder/", "large"];

/// A source with odd keys, attributes, and an object in parts.
async fn filled(server: &Server) -> Replica {
    server.bucket("source").await;
    let source = open(server, "source", "from/", server.credentials()).await;
    let attributes = Attributes {
        content_type: Some("text/x-test".to_owned()),
        metadata: [("name".to_owned(), "value".to_owned())].into(),
        ..Attributes::default()
    };
    for key in KEYS {
        let size = if key == "large" { 12 << 20 } else { 100 };
        let payload = Payload::of(content(size, 1));
        source.store.put(key, &attributes, payload, &Condition::Any).await.unwrap();
    }
    source
}

async fn assert_same(source: &Replica, target: &Replica) {
    let keys: Vec<_> = list(&*target.store, "").map_ok(|object| object.key).try_collect().await.unwrap();
    for key in KEYS {
        assert!(keys.contains(&key.to_owned()), "{keys:?}");
        assert!(read(&*source.store, key).await == read(&*target.store, key).await, "{key}");
        let heads = (source.store.head(key).await.unwrap(), target.store.head(key).await.unwrap());
        assert_eq!(heads.0.attributes, heads.1.attributes, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_within_one_service() {
    let server = Server::start().await;
    let source = filled(&server).await;
    server.bucket("target").await;
    let target = open(&server, "target", "to/", server.credentials()).await;
    let report = run(&source, &target, &in_parts()).await;
    assert_eq!((report.targets[0].copied, report.source_bytes), (5, 0), "{report:?}");
    assert_same(&source, &target).await;
    assert_eq!(run(&source, &target, &in_parts()).await.targets[0].settled, 5);

    let (key, changed, nothing) = ("plain", content(100, 2), Attributes::default());
    source.store.put(key, &nothing, Payload::of(changed.clone()), &Condition::Any).await.unwrap();
    let report = run(&source, &target, &in_parts()).await;
    assert_eq!((report.targets[0].copied, report.source_bytes), (1, 0), "{report:?}");
    assert!(read(&*target.store, key).await == changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_one_request_is_copied_in_parts() {
    let server = Server::start().await;
    let source = filled(&server).await;
    let large = content(12 << 20, 3);
    put_in_parts(&*source.store, "large", &Attributes::default(), &large).await;
    server.bucket("target").await;
    let options = ConnectOptions { largest_copy: 6 << 20, ..quick() };
    let target = open_with(options, &server, "target", "to/", server.credentials()).await;
    let report = run(&source, &target, &in_parts()).await;
    assert_eq!((report.targets[0].copied, report.source_bytes), (5, 0), "{report:?}");
    assert_same(&source, &target).await;
    // The cut is the same, so the listings tell that nothing is to do.
    assert_eq!(run(&source, &target, &in_parts()).await.targets[0].settled, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_read_back_is_read() {
    let server = Server::start().await;
    let source = filled(&server).await;
    server.bucket("target").await;
    let target = open(&server, "target", "", server.credentials()).await;
    let options = MirrorOptions { verification: Verification::ReadBack, ..in_parts() };
    assert!(run(&source, &target, &options).await.source_bytes > 12 << 20);
    assert_same(&source, &target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_may_not_read_the_source_is_written() {
    let server = Server::start().await;
    let source = filled(&server).await;
    server.bucket("target").await;
    let (key, secret) = (format!("GK{:024x}", 7), format!("{:064x}", 7));
    server.running.store.grant(&key, &secret, "target", Access::ReadWrite).await.unwrap();
    let target = open(&server, "target", "", credentials(&key, &secret)).await;
    let report = run(&source, &target, &in_parts()).await;
    assert_eq!((report.targets[0].copied, report.source_bytes), (5, (12 << 20) + 400), "{report:?}");
    assert_same(&source, &target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_copy_is_soon_asked_no_more() {
    let server = SimulatedS3::start().await.unwrap();
    let contents = Contents::of(content(100, 1));
    server.set_bucket("source", SimulatedBucket::default().with((0..300).map(|number| number.to_string()), &contents));
    server.set_bucket("target", SimulatedBucket::default());
    let asked = Arc::new(AtomicU64::new(0));
    let counted = asked.clone();
    server.script(move |request| {
        counted.fetch_add(u64::from(request.headers.contains_key("x-amz-copy-source")), Ordering::SeqCst);
        Fault::None
    });
    let report = pass(&server, &["target"], &MirrorOptions::default()).await.unwrap();
    assert!(report.is_complete() && report.targets[0].copied == 300, "{report:?}");
    // Those that were under way, too.
    let asked = asked.load(Ordering::SeqCst);
    assert!((8..8 + 64).contains(&asked), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_none_is_found_and_written_over() {
    let server = SimulatedS3::start().await.unwrap();
    let (contents, wrong) = (content(100, 1), Contents::of(content(100, 2)));
    let source =
        SimulatedBucket::default().with((0..20).map(|number| number.to_string()), &Contents::of(contents.clone()));
    server.set_bucket("source", source);
    server.set_bucket("target", SimulatedBucket::copying_as(&wrong));
    let report = pass(&server, &["target"], &MirrorOptions::default()).await.unwrap();
    assert!(report.is_complete() && report.targets[0].copied == 20, "{report:?}");
    assert_eq!(report.source_bytes, 20 * 100, "{report:?}");
    let target = server.bucket("target").unwrap();
    assert!((0..20).all(|number| target.body(&number.to_string()).unwrap() == contents));
}
