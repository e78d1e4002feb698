//! One version of a dataset as the source of another, whatever the bucket holds by now.

use std::sync::{Arc, Mutex};

use skyfleet_e2e::object_store::{Contents, Fault, SimulatedS3};
use skyfleet_mirror::{
    DatasetName, HandOver, KeyRange, ManifestDigest, MirrorEvent, MirrorOptions, MirrorReport, Portion, Replica,
    Sha256, StoreErrorKind, kept_key, mirror, mirror_range, open_version,
};
use tokio_util::sync::CancellationToken;

use crate::faulty::open;
use crate::support::dataset;
use crate::transforming::refuse_writes;
use crate::versions::{bring, deleting, digest, keeping, newest, publish, server, three};

fn downstream() -> DatasetName {
    "team.downstream".parse().unwrap()
}

fn options() -> MirrorOptions {
    let mut options = deleting(keeping(newest(3)));
    options.dataset.as_mut().unwrap().name = downstream();
    options
}

async fn version(server: &SimulatedS3, of: ManifestDigest, within: &str) -> Replica {
    let replica = open(server, "one").await;
    open_version(&replica, (&dataset(), of), within, &CancellationToken::new()).await.unwrap()
}

async fn pass_from(source: &Replica, server: &SimulatedS3, options: &MirrorOptions) -> MirrorReport {
    let targets = [open(server, "two").await];
    mirror(source, &targets, options, &CancellationToken::new(), Arc::new(|_| {})).await.unwrap()
}

#[tokio::test]
async fn a_version_that_is_gone_by_now_is_mirrored_byte_for_byte() {
    let server = server(&["one", "two"]).await;
    let all = three();
    for files in &all {
        publish(&server, files, &deleting(keeping(newest(3)))).await;
    }
    for files in [&all[0], &all[2], &all[1]] {
        let source = version(&server, digest(files), "").await;
        let report = pass_from(&source, &server, &options()).await;
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.manifest, Some(digest(files)), "the same content, so the same digest");
        let bucket = server.bucket("two").unwrap();
        let held = bucket.keys().filter(|key| !key.starts_with(".skyfleet/"));
        assert!(held.eq(files.keys().map(String::as_str)));
        assert!(files.iter().all(|(key, body)| bucket.body(key).as_ref() == Some(body)));
        // A pass that finds nothing to do writes nothing.
        refuse_writes(&server);
        let settled = pass_from(&version(&server, digest(files), "").await, &server, &options()).await;
        assert_eq!((settled.targets[0].copied, settled.manifest), (0, Some(digest(files))));
        server.script(|_| Fault::None);
    }
    // What both versions have is not copied again.
    let report = pass_from(&version(&server, digest(&all[2]), "").await, &server, &options()).await;
    assert_eq!(report.targets[0].copied, 3, "a, b and d/twin: {report:?}");
    let upstream = open(&server, "one").await;
    assert!(bring(&upstream, digest(&all[0])).await.unwrap() == all[0], "and what was read stays as it is");
}

#[tokio::test]
async fn a_part_of_a_version_is_mirrored_and_ranges_of_it() {
    let server = server(&["one", "two"]).await;
    let all = three();
    for files in &all[..2] {
        publish(&server, files, &deleting(keeping(newest(2)))).await;
    }
    let part = version(&server, digest(&all[0]), "d/").await;
    let report = pass_from(&part, &server, &options()).await;
    assert_eq!((report.compared, report.targets[0].copied), (2, 2), "{report:?}");
    let bucket = server.bucket("two").unwrap();
    let keys: Vec<_> = bucket.keys().filter(|key| !key.starts_with(".skyfleet/")).collect();
    assert_eq!(keys, ["same", "twin"]);

    let whole = version(&server, digest(&all[0]), "").await;
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = told.clone();
    let hear = Arc::new(move |event| {
        if let MirrorEvent::HandedOver { key, .. } = event {
            heard.lock().unwrap().push(key);
        }
    });
    let targets = [Replica { prefix: "whole/".to_owned(), ..open(&server, "two").await }];
    let handing_over = MirrorOptions { hand_over: Some(HandOver::default()), ..options() };
    mirror(&whole, &targets, &handing_over, &CancellationToken::new(), hear).await.unwrap();
    assert!(told.lock().unwrap().iter().eq(all[0].keys()));
    for (unit, (after, last)) in [(None, Some("c")), (Some("c"), None)].into_iter().enumerate() {
        let range = KeyRange { after: after.map(str::to_owned), last: last.map(str::to_owned) };
        let portion = Portion { range, work: "w".to_owned(), unit: u32::try_from(unit).unwrap(), worker: 0 };
        let cancel = CancellationToken::new();
        let report = mirror_range(&whole, &targets, (&options(), &portion), &cancel, Arc::new(|_| {})).await.unwrap();
        assert!(report.is_complete() && report.targets[0].copied > 0, "{report:?}");
    }
    let adopting = MirrorOptions { adopts: Some("w".to_owned()), ..handing_over };
    let report = mirror(&whole, &targets, &adopting, &CancellationToken::new(), Arc::new(|_| {})).await.unwrap();
    assert_eq!((report.targets[0].copied, report.manifest), (0, Some(digest(&all[0]))));
}

#[tokio::test]
async fn what_a_version_has_lost_is_never_left_out() {
    let server = server(&["one", "two"]).await;
    let all = three();
    for files in &all[..2] {
        publish(&server, files, &deleting(keeping(newest(2)))).await;
    }
    let upstream = open(&server, "one").await;
    let cancel = CancellationToken::new();
    let unknown = open_version(&upstream, (&dataset(), digest(&all[2])), "", &cancel).await.unwrap_err();
    assert_eq!(unknown.kind, StoreErrorKind::NotFound);
    // Another program removes what was put away of one object, and overwrites another one that both versions have.
    let mut bucket = server.bucket("one").unwrap();
    let lost = kept_key(&dataset(), Sha256::of(&all[0]["b"]));
    assert!(bucket.keys().any(|key| key == lost));
    bucket = bucket.without(&[lost]).with(["d/same".to_owned()], &Contents::of("evil".into()));
    server.set_bucket("one", bucket);
    let report = pass_from(&version(&server, digest(&all[0]), "").await, &server, &options()).await;
    assert_eq!((report.source_failures, report.manifest), (2, None), "{report:?}");
    let failed = |key: &str| {
        let failure = report.failures.iter().find(|failure| failure.key == key).unwrap();
        failure.error.to_string()
    };
    assert!(failed("b").contains("is not there any more"), "{report:?}");
    assert!(failed("d/same").contains("checksum"), "{report:?}");
    let held = server.bucket("two").unwrap();
    assert!(held.body("b").is_none() && held.body("d/same").is_none());
}
