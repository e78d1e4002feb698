//! A target that is so slow that the others would wait for it, at a server of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skyfleet_e2e::object_store::{Asked, Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Deletion, MirrorError, MirrorEvent, MirrorOptions, MirrorReport, MostDeleted, ShardBy, TransferLimits, mirror,
};
use tokio_util::sync::CancellationToken;

use crate::faulty::open;
use crate::sharding::{ALL, sharding};
use crate::support::{content, dataset_options};
use crate::transforming::{by, lines, spec};
use crate::versions::{bring, newest};

const MIB: usize = 1 << 20;
const SMALL: usize = 300;

/// Two servers: one with the source and a target, and one with a target that is slow.
struct World {
    near: SimulatedS3,
    far: SimulatedS3,
}

impl World {
    async fn of(source: SimulatedBucket) -> Self {
        let (near, far) = (SimulatedS3::start().await.unwrap(), SimulatedS3::start().await.unwrap());
        near.set_bucket("source", source);
        near.set_bucket("fast", SimulatedBucket::default());
        far.set_bucket("slow", SimulatedBucket::default());
        Self { near, far }
    }

    async fn pass_until(
        &self,
        options: &MirrorOptions,
        cancel: &CancellationToken,
        told: impl Fn(&MirrorEvent) + Send + Sync + 'static,
    ) -> Result<MirrorReport, MirrorError> {
        let targets = [open(&self.near, "fast").await, open(&self.far, "slow").await];
        let source = open(&self.near, "source").await;
        mirror(&source, &targets, options, cancel, Arc::new(move |event| told(&event))).await
    }

    async fn pass(&self, options: &MirrorOptions) -> MirrorReport {
        self.pass_until(options, &CancellationToken::new(), |_| ()).await.unwrap()
    }

    fn slow(&self) -> SimulatedBucket {
        self.far.bucket("slow").unwrap()
    }

    /// Both targets hold what the source does, and no upload was left.
    fn assert_same(&self) {
        let source = self.near.bucket("source").unwrap();
        for target in [self.near.bucket("fast").unwrap(), self.slow()] {
            assert!(source.keys().eq(data(&target)), "other keys");
            assert!(source.keys().all(|key| source.body(key) == target.body(key)), "other contents");
            assert_eq!(target.unfinished().count(), 0);
            assert_eq!(journals(&target), 0);
        }
    }

    /// Passes until all is there; the fast one needs nothing.
    async fn complete(&self, options: &MirrorOptions) -> MirrorReport {
        for _ in 0..10 {
            let report = self.pass(options).await;
            assert_eq!((report.targets[0].copied, report.targets[0].is_complete()), (0, true), "{report:?}");
            if report.is_complete() {
                return report;
            }
        }
        panic!("it does not end");
    }
}

fn data(bucket: &SimulatedBucket) -> impl Iterator<Item = &str> {
    bucket.keys().filter(|key| !key.starts_with(".skyfleet/"))
}

fn journals(bucket: &SimulatedBucket) -> usize {
    bucket.keys().filter(|key| key.starts_with(".skyfleet/journals/")).count()
}

fn small() -> SimulatedBucket {
    (0..SMALL).fold(SimulatedBucket::default(), |bucket, number| {
        bucket.with([format!("data/{number:03}")], &Contents::of(content(100 + number, number as u64)))
    })
}

/// Parts of a large object.
const PARTS: usize = 6;

/// Parts that need not be sent again, of objects that are not whole.
fn noted_parts(bucket: &SimulatedBucket) -> usize {
    let journals = bucket.keys().filter(|key| key.starts_with(".skyfleet/journals/"));
    let parts = journals.filter_map(|key| {
        let journal: serde_json::Value = serde_json::from_slice(&bucket.body(key)?).ok()?;
        Some(journal["parts"].as_array()?.len())
    });
    parts.sum()
}

fn large(count: usize) -> SimulatedBucket {
    (0..count).fold(SimulatedBucket::default(), |bucket, number| {
        bucket.with([format!("data/large-{number}")], &Contents::of(content(28 * MIB, number as u64)))
    })
}

fn options(patience: Duration) -> MirrorOptions {
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    let deletion = Deletion::Surplus(MostDeleted::percent(100));
    MirrorOptions { patience: Some(patience), limits, deletion, ..dataset_options() }
}

const LITTLE: Duration = Duration::from_millis(200);
/// More than any of these tests takes.
const LONG: Duration = Duration::from_mins(10);

fn writes_data(asked: &Asked) -> bool {
    asked.method == "PUT" && asked.target.contains("/data/")
}

fn late(server: &SimulatedS3, by: Duration) {
    server.script(move |asked| if writes_data(asked) { Fault::Late(by) } else { Fault::None });
}

#[tokio::test(flavor = "multi_thread")]
async fn others_do_not_wait_for_many_small_objects() {
    let world = World::of(small()).await;
    late(&world.far, Duration::from_millis(1500));
    let report = world.pass(&options(LITTLE)).await;
    let [fast, slow] = &*report.targets else { panic!("{report:?}") };
    assert!(fast.manifest.is_some() && report.manifest == fast.manifest && fast.is_complete(), "{report:?}");
    assert!((slow.manifest, slow.failed, slow.is_complete()) == (None, 0, false) && slow.error.is_none(), "{report:?}");
    let there = data(&world.slow()).count();
    assert!((1..SMALL / 2).contains(&there), "{there} {report:?}");
    // What it has taken without an answer that came in time, is left behind too.
    assert!((1..=there as u64).contains(&slow.copied), "{there} {report:?}");
    assert_eq!(slow.left_behind, Some(SMALL as u64 - slow.copied), "{report:?}");
    assert!(!report.is_complete() && report.targets[0].lacks_nothing() && !report.targets[1].lacks_nothing());

    let end = world.complete(&options(LITTLE)).await;
    assert_eq!(end.targets.iter().map(|target| target.manifest).collect::<Vec<_>>(), [report.manifest; 2]);
    // What was brought in the first pass was not brought again.
    assert_eq!(end.targets[1].copied + end.targets[1].settled, SMALL as u64);
    assert!(end.targets[1].settled >= slow.copied, "{end:?}");
    world.assert_same();
}

/// How often each part was sent to the slow server, in this pass.
fn count_parts(server: &SimulatedS3, by: Duration) -> Arc<Mutex<BTreeMap<String, usize>>> {
    let parts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let told = parts.clone();
    server.script(move |asked| {
        let part = asked.target.split("partNumber=").nth(1).and_then(|rest| rest.split('&').next());
        let Some(part) = part.filter(|_| writes_data(asked)) else { return Fault::None };
        let key = asked.target.split('?').next().unwrap_or_default();
        *told.lock().unwrap().entry(format!("{key} {part}")).or_default() += 1;
        Fault::Late(by)
    });
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn others_do_not_wait_for_large_objects_which_go_on_where_they_were() {
    let world = World::of(large(3)).await;
    count_parts(&world.far, Duration::from_millis(1500));
    let report = world.pass(&options(LITTLE)).await;
    assert!(report.targets[0].is_complete() && report.manifest.is_some(), "{report:?}");
    assert_eq!((report.targets[1].left_behind, report.targets[1].failed), (Some(3), 0), "{report:?}");
    let slow = world.slow();
    assert_eq!((data(&slow).count(), slow.unfinished().count()), (0, journals(&slow)), "each is named by a journal");
    assert!(journals(&slow) > 0);

    let noted: Vec<_> = slow.unfinished().map(|key| format!("/slow/{key} 1")).collect();
    let parts = count_parts(&world.far, Duration::from_millis(10));
    let end = world.complete(&options(LITTLE)).await;
    assert_eq!(end.targets.iter().map(|target| target.manifest).collect::<Vec<_>>(), [report.manifest; 2]);
    let parts = parts.lock().unwrap().clone();
    assert!(noted.iter().all(|part| !parts.contains_key(part)) && !parts.is_empty(), "{noted:?} {parts:?}");
    world.assert_same();
}

/// The other one always has something to copy, so the slow one is set aside in every pass.
#[tokio::test(flavor = "multi_thread")]
async fn something_comes_in_every_pass() {
    let world = World::of(large(2)).await;
    count_parts(&world.far, Duration::from_secs(1));
    let (mut passes, mut had) = (0, 0);
    loop {
        world.near.set_bucket("fast", SimulatedBucket::default());
        let report = world.pass(&options(LITTLE)).await;
        passes += 1;
        assert!(report.targets[0].is_complete() && report.targets[0].manifest.is_some(), "{report:?}");
        if report.targets[1].manifest.is_some() {
            break;
        }
        let slow = world.slow();
        let has = noted_parts(&slow) + PARTS * data(&slow).count();
        assert!(has > had, "{passes} {had} {has} {report:?}");
        had = has;
        assert!(passes <= 2 * PARTS, "{report:?}");
    }
    assert!(passes > 1);
    world.assert_same();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_left_behind_who_is_as_slow_as_the_others_or_alone_or_slow_for_a_moment() {
    let world = World::of(small()).await;
    for server in [&world.near, &world.far] {
        late(server, Duration::from_millis(300));
    }
    let report = world.pass(&options(Duration::from_secs(1))).await;
    assert!(report.is_complete(), "{report:?}");
    world.assert_same();

    let world = World::of(small()).await;
    late(&world.far, Duration::from_millis(300));
    let (source, target) = (open(&world.near, "source").await, open(&world.far, "slow").await);
    let cancel = CancellationToken::new();
    let report = mirror(&source, &[target], &options(LITTLE), &cancel, Arc::new(|_| ())).await.unwrap();
    assert!(report.is_complete() && report.targets[0].copied == SMALL as u64, "{report:?}");

    let world = World::of(small()).await;
    let count = AtomicUsize::new(0);
    world.far.script(move |asked| {
        let is_first = writes_data(asked) && count.fetch_add(1, Ordering::SeqCst) < 60;
        if is_first { Fault::Late(Duration::from_millis(500)) } else { Fault::None }
    });
    let report = world.pass(&options(Duration::from_secs(20))).await;
    assert!(report.is_complete(), "{report:?}");
    world.assert_same();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_target_makes_nobody_slow() {
    let world = World::of(small()).await;
    late(&world.far, Duration::from_millis(300));
    world.near.script(|asked| {
        let is_meant = writes_data(asked) && asked.target.starts_with("/fast/");
        if is_meant { Fault::Refused(400, "InvalidRequest") } else { Fault::None }
    });
    let report = world.pass(&options(LITTLE)).await;
    assert_eq!((report.targets[0].failed, report.targets[1].copied), (SMALL as u64, SMALL as u64), "{report:?}");
    assert!(report.targets[1].is_complete() && report.targets[1].manifest.is_some(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_surplus_goes_once_the_slow_one_has_caught_up() {
    let world = World::of(small()).await;
    let other = Contents::of(content(10, 1));
    let old = SimulatedBucket::default().with((0..20).map(|number| format!("old/{number}")), &other);
    world.near.set_bucket("fast", old.clone());
    world.far.set_bucket("slow", old);
    late(&world.far, Duration::from_millis(1500));
    let report = world.pass(&options(LITTLE)).await;
    assert_eq!((report.targets[0].removed, report.targets[1].removed), (20, 0), "{report:?}");
    assert_eq!(world.complete(&options(LITTLE)).await.targets[1].removed, 20);
    world.assert_same();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_ends_it_and_loses_nothing() {
    for after in [1, 150, 301] {
        let all = large(2).with((0..SMALL).map(|number| format!("data/{number:03}")), &Contents::of(content(99, 7)));
        let world = World::of(all).await;
        late(&world.far, Duration::from_secs(1));
        let (cancel, count) = (CancellationToken::new(), AtomicUsize::new(0));
        let stop = cancel.clone();
        let told = move |event: &MirrorEvent| {
            let is_copied = matches!(event, MirrorEvent::Copied { target: 0, .. });
            if is_copied && count.fetch_add(1, Ordering::SeqCst) + 1 == after {
                stop.cancel();
            }
        };
        let outcome = world.pass_until(&options(LITTLE), &cancel, told).await;
        assert!(matches!(outcome, Err(MirrorError::Cancelled)), "{after}: {outcome:?}");
        let slow = world.slow();
        assert!(slow.unfinished().count() <= journals(&slow), "{after}");

        world.far.script(|_| Fault::None);
        let report = world.pass(&options(LONG)).await;
        assert!(report.is_complete(), "{after}: {report:?}");
        world.assert_same();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_slow_the_requests_are_the_same() {
    let mut counts = Vec::new();
    for patience in [None, Some(LONG)] {
        let all = large(2).with((0..50).map(|number| format!("data/{number:03}")), &Contents::of(content(99, 7)));
        let world = World::of(all).await;
        let asked: Arc<Mutex<BTreeMap<_, usize>>> = Arc::default();
        for server in [&world.near, &world.far] {
            let asked = asked.clone();
            server.script(move |request| {
                let what = request.target.split('/').nth(1).map(str::to_owned);
                *asked.lock().unwrap().entry((request.method.to_string(), what)).or_default() += 1;
                Fault::None
            });
        }
        let report = world.pass(&MirrorOptions { patience, ..options(LONG) }).await;
        assert!(report.is_complete(), "{report:?}");
        counts.push(asked.lock().unwrap().clone());
    }
    assert_eq!(counts[0], counts[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_to_be_slow_holds_up_nobody_from_the_beginning() {
    let world = World::of(small()).await;
    late(&world.far, Duration::from_millis(1500));
    let aside = MirrorOptions { aside: [1].into(), ..options(LITTLE) };
    let report = world.pass(&aside).await;
    assert!(report.targets[0].is_complete() && report.manifest.is_some(), "{report:?}");
    assert!(report.targets[1].left_behind > Some(0) && report.targets[1].copied > 0, "{report:?}");
    // What comes to the source meanwhile goes to the other one at once, however far the slow one is.
    let more = world.near.bucket("source").unwrap().with(["data/zz".to_owned()], &Contents::of(content(99, 7)));
    world.near.set_bucket("source", more);
    let report = world.pass(&aside).await;
    assert_eq!((report.targets[0].copied, report.targets[0].is_complete()), (1, true), "{report:?}");
    late(&world.far, Duration::ZERO);
    let mut passes = 0;
    while world.pass(&aside).await.targets[1].left_behind != Some(0) {
        passes += 1;
        assert!(passes < 100, "it comes no further");
    }
    // It lacks nothing any more, and is waited for again: then it is told so.
    let report = world.complete(&options(LITTLE)).await;
    assert_eq!((report.targets[1].copied, report.targets[1].left_behind), (0, None), "{report:?}");
    world.assert_same();
    // Somebody has to go on.
    let both = MirrorOptions { aside: [0, 1].into(), ..options(LITTLE) };
    assert!(world.pass(&both).await.targets[1].is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_loads_from_the_slow_one_at_any_time() {
    let world = World::of(small()).await;
    let kept = |patience| MirrorOptions { versions: Some(newest(2)), ..options(patience) };
    let first = world.pass(&kept(LONG)).await.manifest.unwrap();
    let slow = open(&world.far, "slow").await;
    let files = bring(&slow, first).await.unwrap();
    assert_eq!(files.len(), SMALL);
    // Half of all objects become others, some go, some come.
    let mut source = small().without(&["data/000", "data/001"]);
    for number in (2..SMALL).step_by(2).chain(SMALL..SMALL + 5) {
        source = source.with([format!("data/{number:03}")], &Contents::of(content(70, number as u64)));
    }
    world.near.set_bucket("source", source);
    late(&world.far, Duration::from_millis(700));
    let report = world.pass(&kept(LITTLE)).await;
    let second = report.targets[0].manifest.unwrap();
    assert!(second != first && report.targets[1].left_behind > Some(0), "{report:?}");
    assert!(bring(&slow, first).await.unwrap() == files, "while it is behind");
    assert!(bring(&open(&world.near, "fast").await, first).await.unwrap() == files);
    let aside = MirrorOptions { aside: [1].into(), ..kept(LITTLE) };
    world.pass(&aside).await;
    assert!(bring(&slow, first).await.unwrap() == files, "and further on");
    late(&world.far, Duration::ZERO);
    let end = world.complete(&kept(LONG)).await;
    assert_eq!(end.targets[1].manifest, Some(second));
    assert!(bring(&slow, first).await.unwrap() == files && bring(&slow, second).await.is_ok());
    world.assert_same();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_transformed_is_made_once_more_for_the_slow_one() {
    const TABLES: u32 = 120;
    for bad in ["", "no record\n"] {
        let source = (0..TABLES).fold(SimulatedBucket::default(), |bucket, number| {
            let text = lines(number * 10..number * 10 + 10) + bad;
            bucket.with([format!("data/{number:03}.jsonl")], &Contents::of(text.into()))
        });
        let world = World::of(source).await;
        let making = |patience| MirrorOptions { patience: Some(patience), ..by(spec(), 50) };
        late(&world.far, Duration::from_millis(1500));
        let report = world.pass(&making(LITTLE)).await;
        assert!(report.targets[0].is_complete() && report.manifest.is_some(), "{report:?}");
        assert_eq!(report.rows.rejected, if bad.is_empty() { 0 } else { u64::from(TABLES) });
        assert!(report.rows.rows_read >= u64::from(TABLES) * 10 && report.targets[1].failed == 0, "{report:?}");
        assert!(report.targets[1].left_behind > Some(0), "{report:?}");
        let aside = MirrorOptions { aside: [1].into(), ..making(LITTLE) };
        let again = world.pass(&aside).await;
        assert_eq!((again.targets[0].copied, &again.rows), (0, &report.rows), "each row once");
        late(&world.far, Duration::ZERO);
        let end = world.complete(&making(LONG)).await;
        assert_eq!(end.rows, report.rows);
        assert_eq!(end.targets.iter().map(|target| target.manifest).collect::<Vec<_>>(), [report.manifest; 2]);
        let letters = |bucket: &SimulatedBucket| {
            let letters = bucket.keys().filter(|key| key.starts_with(".skyfleet/dead-letters/"));
            letters.map(|key| (key.to_owned(), bucket.body(key))).collect::<Vec<_>>()
        };
        let of_slow = letters(&world.slow());
        assert_eq!(of_slow.len() as u64, report.rows.rejected);
        assert_eq!(letters(&world.near.bucket("fast").unwrap()), of_slow);
    }
}

fn split(patience: Duration, by: ShardBy) -> MirrorOptions {
    MirrorOptions { sharding: Some(sharding(by, &["fast", "slow"])), ..options(patience) }
}

/// All is at one target each, and the index names it.
fn assert_split(world: &World, report: &MirrorReport) {
    let (source, fast, slow) = (world.near.bucket("source").unwrap(), world.near.bucket("fast").unwrap(), world.slow());
    assert!(report.is_complete() && report.shard_index.is_some(), "{report:?}");
    let held: BTreeMap<_, _> =
        [&fast, &slow].into_iter().flat_map(|bucket| data(bucket).map(move |key| (key, bucket))).collect();
    assert_eq!(data(&fast).count() + data(&slow).count(), held.len(), "no object is at both");
    assert!(source.keys().eq(held.keys().copied()));
    assert!(held.iter().all(|(key, bucket)| source.body(key) == bucket.body(key)), "other contents");
    for target in [&fast, &slow] {
        assert_eq!((target.unfinished().count(), journals(target)), (0, 0));
    }
}

async fn complete_split(world: &World, options: &MirrorOptions) {
    for _ in 0..20 {
        let report = world.pass(options).await;
        if report.is_complete() {
            return assert_split(world, &report);
        }
    }
    panic!("it does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_target_holds_up_no_other_ones_part() {
    for by in ALL {
        let world = World::of(small()).await;
        late(&world.far, Duration::from_millis(1500));
        let report = world.pass(&split(LITTLE, by)).await;
        let [fast, slow] = &*report.targets else { panic!("{report:?}") };
        assert!(fast.is_complete() && fast.manifest.is_some() && fast.copied > 0, "{by:?} {report:?}");
        assert!(slow.left_behind > Some(0) && slow.failed == 0 && slow.error.is_none(), "{by:?} {report:?}");
        assert_eq!((slow.manifest, report.shard_index), (None, None));
        let of_slow = world.near.bucket("source").unwrap().keys().count() as u64 - fast.copied;
        assert_eq!(slow.left_behind, Some(of_slow - slow.copied), "{by:?} {report:?}");

        // What comes meanwhile comes to the other one, however far the slow one is.
        let source = world.near.bucket("source").unwrap();
        let more = source.with((0..20).map(|number| format!("data/z{number}")), &Contents::of(content(99, 7)));
        world.near.set_bucket("source", more);
        let aside = MirrorOptions { aside: [1].into(), ..split(LITTLE, by) };
        let again = world.pass(&aside).await;
        assert!(again.targets[0].is_complete(), "{by:?} {again:?}");
        // By what each holds, the slow one may have to get all of it.
        assert!(again.targets[0].copied > 0 || by != ShardBy::Hash, "{by:?} {again:?}");
        assert!(again.targets[1].left_behind > Some(0), "{by:?} {again:?}");

        late(&world.far, Duration::ZERO);
        complete_split(&world, &split(LONG, by)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_of_a_slow_part_go_on_where_they_were() {
    let world = World::of(large(6)).await;
    count_parts(&world.far, Duration::from_millis(1500));
    let aside = MirrorOptions { aside: [1].into(), ..split(LITTLE, ShardBy::Count) };
    let report = world.pass(&aside).await;
    assert!(report.targets[0].is_complete() && report.targets[0].copied == 3, "{report:?}");
    let slow = world.slow();
    assert!(report.targets[1].left_behind == Some(0) || journals(&slow) > 0, "{report:?}");
    let noted: Vec<_> = slow.unfinished().map(|key| format!("/slow/{key} 1")).collect();
    let parts = count_parts(&world.far, Duration::ZERO);
    complete_split(&world, &split(LONG, ShardBy::Count)).await;
    let parts = parts.lock().unwrap().clone();
    assert!(noted.iter().all(|part| !parts.contains_key(part)), "{noted:?} {parts:?}");
}

/// More than may wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_target_holds_up_no_other_ones_part_however_long_that_is() {
    let all = (0..4000).fold(SimulatedBucket::default(), |bucket, number| {
        bucket.with([format!("data/{number:04}")], &Contents::of(content(10, number)))
    });
    let world = World::of(all).await;
    late(&world.far, Duration::from_secs(1));
    let report = world.pass(&split(LITTLE, ShardBy::Hash)).await;
    let [fast, slow] = &*report.targets else { panic!("{report:?}") };
    assert!(fast.is_complete() && fast.manifest.is_some() && fast.copied > 1500, "{report:?}");
    assert_eq!(slow.left_behind, Some(4000 - fast.copied - slow.copied), "{report:?}");
    late(&world.far, Duration::ZERO);
    complete_split(&world, &split(LONG, ShardBy::Hash)).await;
}

/// A target that came newly has all to do, and nobody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_much_more_to_do_than_the_others_is_no_slow_one() {
    let world = World::of(small()).await;
    let one = MirrorOptions { sharding: Some(sharding(ShardBy::Hash, &["fast"])), ..options(LITTLE) };
    let (source, fast) = (open(&world.near, "source").await, open(&world.near, "fast").await);
    let report = mirror(&source, &[fast], &one, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let more = world
        .near
        .bucket("source")
        .unwrap()
        .with((0..20).map(|number| format!("data/z{number}")), &Contents::of(content(99, 7)));
    world.near.set_bucket("source", more);
    late(&world.far, Duration::from_millis(400));
    let report = world.pass(&split(LITTLE, ShardBy::Hash)).await;
    assert_eq!(report.targets[1].left_behind, None);
    assert_split(&world, &report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_or_a_stop_leaves_nothing_that_waits() {
    let world = World::of(small()).await;
    world.far.script(|asked| if writes_data(asked) { Fault::Refused(403, "AccessDenied") } else { Fault::None });
    let report = world.pass(&split(LONG, ShardBy::Hash)).await;
    assert!(report.targets[0].is_complete() && report.targets[0].manifest.is_some(), "{report:?}");
    assert!(report.targets[1].error.is_some() && report.targets[1].copied == 0, "{report:?}");

    late(&world.far, Duration::from_secs(1));
    let (cancel, stop) = (CancellationToken::new(), CancellationToken::new());
    let seen = stop.clone();
    let told = move |event: &MirrorEvent| {
        if matches!(event, MirrorEvent::Copied { .. }) {
            seen.cancel();
        }
    };
    let stops = async {
        stop.cancelled().await;
        cancel.cancel();
    };
    let options = split(LONG, ShardBy::Hash);
    let (outcome, ()) = tokio::join!(world.pass_until(&options, &cancel, told), stops);
    assert!(matches!(outcome, Err(MirrorError::Cancelled)), "{outcome:?}");
    late(&world.far, Duration::ZERO);
    complete_split(&world, &split(LONG, ShardBy::Hash)).await;
}

/// What cannot be read for a slow target is told as such, and not as slowness.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_for_who_is_set_aside_has_failed() {
    let world = World::of(small()).await;
    late(&world.far, Duration::from_millis(300));
    world.near.script(|asked| {
        let is_meant = asked.method == "GET" && asked.target.starts_with("/source/data/");
        if is_meant { Fault::Refused(400, "InvalidRequest") } else { Fault::None }
    });
    let aside = MirrorOptions { aside: [1].into(), ..split(LITTLE, ShardBy::Hash) };
    let report = world.pass(&aside).await;
    let failed = report.source_failures + report.targets[1].left_behind.unwrap_or_default();
    assert_eq!(failed, SMALL as u64, "{report:?}");
    assert!(report.source_failures > report.targets[0].copied && report.failures.len() > 1, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_split_dataset_count_once_also_aside() {
    const TABLES: u32 = 60;
    let source = (0..TABLES).fold(SimulatedBucket::default(), |bucket, number| {
        bucket.with([format!("data/{number:03}.jsonl")], &Contents::of(lines(number * 10..number * 10 + 10).into()))
    });
    let world = World::of(source).await;
    let making = |patience| {
        let sharding = Some(sharding(ShardBy::Hash, &["fast", "slow"]));
        MirrorOptions { patience: Some(patience), sharding, ..by(spec(), 50) }
    };
    late(&world.far, Duration::from_millis(300));
    let aside = MirrorOptions { aside: [1].into(), ..making(LITTLE) };
    let mut report = world.pass(&aside).await;
    for _ in 0..50 {
        let there: u64 = report.targets.iter().map(|target| target.copied + target.settled).sum();
        assert_eq!(report.rows.rows_read, 10 * there, "{report:?}");
        if report.targets[1].left_behind == Some(0) {
            assert_eq!(there, u64::from(TABLES));
            return;
        }
        report = world.pass(&aside).await;
    }
    panic!("it comes no further");
}
