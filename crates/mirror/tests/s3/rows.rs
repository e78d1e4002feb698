//! Datasets that are split over several targets by the rows of their objects.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::Method;
use skyfleet_e2e::object_store::{Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Attributes, Bounds, Condition, Deletion, FetchRequest, HowMade, InvalidSharding, JoinOutcome, Manifest,
    MirrorError, MirrorOptions, MirrorReport, MostDeleted, ObjectStore as _, Payload, Pieces, ShardBy, ShardIndex,
    Sharding, StoreErrorKind, fetch, manifest_key, read_manifest, read_provenance, read_shard_index, shard_index_key,
};
use skyfleet_transform::{Format, Output, PieceName, RowLimits, Source, Spec, Step, Transform};
use tokio_util::sync::CancellationToken;

use crate::faulty::{open, pass};
use crate::sharding::{ALL, sharding};
use crate::support::{Call, Reaction, Server, Watched, content, dataset, dataset_options, pass_with};
use crate::transforming::{by, lines, refuse_writes, rows_of, table};

const TARGETS: [&str; 3] = ["one", "two", "three"];
const PIECE: u64 = 3000;

fn split(by: ShardBy, targets: &[&str], piece_size: u64) -> Sharding {
    Sharding { piece_size: NonZeroU64::new(piece_size), ..sharding(by, targets) }
}

/// With what is not to be there removed, where nothing is lost by it.
fn options(by: ShardBy, targets: &[&str]) -> MirrorOptions {
    let deletion = Deletion::Surplus(MostDeleted::percent(0));
    MirrorOptions { deletion, sharding: Some(split(by, targets, PIECE)), ..dataset_options() }
}

fn parquet(text: &str) -> Bytes {
    let output = Output { format: Some(Format::Parquet), compression: None };
    let transform = Transform::new(Spec { output, ..Spec::default() }).unwrap();
    let source = Source::Stream(Box::new(std::io::Cursor::new(text.to_owned().into_bytes())));
    let mut made = Vec::new();
    transform.run("a.csv", source, &mut made, &mut Vec::new(), RowLimits::default()).unwrap();
    made.into()
}

/// CSV with all that is hard about it.
fn hard_table() -> String {
    let row = |id: u32| match id % 4 {
        0 => format!("{id},\"a \"\"quoted\"\"\r\nname, {id}\"\r\n"),
        1 => format!("{id},5\" disk\r\n"),
        2 => format!("\r\n{id},\"\"\r\n"),
        _ => format!("{id},name {id}\r\n"),
    };
    let rows = (0..800).map(row).collect::<Vec<_>>().concat();
    format!("\u{feff}\"the\nid\",name\r\n{}", rows.trim_end())
}

/// Some objects of each format, and others.
fn objects() -> BTreeMap<String, Bytes> {
    let crlf = format!("{}{{\"id\":1}}", lines(0..300).replace('\n', "\r\n\r\n"));
    let of = |(key, body): (&str, Bytes)| (key.to_owned(), body);
    let all = [
        ("a/train.jsonl", lines(0..2000).into()),
        ("a/train-b.ndjson", crlf.into()),
        ("a/train.csv", hard_table().into()),
        ("b/rows.parquet", parquet(&table(0..20_000))),
        ("b/empty.jsonl", Bytes::new()),
        ("b/one.csv", "id".into()),
        ("b/long.jsonl", format!("{{\"long\":\"{}\"}}\n{{}}\n", "x".repeat(20_000)).into()),
        ("model-00001-of-00002.safetensors", content(70_000, 1)),
        ("readme.md", content(500, 2)),
    ];
    all.into_iter().map(of).collect()
}

async fn server(objects: &BTreeMap<String, Bytes>, targets: &[&str]) -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    set_source(&server, objects);
    for target in targets {
        server.set_bucket(target, SimulatedBucket::default());
    }
    server
}

fn set_source(server: &SimulatedS3, objects: &BTreeMap<String, Bytes>) {
    let with = |bucket: SimulatedBucket, (key, body): (&String, &Bytes)| {
        bucket.with([key.clone()], &Contents::of(body.clone()))
    };
    server.set_bucket("source", objects.iter().fold(SimulatedBucket::default(), with));
}

/// Writes one object, and leaves the others as they are.
async fn put(server: &SimulatedS3, key: &str, body: Bytes) {
    let source = open(server, "source").await;
    source.store.put(key, &Attributes::default(), Payload::of(body), &Condition::Any).await.unwrap();
}

/// Which target holds each object; fails for one that several hold, and for uploads that were left.
fn holders(server: &SimulatedS3, targets: &[&str]) -> BTreeMap<String, usize> {
    let mut holders = BTreeMap::new();
    for (index, target) in targets.iter().enumerate() {
        let bucket = server.bucket(target).unwrap();
        assert_eq!(bucket.unfinished().count(), 0, "no upload is left");
        for key in bucket.keys().filter(|key| !key.starts_with(".skyfleet/")) {
            assert_eq!(holders.insert(key.to_owned(), index), None, "{key} is at {target}, too");
        }
    }
    holders
}

/// Fetches what the index names into a folder, and joins it.
async fn assemble(server: &SimulatedS3, report: &MirrorReport, targets: &[&str]) -> (tempfile::TempDir, JoinOutcome) {
    let (folder, cancel) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let first = open(server, targets[0]).await;
    let index = read_shard_index(&first, &dataset(), report.shard_index.unwrap(), &cancel).await.unwrap();
    let mut manifests = Vec::new();
    for (shard, target) in index.shards.iter().zip(targets) {
        let replica = open(server, target).await;
        manifests.push(read_manifest(&replica, &dataset(), shard.manifest, &cancel).await.unwrap());
        let into = folder.path().to_owned();
        let request =
            FetchRequest { dataset: dataset(), digest: shard.manifest, path: String::new(), into, concurrency: 4 };
        fetch(&replica, &request, &cancel, |_| ()).await.unwrap();
    }
    let joined = Pieces::of(&manifests).unwrap().join(folder.path(), &cancel).await.unwrap();
    (folder, joined)
}

/// Everything is there as it was, and nothing else.
async fn assert_whole(
    server: &SimulatedS3,
    report: &MirrorReport,
    targets: &[&str],
    objects: &BTreeMap<String, Bytes>,
) {
    let (folder, joined) = assemble(server, report, targets).await;
    assert_eq!(joined.files, objects.keys().filter(|key| has_rows(key)).count() as u64);
    for (key, body) in objects {
        let file = Bytes::from(std::fs::read(folder.path().join(key)).unwrap());
        if key.ends_with(".parquet") {
            assert!(rows_of(file) == rows_of(body.clone()), "{key}");
        } else {
            assert!(file == body, "{key} is another one");
        }
    }
    let files = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    let root = folder.path().to_str().unwrap();
    let all = files(root) + files(&format!("{root}/a")) + files(&format!("{root}/b"));
    assert_eq!(all, objects.len() + 2, "no piece is left");
}

fn has_rows(key: &str) -> bool {
    [".jsonl", ".ndjson", ".csv", ".parquet"].iter().any(|ending| key.ends_with(ending))
}

fn copied(report: &MirrorReport) -> u64 {
    report.targets.iter().map(|target| target.copied).sum()
}

fn is_published(server: &SimulatedS3, target: &str) -> bool {
    server.bucket(target).unwrap().keys().any(|key| key.starts_with(".skyfleet/shards/"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_all_formats_are_split_and_come_together_again() {
    let objects = objects();
    for by in ALL {
        let server = server(&objects, &TARGETS).await;
        let report = pass(&server, &TARGETS, &options(by, &TARGETS)).await.unwrap();
        assert!(report.is_complete() && report.shard_index.is_some(), "{by:?} {report:?}");
        let first = holders(&server, &TARGETS);
        assert_whole(&server, &report, &TARGETS, &objects).await;

        // Each has as many pieces as its size takes.
        for (key, body) in objects.iter().filter(|(key, _)| has_rows(key)) {
            let of = body.len().div_ceil(usize::try_from(PIECE).unwrap()).max(1);
            let pieces = first.keys().filter(|piece| PieceName::parse(piece).is_some_and(|name| name.whole == *key));
            assert_eq!(pieces.count(), of, "{key}");
        }
        assert!(first.contains_key("readme.md") && first.contains_key("model-00001-of-00002.safetensors"));
        if by == ShardBy::Count {
            let counts: Vec<_> =
                (0..3).map(|target| first.values().filter(|holder| **holder == target).count()).collect();
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }

        // A settled dataset is not written to, and its rows are known still: of lines those that hold anything, of tables records.
        refuse_writes(&server);
        let again = pass(&server, &TARGETS, &options(by, &TARGETS)).await.unwrap();
        assert!(again.is_complete() && again.shard_index == report.shard_index, "{by:?} {again:?}");
        assert_eq!((copied(&again), holders(&server, &TARGETS) == first), (0, true));
        assert_eq!((report.rows.rows_read, again.rows.rows_written), (2000 + 301 + 800 + 20_000 + 2, 23_103));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_and_the_provenance_say_where_every_row_is() {
    let objects = objects();
    let server = server(&objects, &TARGETS).await;
    let report = pass(&server, &TARGETS, &options(ShardBy::Count, &TARGETS)).await.unwrap();
    let (cancel, mut bytes, mut rows) = (CancellationToken::new(), 0, 0);
    let index = server.bucket("two").unwrap().body(&shard_index_key(&dataset(), report.shard_index.unwrap())).unwrap();
    let index = ShardIndex::parse(&index).unwrap();
    assert_eq!(index.piece_size, NonZeroU64::new(PIECE));
    for (shard, target) in index.shards.iter().zip(TARGETS) {
        let replica = open(&server, target).await;
        let told = read_provenance(&replica, &dataset(), shard.manifest, |_| true, &cancel).await.unwrap();
        let HowMade::Cut(cut) = &told.version.made else { panic!("{:?}", told.version) };
        assert_eq!((cut.piece_size.get(), cut.pieces), (PIECE, told.objects.len() as u64));
        assert_eq!(cut.rows, told.objects.iter().map(|object| object.rows.written).sum::<u64>());
        let manifest = server.bucket(target).unwrap().body(&manifest_key(&dataset(), shard.manifest)).unwrap();
        let manifest = Manifest::parse(&manifest).unwrap();
        for object in &told.objects {
            let name = PieceName::parse(&object.key).unwrap();
            let piece = object.source.piece.unwrap();
            assert_eq!((&name.whole, name.piece.index, name.piece.of), (&object.source.key, piece.index, piece.of));
            assert!(manifest.entries().iter().any(|entry| (&entry.key, entry.sha256) == (&object.key, object.sha256)));
        }
        bytes += told.version.bytes_in;
        rows += cut.rows;
    }
    assert_eq!(bytes, objects.values().map(|body| body.len() as u64).sum::<u64>());
    assert_eq!(rows, report.rows.rows_written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_comes_takes_its_share_of_pieces_and_nothing_else_moves() {
    let (objects, after) = (objects(), ["one", "two", "three", "new"]);
    for by in ALL {
        let server = server(&objects, &after).await;
        pass(&server, &TARGETS, &options(by, &TARGETS)).await.unwrap();
        let old = holders(&server, &TARGETS);
        let report = pass(&server, &after, &options(by, &after)).await.unwrap();
        assert!(report.is_complete(), "{by:?} {report:?}");
        let new = holders(&server, &after);
        assert!(new.iter().all(|(key, holder)| old[key] == *holder || *holder == 3), "{by:?}");
        let moved = new.values().filter(|holder| **holder == 3).count();
        assert_eq!((copied(&report), report.targets[3].copied), (moved as u64, moved as u64));
        if by == ShardBy::Count {
            assert_eq!(moved, new.len() / 4, "of {}", new.len());
        }
        assert_whole(&server, &report, &after, &objects).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_changed_is_cut_anew() {
    for by in ALL {
        let mut objects = objects();
        let server = server(&objects, &TARGETS).await;
        pass(&server, &TARGETS, &options(by, &TARGETS)).await.unwrap();
        let old = holders(&server, &TARGETS);
        let pieces = |key: &str| {
            let of = |held: &&String| PieceName::parse(held).is_some_and(|name| name.whole == key);
            holders(&server, &TARGETS).keys().filter(of).count() as u64
        };
        // As large as before, and other rows.
        let lines: Bytes = lines(0..2000).replace("name", "NAME").into();
        put(&server, "a/train.jsonl", lines.clone()).await;
        objects.insert("a/train.jsonl".to_owned(), lines);
        let report = pass(&server, &TARGETS, &options(by, &TARGETS)).await.unwrap();
        assert!(report.is_complete(), "{by:?} {report:?}");
        assert_eq!((copied(&report), holders(&server, &TARGETS)), (pieces("a/train.jsonl"), old), "{by:?}");
        assert_whole(&server, &report, &TARGETS, &objects).await;

        // Of another size there are other pieces, and the old ones go, however many they are: nothing is lost.
        let table = Bytes::from(table(0..3000));
        put(&server, "a/train.csv", table.clone()).await;
        objects.insert("a/train.csv".to_owned(), table);
        let report = pass(&server, &TARGETS, &options(by, &TARGETS)).await.unwrap();
        assert!(report.is_complete(), "{by:?} {report:?}");
        assert_eq!(copied(&report), pieces("a/train.csv"), "{by:?}");
        assert_whole(&server, &report, &TARGETS, &objects).await;

        // What left the source is lost: its pieces go only as far as that is allowed.
        open(&server, "source").await.store.delete("b/long.jsonl").await.unwrap();
        let mut left = objects.clone();
        left.remove("b/long.jsonl");
        let report = pass(&server, &TARGETS, &options(by, &TARGETS)).await.unwrap();
        assert!(!report.is_complete() && pieces("b/long.jsonl") == 7, "{by:?} {report:?}");
        let deletion = Deletion::Surplus(MostDeleted::percent(100));
        let report = pass(&server, &TARGETS, &MirrorOptions { deletion, ..options(by, &TARGETS) }).await.unwrap();
        assert!(report.is_complete() && pieces("b/long.jsonl") == 0, "{by:?} {report:?}");
        assert_whole(&server, &report, &TARGETS, &left).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_size_of_pieces_cuts_anew_and_old_pieces_go_when_all_are_there() {
    let (objects, targets) = (objects(), ["one", "two"]);
    for deletion in [Deletion::Never, Deletion::Surplus(MostDeleted::percent(0))] {
        let server = server(&objects, &targets).await;
        let sized = |size| MirrorOptions {
            sharding: Some(split(ShardBy::Count, &targets, size)),
            deletion,
            ..dataset_options()
        };
        // First of all whole, as it was before pieces were asked for.
        pass(&server, &targets, &sized(0)).await.unwrap();
        assert!(holders(&server, &targets).keys().eq(objects.keys()));
        let whole = objects.keys().filter(|key| has_rows(key)).count() as u64;
        for size in [3000, 5000, 0] {
            let old = holders(&server, &targets);
            // One of the targets does not take what is new.
            server.script(|asked| {
                let is_write = asked.method == Method::PUT
                    && asked.target.starts_with("/two/")
                    && !asked.target.contains(".skyfleet");
                if is_write { Fault::Refused(403, "AccessDenied") } else { Fault::None }
            });
            let report = pass(&server, &targets, &sized(size)).await.unwrap();
            assert!(!report.is_complete() && report.shard_index.is_none(), "{report:?}");
            let held = holders(&server, &targets);
            assert!(size == 0 || old.keys().all(|key| held.contains_key(key)), "nothing goes before all is there");
            server.script(|_| Fault::None);
            let report = pass(&server, &targets, &sized(size)).await.unwrap();
            assert!(report.is_complete() || size == 0, "{report:?}");
            if deletion == Deletion::Never {
                assert!(old.keys().all(|key| holders(&server, &targets).contains_key(key)));
            } else if size > 0 {
                let of = |key: &String| has_rows(key) && PieceName::parse(key).is_none();
                assert_eq!(holders(&server, &targets).keys().filter(|key| of(key)).count(), 0);
                assert!(report.targets.iter().map(|target| target.removed).sum::<u64>() >= whole, "of {size}");
            }
            assert_whole_of(&server, &report, &targets, &objects, size).await;
        }
    }
}

/// The same, also where nothing is cut.
async fn assert_whole_of(
    server: &SimulatedS3,
    report: &MirrorReport,
    targets: &[&str],
    objects: &BTreeMap<String, Bytes>,
    piece_size: u64,
) {
    if piece_size > 0 {
        assert_whole(server, report, targets, objects).await;
    } else {
        let held = holders(server, targets);
        assert!(report.shard_index.is_some() && objects.keys().all(|key| held.contains_key(key)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_now_and_then_the_end_is_right() {
    let (objects, targets) = (objects(), ["one", "two"]);
    let server = server(&objects, &targets).await;
    let count = AtomicU64::new(0);
    server.script(move |asked| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        if !number.is_multiple_of(5) {
            return Fault::None;
        }
        match number / 5 % 6 {
            0 => Fault::Refused(503, "SlowDown"),
            1 => Fault::Refused(500, "InternalError"),
            2 => Fault::Broken,
            3 => Fault::Lost,
            4 => Fault::CutOff(50),
            // What is read through is compared with its checksum; of a part of an object nobody can tell.
            5 if asked.target.contains("/source/") && !asked.headers.contains_key("range") => Fault::Flipped,
            _ => Fault::None,
        }
    });
    let report = pass(&server, &targets, &options(ShardBy::Size, &targets)).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    server.script(|_| Fault::None);
    holders(&server, &targets);
    assert_whole(&server, &report, &targets, &objects).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_pieces_go_in_parts() {
    let body = Bytes::from(lines(0..700_000));
    let objects = BTreeMap::from([
        ("large.jsonl".to_owned(), body),
        ("a/x".to_owned(), Bytes::new()),
        ("b/x".to_owned(), Bytes::new()),
    ]);
    let server = server(&objects, &TARGETS).await;
    let limits = skyfleet_mirror::TransferLimits { part_size: 5 << 20, ..skyfleet_mirror::TransferLimits::default() };
    let sharding = Some(split(ShardBy::Count, &TARGETS, 12 << 20));
    let options = MirrorOptions { limits, sharding, ..options(ShardBy::Count, &TARGETS) };
    let count = AtomicU64::new(0);
    server.script(move |asked| {
        let is_part = asked.method == Method::PUT && asked.target.contains("partNumber=");
        let fails = is_part && count.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
        if fails { Fault::Broken } else { Fault::None }
    });
    let report = pass(&server, &TARGETS, &options).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    server.script(|_| Fault::None);
    holders(&server, &TARGETS);
    assert_whole(&server, &report, &TARGETS, &objects).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_cut_fails_alone_and_says_what_to_do() {
    let bad = [
        ("a/train.jsonl.gz", b"\x1f\x8b".to_vec(), "decompress it by a DatasetReplica of its own before"),
        ("x.parquet", b"PAR1 this is none".to_vec(), "cut \"x.parquet\" into pieces"),
        ("y.csv", b"\"".repeat(3 << 20), "a quote may not be closed"),
        ("many.jsonl", b"\n".repeat(301_000), "it would be cut into 100334 pieces, and 100000 is the most"),
    ];
    for (key, body, why) in bad {
        let mut objects = objects();
        objects.retain(|key, _| !key.starts_with("a/train"));
        objects.insert(key.to_owned(), body.into());
        let server = server(&objects, &TARGETS).await;
        let piece_size = if key == "many.jsonl" { 3 } else { 1_000_000 };
        let sharding = Some(split(ShardBy::Hash, &TARGETS, piece_size));
        if key == "many.jsonl" {
            objects.retain(|other, _| other == key);
            set_source(&server, &objects);
        }
        let options = MirrorOptions { sharding, ..options(ShardBy::Hash, &TARGETS) };
        for _ in 0..2 {
            let report = pass(&server, &TARGETS, &options).await.unwrap();
            assert!(!report.is_complete() && report.source_failures > 0, "{key}: {report:?}");
            let said = report.failures[0].to_string();
            assert!(said.contains(why) && report.failures[0].error.kind == StoreErrorKind::Rejected, "{said}");
            assert!(report.shard_index.is_none() && TARGETS.iter().all(|target| !is_published(&server, target)));
        }
        assert!(key == "many.jsonl" || holders(&server, &TARGETS).contains_key("readme.md"), "the others are copied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_may_be_transformed() {
    let bad = format!("{}broken\n{}", lines(0..1000), lines(1000..2000));
    let objects = BTreeMap::from([
        ("a.jsonl".to_owned(), bad.into()),
        ("b.csv".to_owned(), table(0..2000).into()),
        ("c.parquet".to_owned(), parquet(&table(0..20_000))),
    ]);
    let server = server(&objects, &TARGETS).await;
    let output = Output { format: Some(Format::JsonLines), compression: None };
    let transformed = by(Spec { output, ..Spec::default() }, 1);
    let options = MirrorOptions { transforming: transformed.transforming, ..options(ShardBy::Count, &TARGETS) };
    let report = pass(&server, &TARGETS, &options).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.rows.rows_read, report.rows.rejected), (24_001, 1));
    let (folder, joined) = assemble(&server, &report, &TARGETS).await;
    assert_eq!(joined.files, 3);
    for (name, expected) in [("a.jsonl", 2000), ("b.jsonl", 2000), ("c.jsonl", 20_000)] {
        assert!(std::fs::read_to_string(folder.path().join(name)).unwrap() == lines(0..expected), "{name}");
    }
    let bucket = TARGETS.map(|target| server.bucket(target).unwrap());
    let letters: Vec<_> = bucket
        .iter()
        .flat_map(|bucket| {
            bucket.keys().filter(|key| key.contains("/dead-letters/")).map(|key| bucket.body(key).unwrap())
        })
        .collect();
    let letter: serde_json::Value = serde_json::from_slice(&letters[0]).unwrap();
    let piece = PieceName::parse(letter["object"].as_str().unwrap()).unwrap();
    assert_eq!((letters.len(), piece.whole.as_str(), &letter["data"]), (1, "a.jsonl", &"broken".into()));

    refuse_writes(&server);
    let again = pass(&server, &TARGETS, &options).await.unwrap();
    assert!(again.is_complete() && copied(&again) == 0 && again.rows == report.rows, "{again:?}");

    let deduplicating = by(Spec { steps: vec![Step::Deduplicate(vec![])], ..Spec::default() }, 0);
    let options = MirrorOptions { transforming: deduplicating.transforming, ..options };
    let refused = pass(&server, &TARGETS, &options).await;
    assert_eq!(refused, Err(MirrorError::Sharding(InvalidSharding::Deduplicates)));
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_of_sizes_are_those_of_whole_objects() {
    let server = server(&objects(), &TARGETS).await;
    let sizes = Bounds { least: Some(1), most: Some(60_000) };
    let bounded = MirrorOptions { sizes, ..options(ShardBy::Count, &TARGETS) };
    let report = pass(&server, &TARGETS, &bounded).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let wholes = |key: String| PieceName::parse(&key).map_or(key, |name| name.whole);
    let held: BTreeSet<_> = holders(&server, &TARGETS).into_keys().map(wholes).collect();
    let expected = objects().into_iter().filter(|(_, body)| (1..=60_000).contains(&body.len())).map(|(key, _)| key);
    assert_eq!(held, expected.collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_of_pieces_and_writes_nothing() {
    let objects = objects();
    let server = server(&objects, &TARGETS).await;
    refuse_writes(&server);
    let dry = MirrorOptions { dry_run: true, ..options(ShardBy::Count, &TARGETS) };
    let told = pass(&server, &TARGETS, &dry).await.unwrap();
    server.script(|_| Fault::None);
    let done = pass(&server, &TARGETS, &options(ShardBy::Count, &TARGETS)).await.unwrap();
    assert_eq!((copied(&told), told.source_bytes), (copied(&done), done.source_bytes));
    // Tables are read through before they are cut.
    let size = |of: fn(&str) -> bool| {
        objects.iter().filter(|(key, _)| of(key)).map(|(_, body)| body.len() as u64).sum::<u64>()
    };
    assert_eq!(done.source_bytes, size(|_| true) + size(|key| key.contains(".csv")));
}

/// Changes an object when it is read for the so-and-so-many-th time.
fn change_in_the_middle(source: &Arc<Watched>, writer: Arc<Watched>, key: &'static str, reads: u64, body: &Bytes) {
    let (body, count) = (body.clone(), AtomicU64::new(0));
    source.hook(move |call| match call {
        Call::Get { key: asked, .. } if asked == key && count.fetch_add(1, Ordering::SeqCst) + 1 == reads => {
            let (writer, body) = (writer.clone(), body.clone());
            Reaction::After(Box::pin(async move { put_at(&writer, key, body).await }))
        }
        _ => Reaction::Pass,
    });
}

async fn put_at(store: &Watched, key: &str, body: Bytes) {
    store.put(key, &Attributes::default(), Payload::of(body), &Condition::Any).await.unwrap();
}

/// All rows of an object, of pieces of it.
fn rows_together(key: &str, pieces: &[Vec<u8>]) -> String {
    let header = if key.contains(".csv") { "id,name\n" } else { "" };
    let rows = |piece: &Vec<u8>| {
        if key.contains(".parquet") {
            return rows_of(piece.clone().into());
        }
        String::from_utf8(piece.clone()).unwrap().strip_prefix(header).unwrap().to_owned()
    };
    pieces.iter().map(rows).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_of_two_versions_are_never_published_together() {
    let server = Server::start().await;
    let (one, two) = (server.bucket("one").await, server.bucket("two").await);
    let source = server.bucket("source").await;
    for (key, old, new, reads) in [
        ("a.jsonl", lines(0..3000).into(), lines(9000..12_000).into(), 12),
        ("b.csv", table(0..3000).into(), table(9000..12_000).into(), 8),
        ("c.parquet", parquet(&table(0..20_000)), parquet(&table(20_000..40_000)), 25),
    ] {
        put_at(&source, key, old).await;
        let sharding = Some(split(ShardBy::Count, &["one", "two"], 5000));
        let limits = skyfleet_mirror::TransferLimits { objects: 2, ..skyfleet_mirror::TransferLimits::default() };
        let options = MirrorOptions { sharding, limits, ..options(ShardBy::Count, &["one", "two"]) };
        change_in_the_middle(&source, server.open("source", "").await, key, reads, &new);
        let report = pass_with(&source, &[&one, &two], &options).await;
        assert!(copied(&report) > 0 && report.source_failures > 0 && report.shard_index.is_none(), "{report:?}");
        assert!(report.targets.iter().all(|target| target.manifest.is_none()), "{report:?}");
        let said = report.failures[0].to_string();
        assert!(said.contains("it changed after it was listed"), "{said}");
        source.unhook();

        let report = pass_with(&source, &[&one, &two], &options).await;
        assert!(report.is_complete() && report.shard_index.is_some(), "{report:?}");
        let mut pieces: Vec<_> = one.contents().await.into_iter().chain(two.contents().await).collect();
        pieces.retain(|(held, _)| PieceName::parse(held).unwrap().whole == key);
        pieces.sort();
        let pieces: Vec<_> = pieces.into_iter().map(|(_, piece)| piece).collect();
        assert!(rows_together(key, &pieces) == rows_together(key, &[new.to_vec()]), "{key}");
    }
}
