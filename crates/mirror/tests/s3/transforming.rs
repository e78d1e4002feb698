//! Datasets whose objects are transformed on their way.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::Method;
use skyfleet_e2e::object_store::{Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Deletion, Filter, Manifest, MirrorError, MirrorEvent, MirrorOptions, MirrorReport, MostDeleted, Sha256,
    SourcePublication, StoreErrorKind, TransferLimits, Transforming, manifest_key, mirror,
};
use skyfleet_transform::{
    Condition, Format, Operator, Output, RangeSource, RowLimits, Source, Spec, Step, StepCount, Transform,
};
use tokio_util::sync::CancellationToken;

use crate::faulty::{open, pass};
use crate::support::{dataset, dataset_options};

const LETTERS: &str = ".skyfleet/dead-letters/ml.weights/";

/// Rows above the tenth, as Parquet.
pub(crate) fn spec() -> Spec {
    let above = Condition { column: "id".to_owned(), operator: Operator::Ge, values: vec!["10".to_owned()] };
    let output = Output { format: Some(Format::Parquet), compression: None };
    Spec { steps: vec![Step::Filter(vec![above])], output, ..Spec::default() }
}

pub(crate) fn by(spec: Spec, percent: u8) -> MirrorOptions {
    let transforming = Transforming {
        transform: Arc::new(Transform::new(spec).unwrap()),
        limits: RowLimits { most_rejected_percent: percent },
    };
    let deletion = Deletion::Surplus(MostDeleted::percent(100));
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    MirrorOptions { transforming: Some(transforming), deletion, limits, ..dataset_options() }
}

pub(crate) fn lines(ids: Range<u32>) -> String {
    ids.fold(String::new(), |mut lines, id| {
        writeln!(lines, "{{\"id\":{id},\"name\":\"name {id}\"}}").unwrap();
        lines
    })
}

pub(crate) fn table(ids: Range<u32>) -> String {
    ids.fold("id,name\n".to_owned(), |mut lines, id| {
        writeln!(lines, "{id},name {id}").unwrap();
        lines
    })
}

pub(crate) fn bucket(objects: &[(&str, String)]) -> SimulatedBucket {
    let with = |bucket: SimulatedBucket, (key, text): &(&str, String)| {
        bucket.with([(*key).to_owned()], &Contents::of(text.clone().into()))
    };
    objects.iter().fold(SimulatedBucket::default(), with)
}

pub(crate) async fn server(objects: &[(&str, String)], targets: &[&str]) -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    server.set_bucket("source", bucket(objects));
    for target in targets {
        server.set_bucket(target, SimulatedBucket::default());
    }
    server
}

struct InMemory(Bytes);

impl RangeSource for InMemory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        Ok(self.0.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()))
    }
}

/// The rows of a Parquet object, as JSON Lines.
pub(crate) fn rows_of(bytes: Bytes) -> String {
    let output = Output { format: Some(Format::JsonLines), compression: None };
    let transform = Transform::new(Spec { output, ..Spec::default() }).unwrap();
    let (mut rows, mut none, source) = (Vec::new(), Vec::new(), Source::Ranges(Arc::new(InMemory(bytes))));
    transform.run("a.parquet", source, &mut rows, &mut none, RowLimits::default()).unwrap();
    String::from_utf8(rows).unwrap()
}

/// All rows at a target, by object.
fn held(server: &SimulatedS3, target: &str) -> BTreeMap<String, String> {
    let bucket = server.bucket(target).unwrap();
    assert_eq!(bucket.unfinished().count(), 0, "no upload is left");
    let own = bucket.keys().filter(|key| !key.starts_with(".skyfleet/"));
    own.map(|key| (key.to_owned(), rows_of(bucket.body(key).unwrap()))).collect()
}

fn expected(objects: &[(&str, Range<u32>)]) -> BTreeMap<String, String> {
    objects.iter().map(|(key, ids)| ((*key).to_owned(), lines(ids.clone()))).collect()
}

pub(crate) fn refuse_writes(server: &SimulatedS3) {
    server.script(|asked| if asked.method == "GET" || asked.method == "HEAD" { Fault::None } else { Fault::Broken });
}

fn counts(report: &MirrorReport) -> Vec<(u64, u64, u64)> {
    report.targets.iter().map(|target| (target.copied, target.settled, target.removed)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_is_made_of_another_and_kept_so() {
    let targets = ["one", "two"];
    let objects = [("a.jsonl", lines(0..20)), ("b/c.csv", table(5..15)), ("z.v2.ndjson", lines(0..3))];
    let server = server(&objects, &targets).await;
    let mut options = by(spec(), 0);
    if let Some(dataset) = &mut options.dataset {
        dataset.publish_to_source = true;
    }
    let report = pass(&server, &targets, &options).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let all = expected(&[("a.parquet", 10..20), ("b/c.parquet", 10..15), ("z.v2.parquet", 0..0)]);
    for target in targets {
        assert_eq!(held(&server, target), all);
        let bucket = server.bucket(target).unwrap();
        let manifest = bucket.body(&manifest_key(&dataset(), report.manifest.unwrap())).unwrap();
        for entry in Manifest::parse(&manifest).unwrap().entries() {
            let body = bucket.body(&entry.key).unwrap();
            assert_eq!((body.len() as u64, Sha256::of(&body)), (entry.size, entry.sha256));
        }
    }
    assert_eq!(report.source_publication, SourcePublication::Skipped, "the source does not hold it");
    assert_eq!((report.rows.rows_read, report.rows.rows_written, report.rows.rejected), (33, 15, 0));
    assert_eq!(report.rows.steps, [StepCount { rows_in: 33, rows_out: 15 }]);
    assert!(!server.bucket("source").unwrap().keys().any(|key| key.starts_with(".skyfleet/")), "it is no source's");

    // A settled dataset is not written to, and its rows are known still.
    refuse_writes(&server);
    let again = pass(&server, &targets, &options).await.unwrap();
    assert!(again.is_complete(), "{again:?}");
    assert_eq!((counts(&again), &again.rows, again.manifest), (vec![(0, 3, 0); 2], &report.rows, report.manifest));
    server.script(|_| Fault::None);

    // One object changes, one leaves, one comes.
    server
        .set_bucket("source", bucket(&[("a.jsonl", lines(0..20)), ("b/c.csv", table(5..30)), ("d.csv", table(7..12))]));
    let report = pass(&server, &targets, &options).await.unwrap();
    // That which stayed as it was may have been written anew, as the simulated server sees it.
    let is_right =
        |(copied, settled, removed): &(u64, u64, u64)| *copied >= 2 && copied + settled == 3 && *removed == 1;
    assert!(counts(&report).iter().all(is_right), "{report:?}");
    let all = expected(&[("a.parquet", 10..20), ("b/c.parquet", 10..30), ("d.parquet", 10..12)]);
    assert_eq!((held(&server, "one"), held(&server, "two")), (all.clone(), all));
    assert_eq!(report.rows.rows_written, 32);

    // Another transform makes all of them anew.
    let report = pass(&server, &targets, &by(Spec { steps: vec![], ..spec() }, 0)).await.unwrap();
    assert_eq!((counts(&report), report.rows.rows_written), (vec![(3, 0, 0); 2], 50));
    assert_eq!(held(&server, "one")["d.parquet"], lines(7..12));
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_is_read_here_and_there() {
    let server = server(&[("a.csv", table(0..200_000))], &["one"]).await;
    pass(&server, &["one"], &by(spec(), 0)).await.unwrap();
    let body = server.bucket("one").unwrap().body("a.parquet").unwrap();
    server.set_bucket("source", SimulatedBucket::default().with(["x/a.parquet".to_owned()], &Contents::of(body)));
    server.set_bucket("one", SimulatedBucket::default());
    let output = Output { format: Some(Format::Csv), compression: None };
    let report = pass(&server, &["one"], &by(Spec { output, ..spec() }, 0)).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let made = server.bucket("one").unwrap().body("x/a.csv").unwrap();
    assert!(made == table(10..200_000).as_bytes());
    assert_eq!(report.rows.rows_read, 199_990);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_cannot_be_transformed_lie_beside_the_data() {
    let bad = format!("{}broken\n{}", lines(0..15), lines(15..20));
    let server = server(&[("a.jsonl", bad), ("b.jsonl", lines(0..80))], &["one"]).await;
    // One in 101 is less than one percent.
    let report = pass(&server, &["one"], &by(spec(), 1)).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.rows.rejected, report.rows.rows_read), (1, 101));
    let letters = || server.bucket("one").unwrap().body(&format!("{LETTERS}a.parquet.jsonl"));
    let letter: serde_json::Value = serde_json::from_slice(&letters().unwrap()).unwrap();
    assert_eq!(
        (&letter["object"], &letter["record"], &letter["data"]),
        (&"a.jsonl".into(), &16.into(), &"broken".into())
    );
    assert_eq!(held(&server, "one"), expected(&[("a.parquet", 10..20), ("b.parquet", 10..80)]));

    refuse_writes(&server);
    let again = pass(&server, &["one"], &by(spec(), 1)).await.unwrap();
    assert!(again.is_complete() && again.rows.rejected == 1, "{again:?}");
    server.script(|_| Fault::None);

    // What was made under another limit is not named under this one.
    let error = pass(&server, &["one"], &by(spec(), 0)).await.unwrap_err();
    assert!(matches!(error, MirrorError::TooManyRejected { rejected: 1, percent: 0, .. }), "{error}");

    server.set_bucket("source", bucket(&[("a.jsonl", lines(0..21)), ("b.jsonl", lines(0..80))]));
    let report = pass(&server, &["one"], &by(spec(), 0)).await.unwrap();
    assert!(report.is_complete() && letters().is_none(), "nothing is left of those that were mended: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_bad_records_publish_nothing() {
    let bad = format!("{}broken\n", lines(0..15));
    let server = server(&[("a.jsonl", bad), ("b.jsonl", lines(0..5))], &["one"]).await;
    let manifests = || server.bucket("one").unwrap().keys().filter(|key| key.contains("/manifests/")).count();
    let error = pass(&server, &["one"], &by(spec(), 0)).await.unwrap_err();
    assert!(matches!(error, MirrorError::TooManyRejected { rejected: 1, percent: 0, .. }), "{error}");
    assert!(server.bucket("one").unwrap().body(&format!("{LETTERS}a.parquet.jsonl")).is_some());
    let error = pass(&server, &["one"], &by(spec(), 4)).await.unwrap_err();
    assert_eq!(error, MirrorError::TooManyRejected { rejected: 1, read: 21, percent: 4 });
    assert!(error.to_string().contains("1 of 21 records"), "{error}");
    // To look again costs nothing.
    refuse_writes(&server);
    pass(&server, &["one"], &by(spec(), 4)).await.unwrap_err();
    server.script(|_| Fault::None);
    assert_eq!(manifests(), 0);
    let report = pass(&server, &["one"], &by(spec(), 5)).await.unwrap();
    assert_eq!((counts(&report), manifests()), (vec![(0, 2, 0)], 1), "what was made is not made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_say_nothing_of_their_format_fail_alone() {
    let objects = [("README.md", "# Data\n".to_owned()), ("a.jsonl", lines(0..12)), ("folder/", String::new())];
    let server = server(&objects, &["one"]).await;
    let report = pass(&server, &["one"], &by(spec(), 0)).await.unwrap();
    let failure = &report.failures[0];
    assert_eq!((failure.key.as_str(), &failure.error.kind), ("README.md", &StoreErrorKind::Rejected));
    assert!(failure.error.to_string().contains("leave the object out by a filter"), "{failure}");
    assert_eq!(held(&server, "one"), expected(&[("a.parquet", 10..12)]));
    let filter = Filter::new(&["**/*.jsonl".to_owned()], &[]).unwrap();
    let report = pass(&server, &["one"], &MirrorOptions { filter, ..by(spec(), 0) }).await.unwrap();
    assert!(report.is_complete() && report.manifest.is_some(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_objects_never_become_one() {
    let objects = [("a.csv", table(0..3)), ("a.jsonl", lines(0..3))];
    let server = server(&objects, &["one"]).await;
    let error = pass(&server, &["one"], &by(spec(), 0)).await.unwrap_err().to_string();
    assert!(error.contains("\"a.csv\" and \"a.jsonl\" would both become \"a.parquet\""), "{error}");
    assert!(held(&server, "one").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_change_their_order_are_all_found() {
    // Of these, `x.n.jsonl` comes after `x.jsonl`, and `x.n.parquet` before `x.parquet`.
    let objects = [("x.jsonl", lines(0..11)), ("x.n.jsonl", lines(0..12)), ("y.jsonl", lines(0..13))];
    let server = server(&objects, &["one"]).await;
    let report = pass(&server, &["one"], &by(spec(), 0)).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let all = expected(&[("x.n.parquet", 10..12), ("x.parquet", 10..11), ("y.parquet", 10..13)]);
    assert_eq!(held(&server, "one"), all);
    refuse_writes(&server);
    let again = pass(&server, &["one"], &by(spec(), 0)).await.unwrap();
    assert_eq!(counts(&again), [(0, 3, 0)]);
}

/// Objects of several parts, and many small ones.
async fn large(targets: &[&str]) -> SimulatedS3 {
    let mut objects = vec![("large.jsonl".to_owned(), lines(0..400_000))];
    objects.extend((0..60).map(|number| (format!("small/{number:02}.csv"), table(number..number + 30))));
    let objects: Vec<_> = objects.iter().map(|(key, text)| (key.as_str(), text.clone())).collect();
    server(&objects, targets).await
}

fn to_json() -> MirrorOptions {
    let output = Output { format: Some(Format::JsonLines), compression: None };
    by(Spec { output, ..spec() }, 0)
}

fn assert_made(server: &SimulatedS3, target: &str) {
    let bucket = server.bucket(target).unwrap();
    assert!(bucket.body("large.jsonl").unwrap() == lines(10..400_000).as_bytes(), "of several parts");
    for number in 0..60 {
        let made = bucket.body(&format!("small/{number:02}.jsonl")).unwrap();
        assert!(made == lines(number.max(10)..number + 30).as_bytes(), "{number}");
    }
    assert_eq!(bucket.unfinished().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_now_and_then_the_end_is_right() {
    let targets = ["one", "two"];
    let server = large(&targets).await;
    let count = AtomicU64::new(0);
    server.script(move |asked| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        if !number.is_multiple_of(5) {
            return Fault::None;
        }
        match number / 5 % 7 {
            0 => Fault::Refused(503, "SlowDown"),
            1 => Fault::Refused(500, "InternalError"),
            2 => Fault::Broken,
            3 => Fault::Lost,
            4 => Fault::CutOff(50),
            5 if asked.method == Method::GET && asked.target.contains("/source/") => Fault::Flipped,
            _ => Fault::None,
        }
    });
    let report = pass(&server, &targets, &to_json()).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    for target in targets {
        assert_made(&server, target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_fails_alone() {
    let targets = ["one", "two"];
    let server = large(&targets).await;
    server.script(|asked| {
        let is_data = asked.target.starts_with("/two/large") || asked.target.starts_with("/two/small");
        if is_data && asked.method != Method::GET { Fault::Refused(403, "AccessDenied") } else { Fault::None }
    });
    let report = pass(&server, &targets, &to_json()).await.unwrap();
    assert!(report.targets[0].is_complete() && !report.targets[1].is_complete(), "{report:?}");
    assert_made(&server, "one");
    server.script(|_| Fault::None);
    let report = pass(&server, &targets, &to_json()).await.unwrap();
    assert!(report.is_complete() && report.targets[0].copied == 0, "{report:?}");
    assert_made(&server, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_target_fails_nothing_waits_for_another() {
    let server = large(&["one"]).await;
    server.script(|asked| {
        let is_data = asked.target.starts_with("/one/large") || asked.target.starts_with("/one/small");
        if is_data && asked.method != Method::GET { Fault::Refused(400, "InvalidRequest") } else { Fault::None }
    });
    let report = pass(&server, &["one"], &to_json()).await.unwrap();
    assert_eq!((report.targets[0].failed, report.source_failures), (61, 0), "{report:?}");

    // Dead letters of several parts that nobody takes.
    let bad = "x".repeat(200) + "\n";
    let server = self::server(&[("a.jsonl", lines(0..100_000) + &bad.repeat(40_000))], &["one"]).await;
    server.script(|asked| {
        let is_letter = asked.target.contains("dead-letters") && asked.method != Method::GET;
        if is_letter { Fault::Refused(400, "InvalidRequest") } else { Fault::None }
    });
    let report = pass(&server, &["one"], &by(spec(), 50)).await.unwrap();
    assert_eq!((report.targets[0].failed, report.source_failures), (1, 0), "{report:?}");
    assert!(report.targets[0].failures[0].to_string().contains("dead-letters"), "{report:?}");
    assert_eq!(server.bucket("one").unwrap().unfinished().count(), 0);
    server.script(|_| Fault::None);
    let report = pass(&server, &["one"], &by(spec(), 50)).await.unwrap();
    assert!(report.is_complete() && report.rows.rejected == 40_000, "{report:?}");
    let letters = server.bucket("one").unwrap().body(&format!("{LETTERS}a.parquet.jsonl")).unwrap();
    assert_eq!(std::str::from_utf8(&letters).unwrap().lines().count(), 40_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_is_stopped_leaves_nothing_half_done() {
    let server = large(&["one"]).await;
    let (cancel, sent) = (CancellationToken::new(), AtomicU64::new(0));
    let stop = cancel.clone();
    let told = Arc::new(move |event| {
        if matches!(event, MirrorEvent::Sent { .. }) && sent.fetch_add(1, Ordering::SeqCst) == 20 {
            stop.cancel();
        }
    });
    let (source, target) = (open(&server, "source").await, open(&server, "one").await);
    let stopped = mirror(&source, &[target], &to_json(), &cancel, told).await;
    assert_eq!(stopped, Err(MirrorError::Cancelled));
    assert_eq!(server.bucket("one").unwrap().unfinished().count(), 0);
    let report = pass(&server, &["one"], &to_json()).await.unwrap();
    assert!(report.is_complete() && report.targets[0].settled > 0, "{report:?}");
    assert_made(&server, "one");
}
