//! What lies beside manifests and tells where the data came from.

use futures::TryStreamExt as _;
use skyfleet_e2e::object_store::{Fault, SimulatedS3};
use skyfleet_mirror::{
    HowMade, ManifestDigest, ObjectSummary, ProvenanceDocument, ProvenanceEntry, ProvenanceStep, Replica, Sha256, list,
    provenance_key, read_provenance,
};
use tokio_util::sync::CancellationToken;

use crate::faulty::{open, pass};
use crate::support::{dataset, dataset_options};
use crate::transforming::{bucket, by, lines, refuse_writes, rows_of, server, spec, table};

/// What lies there beside the manifest of a version.
async fn provenance(server: &SimulatedS3, target: &str, digest: ManifestDigest) -> ProvenanceDocument {
    let replica = open(server, target).await;
    read_provenance(&replica, &dataset(), digest, |_| true, &CancellationToken::new()).await.unwrap()
}

async fn list_all(replica: &Replica) -> Vec<ObjectSummary> {
    list(&*replica.store, "").try_collect().await.unwrap()
}

/// Compares each line with the objects that it is about.
fn assert_true_of_the_objects(server: &SimulatedS3, target: &str, objects: &[ProvenanceEntry]) {
    let (source, target) = (server.bucket("source").unwrap(), server.bucket(target).unwrap());
    for object in objects {
        let (from, body) = (source.body(&object.source.key).unwrap(), target.body(&object.key).unwrap());
        assert_eq!((object.bytes, object.sha256), (body.len() as u64, Sha256::of(&body)));
        assert_eq!((object.source.bytes, object.source.sha256), (from.len() as u64, Some(Sha256::of(&from))));
        let rows = rows_of(body).lines().count() as u64;
        assert_eq!((object.rows.written, object.rows.steps[0].rows_out), (rows, rows));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_says_what_it_was_made_of() {
    let bad = format!("{}broken\n", lines(0..20));
    let objects = [("a.jsonl", bad), ("b/c.csv", table(5..105)), ("z.v2.ndjson", lines(0..3))];
    let server = server(&objects, &["one"]).await;
    let options = by(spec(), 1);
    let begun = jiff::Timestamp::now();
    let report = pass(&server, &["one"], &options).await.unwrap();
    let digest = report.manifest.unwrap();
    let ProvenanceDocument { version, objects } = provenance(&server, "one", digest).await;
    assert_true_of_the_objects(&server, "one", &objects);
    let keys: Vec<_> = objects.iter().map(|object| (object.key.as_str(), object.source.key.as_str())).collect();
    assert_eq!(keys, [("a.parquet", "a.jsonl"), ("b/c.parquet", "b/c.csv"), ("z.v2.parquet", "z.v2.ndjson")]);
    let listed = list_all(&open(&server, "source").await).await;
    for (object, listed) in objects.iter().zip(&listed) {
        let found = (&object.source.etag, object.source.modified.as_second());
        assert_eq!(found, (&listed.etag, listed.modified));
    }
    let source = open(&server, "source").await.store.place().clone();
    assert_eq!((&*version.source.endpoint, &*version.source.bucket), (&*source.endpoint, "source"));
    assert_eq!((&version.dataset, version.manifest, version.objects), (&dataset(), digest, 3));
    assert!((begun..=jiff::Timestamp::now()).contains(&version.published), "{version:?}");
    let sum = |bytes: fn(&ProvenanceEntry) -> u64| objects.iter().map(bytes).sum::<u64>();
    assert_eq!((version.bytes_in, version.bytes_out), (sum(|object| object.source.bytes), sum(|object| object.bytes)));
    let HowMade::Transformed(transform) = &version.made else { panic!("{version:?}") };
    let digest_of = options.transforming.as_ref().unwrap().transform.digest();
    assert_eq!((transform.digest.as_str(), &transform.steps), (digest_of, &vec!["Filter".to_owned()]));
    let rows = &transform.rows;
    assert_eq!((rows.read, rows.rejected, rows.written), (124, 1, 105));
    assert_eq!(rows.steps, [ProvenanceStep { rows_in: 123, rows_out: 105 }]);
    assert_eq!((objects[0].rows.read, objects[0].rows.rejected), (21, 1));

    // A settled dataset is not written to; what an older Skyfleet has not written, is.
    refuse_writes(&server);
    assert!(pass(&server, &["one"], &options).await.unwrap().is_complete());
    server.script(|_| Fault::None);
    let key = provenance_key(&dataset(), digest);
    open(&server, "one").await.store.delete(&key).await.unwrap();
    assert!(pass(&server, &["one"], &options).await.unwrap().is_complete());
    assert_eq!(provenance(&server, "one", digest).await.objects, objects);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_version_made_of_something_else_says_so() {
    let server = server(&[("a.jsonl", lines(0..20))], &["one"]).await;
    let first = pass(&server, &["one"], &by(spec(), 0)).await.unwrap().manifest.unwrap();
    // Of what differs nothing gets through.
    server.set_bucket("source", bucket(&[("a.jsonl", lines(5..20))]));
    let second = pass(&server, &["one"], &by(spec(), 0)).await.unwrap().manifest.unwrap();
    assert_eq!(first, second);
    let objects = provenance(&server, "one", second).await.objects;
    assert_true_of_the_objects(&server, "one", &objects);
    assert_eq!(objects[0].rows.read, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tells_of_a_version_stays_as_long_as_it() {
    let server = server(&[], &["one"]).await;
    for version in 11..18 {
        server.set_bucket("source", bucket(&[("a.jsonl", lines(0..version))]));
        assert!(pass(&server, &["one"], &by(spec(), 0)).await.unwrap().is_complete());
    }
    let names = |folder: &str| {
        let bucket = server.bucket("one").unwrap();
        let folder = format!(".skyfleet/{folder}/ml.weights/");
        bucket.keys().filter_map(|key| key.strip_prefix(&folder).map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!((names("provenance").len(), names("provenance")), (5, names("manifests")));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_copies_only_the_source_is_told() {
    let server = server(&[("a", "one".to_owned()), ("b", "two".to_owned())], &["one"]).await;
    let mut options = dataset_options();
    if let Some(dataset) = &mut options.dataset {
        dataset.publish_to_source = true;
    }
    let digest = pass(&server, &["one"], &options).await.unwrap().manifest.unwrap();
    for place in ["one", "source"] {
        let ProvenanceDocument { version, objects } = provenance(&server, place, digest).await;
        assert_eq!((&version.made, &*version.source.bucket), (&HowMade::Copied, "source"));
        assert_eq!((version.objects, version.bytes_in, version.bytes_out, objects), (2, 6, 6, vec![]));
    }
    refuse_writes(&server);
    assert!(pass(&server, &["one"], &options).await.unwrap().is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_named_that_nothing_tells_of() {
    let server = server(&[("a.jsonl", lines(0..20))], &["one"]).await;
    server.script(|asked| {
        let is_refused = asked.method != "GET" && asked.target.contains("/provenance/");
        if is_refused { Fault::Refused(403, "AccessDenied") } else { Fault::None }
    });
    let report = pass(&server, &["one"], &by(spec(), 0)).await.unwrap();
    assert!(report.manifest.is_none() && !report.is_complete(), "{report:?}");
    assert!(!server.bucket("one").unwrap().keys().any(|key| key.contains("/manifests/")));
    server.script(|_| Fault::None);
    assert!(pass(&server, &["one"], &by(spec(), 0)).await.unwrap().manifest.is_some());
}
