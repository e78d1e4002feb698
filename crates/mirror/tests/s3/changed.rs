//! Passes over some objects: those that were said to have changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use skyfleet_e2e::object_store::{Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Changed, Deletion, MirrorError, MirrorOptions, MirrorReport, MostDeleted, Retention, TargetError, TransferLimits,
    manifest_key, mirror_changed,
};
use tokio_util::sync::CancellationToken;

use crate::faulty::{open, pass};
use crate::support::{content, dataset, dataset_options};
use crate::versions::{Files, bring};

const OBJECTS: u64 = 300;
const TARGETS: [&str; 2] = ["one", "two"];

fn deleting(percent: u8) -> MirrorOptions {
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    MirrorOptions { deletion: Deletion::Surplus(MostDeleted::percent(percent)), limits, ..dataset_options() }
}

async fn server() -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    let mut source = SimulatedBucket::default();
    for number in 0..OBJECTS {
        source = source.with([format!("data/{number:03}")], &Contents::of(content(100, number)));
    }
    server.set_bucket("source", source);
    for target in TARGETS {
        server.set_bucket(target, SimulatedBucket::default());
    }
    server
}

/// Changes objects of the source.
fn write(server: &SimulatedS3, keys: &[&str], version: u64) {
    let mut source = server.bucket("source").unwrap();
    for key in keys {
        source = source.with([(*key).to_owned()], &Contents::of(content(200, version)));
    }
    server.set_bucket("source", source);
}

fn remove(server: &SimulatedS3, keys: &[&str]) {
    server.set_bucket("source", server.bucket("source").unwrap().without(keys));
}

async fn look(server: &SimulatedS3, keys: &[&str], options: &MirrorOptions) -> Result<MirrorReport, MirrorError> {
    look_after(server, keys, options, &[]).await
}

async fn look_after(
    server: &SimulatedS3,
    keys: &[&str],
    options: &MirrorOptions,
    removed: &[u64],
) -> Result<MirrorReport, MirrorError> {
    let mut replicas = Vec::new();
    for target in TARGETS {
        replicas.push(open(server, target).await);
    }
    let changed = Changed { keys: keys.iter().map(|key| (*key).to_owned()).collect(), removed: removed.to_vec() };
    let source = open(server, "source").await;
    mirror_changed(&source, &replicas, (options, &changed), &CancellationToken::new(), Arc::new(|_| ())).await
}

fn assert_same(server: &SimulatedS3) {
    let source = server.bucket("source").unwrap();
    for target in TARGETS {
        let target = server.bucket(target).unwrap();
        assert!(source.keys().eq(target.keys().filter(|key| !key.starts_with(".skyfleet/"))), "other keys");
        assert!(source.keys().all(|key| source.body(key) == target.body(key)));
        assert_eq!(target.unfinished().count(), 0);
    }
}

fn refuse_writes(server: &SimulatedS3) {
    server.script(|asked| if asked.method == "GET" || asked.method == "HEAD" { Fault::None } else { Fault::Broken });
}

fn allow_all(server: &SimulatedS3) {
    server.script(|_| Fault::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_is_brought_and_the_next_pass_over_everything_finds_nothing_to_do() {
    let server = server().await;
    let options = deleting(10);
    let first = pass(&server, &TARGETS, &options).await.unwrap();
    write(&server, &["data/007", "data/new", "zz/last", "aa/first"], 1);
    remove(&server, &["data/100"]);
    let changed = ["zz/last", "data/100", "data/007", "data/new", "aa/first", "data/007", "never/there"];
    let report = look(&server, &changed, &options).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    for target in &report.targets {
        assert_eq!((target.copied, target.removed, target.manifest), (4, 1, None));
    }
    assert_same(&server);

    // All of it is remembered: told again, nothing happens, and a pass over everything only writes what names the new version.
    refuse_writes(&server);
    let again = look(&server, &changed, &options).await.unwrap();
    assert!(again.is_complete() && again.targets.iter().all(|target| target.copied == 0), "{again:?}");
    let objects = Arc::new(AtomicU64::new(0));
    let written = objects.clone();
    server.script(move |asked| {
        if asked.method == Method::PUT && !asked.target.contains(".skyfleet") {
            written.fetch_add(1, Ordering::SeqCst);
        }
        Fault::None
    });
    let all = pass(&server, &TARGETS, &options).await.unwrap();
    assert!(all.is_complete() && all.manifest.is_some() && all.manifest != first.manifest, "{all:?}");
    assert_eq!((objects.load(Ordering::SeqCst), all.targets[0].settled), (0, OBJECTS + 2));
    let key = manifest_key(&dataset(), all.manifest.unwrap());
    assert!(TARGETS.iter().all(|target| server.bucket(target).unwrap().body(&key).is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_told_is_looked_at() {
    let server = server().await;
    pass(&server, &TARGETS, &deleting(10)).await.unwrap();
    write(&server, &["data/003", "data/004"], 1);
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = asked.clone();
    server.script(move |request| {
        seen.lock().unwrap().push(format!("{} {}", request.method, request.target));
        Fault::None
    });
    look(&server, &["data/003"], &deleting(10)).await.unwrap();
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|line| !line.contains("data/") || line.contains("data/003")), "{asked:#?}");
    assert!(asked.len() < 30, "{asked:#?}");
    assert_eq!(server.bucket("one").unwrap().body("data/004"), Some(content(100, 4)), "nobody told of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_losses_are_no_smaller_than_a_large_one() {
    let server = server().await;
    let options = deleting(1);
    pass(&server, &TARGETS, &options).await.unwrap();
    remove(&server, &["data/001", "data/002", "data/003", "data/004"]);
    let report = look(&server, &["data/001", "data/002"], &options).await.unwrap();
    assert!(report.targets.iter().all(|target| target.removed == 2 && target.is_complete()), "{report:?}");
    let report = look_after(&server, &["data/003", "data/004"], &options, &[2, 0]).await.unwrap();
    let [one, two] = &report.targets[..] else { panic!("two targets") };
    assert_eq!((one.removed, &one.error), (0, &Some(TargetError::TooManyDeletions { surplus: 2, held: 300 })));
    assert_eq!((two.removed, &two.error), (2, &None));
    // Where nothing is deleted, what went stays.
    let retaining = MirrorOptions { deletion: Deletion::Never, ..options };
    let report = look(&server, &["data/003"], &retaining).await.unwrap();
    assert!(report.is_complete() && server.bucket("one").unwrap().body("data/003").is_some(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_fails_alone_and_what_is_known_of_it_stays() {
    let server = server().await;
    let options = deleting(10);
    pass(&server, &TARGETS, &options).await.unwrap();
    write(&server, &["data/010", "data/020"], 1);
    server.script(|asked| {
        if asked.target.starts_with("/two/data/010") { Fault::Refused(403, "AccessDenied") } else { Fault::None }
    });
    let report = look(&server, &["data/010", "data/020"], &options).await.unwrap();
    assert!(report.targets[0].is_complete() && !report.targets[1].is_complete(), "{report:?}");
    allow_all(&server);
    let all = pass(&server, &TARGETS, &options).await.unwrap();
    assert!(all.is_complete(), "{all:?}");
    let copied: Vec<_> = all.targets.iter().map(|target| target.copied).collect();
    assert!(copied[0] == 0 && (1..=2).contains(&copied[1]), "{copied:?}");
    assert_same(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_read_fails_alone() {
    let server = server().await;
    let options = deleting(10);
    pass(&server, &TARGETS, &options).await.unwrap();
    write(&server, &["data/010", "data/020"], 1);
    server.script(|asked| {
        let is_it = asked.target.starts_with("/source/data/010");
        if is_it && asked.method == Method::GET { Fault::Refused(400, "InvalidObjectState") } else { Fault::None }
    });
    let report = look(&server, &["data/010", "data/020"], &options).await.unwrap();
    assert_eq!((report.source_failures, report.failures[0].key.as_str()), (1, "data/010"), "{report:?}");
    assert!(report.targets.iter().all(|target| target.copied == 1));
    allow_all(&server);
    assert!(pass(&server, &TARGETS, &options).await.unwrap().is_complete());
    assert_same(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_now_and_then_the_end_is_right() {
    let server = server().await;
    let options = deleting(100);
    pass(&server, &TARGETS, &options).await.unwrap();
    let count = AtomicU64::new(0);
    server.script(move |asked| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        if !number.is_multiple_of(5) {
            return Fault::None;
        }
        match number / 5 % 5 {
            0 => Fault::Refused(503, "SlowDown"),
            1 => Fault::Broken,
            2 => Fault::Lost,
            3 => Fault::CutOff(50),
            _ if asked.method == Method::GET => Fault::Refused(500, "InternalError"),
            _ => Fault::None,
        }
    });
    for round in 0..8_u64 {
        let keys: Vec<_> = (0..30).map(|number| format!("data/{:03}", (number * 7 + round * 31) % 330)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let (written, removed) = keys.split_at(20);
        write(&server, written, round);
        remove(&server, removed);
        let report = look(&server, &keys, &options).await.unwrap();
        assert!(report.is_complete(), "{round}: {report:?}");
    }
    assert_same(&server);
    let all = pass(&server, &TARGETS, &options).await.unwrap();
    assert!(all.is_complete() && all.targets.iter().all(|target| target.copied == 0), "{all:?}");
}

/// What a bucket holds, apart from what is Skyfleet's own.
fn files(server: &SimulatedS3, bucket: &str) -> Files {
    let bucket = server.bucket(bucket).unwrap();
    let keys = bucket.keys().filter(|key| !key.starts_with(".skyfleet/"));
    keys.map(|key| (key.to_owned(), bucket.body(key).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_can_be_loaded_however_much_has_changed_since() {
    let server = server().await;
    let versions = Some(Retention { newest: 2, ..Retention::only_the_newest() });
    let options = MirrorOptions { versions, ..deleting(100) };
    let first = pass(&server, &TARGETS, &options).await.unwrap();
    let (named, digest) = (files(&server, "source"), first.manifest.unwrap());
    let one = open(&server, "one").await;
    for round in 1..4 {
        write(&server, &["data/007", "data/008", &format!("data/new-{round}")], round);
        remove(&server, &[&format!("data/10{round}")]);
        let told = ["data/007", "data/008", &format!("data/new-{round}"), &format!("data/10{round}")];
        let report = look(&server, &told, &options).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(files(&server, "one"), files(&server, "source"));
        assert!(bring(&one, digest).await.unwrap() == named, "round {round}");
    }
    // The next version is named, and what lay between the two is not kept.
    let second = pass(&server, &TARGETS, &options).await.unwrap();
    assert!(second.is_complete() && second.targets[0].copied == 0, "{second:?}");
    assert!(bring(&one, digest).await.unwrap() == named);
    assert!(bring(&one, second.manifest.unwrap()).await.unwrap() == files(&server, "source"));
    let kept = |server: &SimulatedS3| {
        let bucket = server.bucket("one").unwrap();
        bucket.keys().filter(|key| key.starts_with(".skyfleet/objects/")).count()
    };
    assert_eq!(kept(&server), 5, "two that were overwritten, three that were removed");
    write(&server, &["data/009"], 9);
    pass(&server, &TARGETS, &options).await.unwrap();
    assert!(bring(&one, digest).await.is_err(), "two are kept");
    assert_eq!(kept(&server), 1);
}
