//! A source that changes all the time, told of by notifications that are lost, doubled and late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use skyfleet_e2e::object_store::{Contents, Fault, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    Changed, Deletion, MirrorEvent, MirrorOptions, MirrorProgress, MirrorReport, MostDeleted, Replica, mirror,
    mirror_changed,
};
use skyfleet_stream::{Backlog, LookOutcome, Notice, TargetOutcome};
use tokio_util::sync::CancellationToken;

use crate::faulty::open;
use crate::support::{content, dataset_options};

const KEYS: u64 = 2_000;
const TURNS: i64 = 40;
const CHANGES_A_TURN: u64 = 2_500;
/// Turns between two looks at everything.
const LISTING: i64 = 13;

fn options() -> MirrorOptions {
    MirrorOptions { deletion: Deletion::Surplus(MostDeleted::percent(100)), ..dataset_options() }
}

/// A second for each turn.
fn at(turn: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + turn).unwrap()
}

/// The source with what changes there, and the notifications on their way.
struct World {
    server: SimulatedS3,
    random: fastrand::Rng,
    source: SimulatedBucket,
    /// By the turn in which they arrive.
    on_their_way: BTreeMap<i64, Vec<(String, i64)>>,
    /// Changes that were told, by key, and since when; kept until the target has what the source has.
    told: BTreeMap<String, i64>,
    /// When each key was last the same at both.
    same: BTreeMap<String, i64>,
    lost: u64,
    doubled: u64,
}

impl World {
    async fn start() -> Self {
        let server = SimulatedS3::start().await.unwrap();
        server.set_bucket("source", SimulatedBucket::default());
        server.set_bucket("target", SimulatedBucket::default());
        Self {
            server,
            random: fastrand::Rng::with_seed(7),
            source: SimulatedBucket::default(),
            on_their_way: BTreeMap::new(),
            told: BTreeMap::new(),
            same: BTreeMap::new(),
            lost: 0,
            doubled: 0,
        }
    }

    fn change(&mut self, turn: i64) {
        let (mut written, mut gone) = (BTreeMap::new(), BTreeSet::new());
        for number in 0..CHANGES_A_TURN {
            let key = format!("data/{:04}", self.random.u64(..KEYS));
            if self.random.u8(..10) == 0 {
                written.remove(&key);
                gone.insert(key.clone());
            } else {
                gone.remove(&key);
                written.insert(key.clone(), number);
            }
            let times = match self.random.u8(..10) {
                0 => 0,
                1 => 2,
                _ => 1,
            };
            self.lost += u64::from(times == 0);
            self.doubled += u64::from(times == 2);
            for _ in 0..times {
                let late = self.random.i64(..4);
                self.on_their_way.entry(turn + late).or_default().push((key.clone(), turn));
            }
        }
        let gone: Vec<_> = gone.into_iter().collect();
        let mut source = std::mem::take(&mut self.source).without(&gone);
        for (key, number) in written {
            let size = 10 + usize::try_from(number % 50).unwrap();
            source = source.with([key], &Contents::of(content(size, number + turn.unsigned_abs() * CHANGES_A_TURN)));
        }
        self.server.set_bucket("source", source.clone());
        self.source = source;
    }

    /// What arrives in this turn, in any order, ten to a message.
    fn tell(&mut self, backlog: &mut Backlog, turn: i64) {
        let mut arriving = self.on_their_way.remove(&turn).unwrap_or_default();
        self.random.shuffle(&mut arriving);
        for some in arriving.chunks(10) {
            let record = |(key, changed): &(String, i64)| {
                let object = serde_json::json!({"key": key.replace('/', "%2F")});
                let s3 = serde_json::json!({"bucket": {"name": "source"}, "object": object});
                serde_json::json!({"eventSource": "aws:s3", "eventTime": at(*changed).to_string(), "s3": s3})
            };
            let message = serde_json::json!({"Records": some.iter().map(record).collect::<Vec<_>>()}).to_string();
            let Notice::Changes(changes) = Notice::parse(message.as_bytes()).unwrap() else { panic!("changes") };
            for change in changes {
                backlog.tell(change.key.as_deref(), change.at, at(turn));
            }
        }
        for (key, changed) in arriving {
            if self.same.get(&key).is_none_or(|same| *same < changed) {
                let since = self.told.entry(key).or_insert(changed);
                *since = changed.min(*since);
            }
        }
    }

    /// Looks what the target really has.
    fn compare(&mut self, turn: i64) -> bool {
        let target = self.server.bucket("target").unwrap();
        let mut is_same = true;
        for number in 0..KEYS {
            let key = format!("data/{number:04}");
            if self.source.body(&key) == target.body(&key) {
                self.told.remove(&key);
                self.same.insert(key, turn);
            } else {
                is_same = false;
            }
        }
        is_same
    }

    /// What is said, which is never less than the age of what was told and is not mirrored, and nothing where all of that is.
    fn lag(&self, backlog: &Backlog, turn: i64) -> Option<SignedDuration> {
        let now = at(turn + 1);
        let known = self.told.values().min().map(|since| now.duration_since(at(*since)));
        let said = backlog.lag(0, now);
        assert!(said >= known, "turn {turn}: {known:?} is not mirrored, and {said:?} is said");
        let is_unsure = backlog.needs_listing() || backlog.pending() > 0 || backlog.in_step() != [true];
        assert!(known.is_some() || said.is_none() || is_unsure, "turn {turn}: {said:?} is said of nothing");
        said
    }

    async fn replicas(&self) -> (Replica, [Replica; 1]) {
        (open(&self.server, "source").await, [open(&self.server, "target").await])
    }

    async fn list(&self, backlog: &mut Backlog, turn: i64) -> MirrorReport {
        let (source, targets) = self.replicas().await;
        backlog.begin_listing(at(turn));
        let (cancel, silent) = (CancellationToken::new(), Arc::new(|_| ()));
        let report = mirror(&source, &targets, &options(), &cancel, silent).await.unwrap();
        backlog.end_listing(&[report.is_complete()]);
        report
    }

    async fn look(&self, backlog: &mut Backlog) {
        let keys = backlog.take(10_000);
        if keys.is_empty() {
            return backlog.end_look(&LookOutcome::Failed);
        }
        let (source, targets) = self.replicas().await;
        let failed: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let told = failed.clone();
        let progress: MirrorProgress = Arc::new(move |event| {
            if let MirrorEvent::Failed { failure, .. } = event {
                told.lock().unwrap().insert(failure.key);
            }
        });
        let changed = Changed { keys, removed: backlog.removed() };
        let (options, cancel) = (options(), CancellationToken::new());
        let outcome = match mirror_changed(&source, &targets, (&options, &changed), &cancel, progress).await {
            Ok(report) => {
                let target = &report.targets[0];
                let (failed, gave_up) = (failed.lock().unwrap().clone(), target.error.is_some());
                let outcome = TargetOutcome { failed, gave_up, removed: target.removed };
                LookOutcome::Ended { unread: BTreeSet::new(), targets: [(0, outcome)].into() }
            }
            Err(_) => LookOutcome::Failed,
        };
        backlog.end_look(&outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_changes_arrive_whatever_becomes_of_what_tells_of_them() {
    let mut world = World::start().await;
    let mut backlog = Backlog::new(1, at(0));
    let (mut looks, mut lags) = (0, BTreeSet::new());
    for turn in 1..=TURNS {
        world.change(turn);
        if turn == TURNS / 2 {
            // The operator is killed, and what was told to it is gone.
            backlog = Backlog::new(1, at(turn));
        }
        world.tell(&mut backlog, turn);
        lags.insert(world.lag(&backlog, turn));
        if turn == TURNS / 4 {
            // The target refuses for a while.
            world.server.script(|asked| {
                if asked.method == "PUT" && asked.target.starts_with("/target/data/1") {
                    Fault::Refused(403, "AccessDenied")
                } else {
                    Fault::None
                }
            });
        } else {
            world.server.script(|_| Fault::None);
        }
        if backlog.needs_listing() || backlog.in_step() != [true] || turn % LISTING == 0 {
            let report = world.list(&mut backlog, turn).await;
            assert!(world.compare(turn) || !report.is_complete(), "{turn}: {report:?}");
        } else {
            world.look(&mut backlog).await;
            world.compare(turn);
            looks += 1;
        }
        lags.insert(world.lag(&backlog, turn));
    }
    let changes = TURNS.unsigned_abs() * CHANGES_A_TURN;
    assert!(changes >= 100_000 && world.lost > 9_000 && world.doubled > 9_000 && looks > 20, "{looks}");
    assert!(lags.contains(&None) && lags.iter().flatten().any(|lag| *lag > SignedDuration::ZERO), "{lags:?}");

    // What nobody told of, the last look at everything finds; and that is all.
    let report = world.list(&mut backlog, TURNS + 1).await;
    assert!(report.is_complete() && world.compare(TURNS + 1), "{report:?}");
    assert_eq!(backlog.lag(0, at(TURNS + 2)), None);
    let again = world.list(&mut backlog, TURNS + 2).await;
    assert_eq!((again.targets[0].copied, again.targets[0].removed), (0, 0));
}
