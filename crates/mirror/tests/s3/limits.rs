//! What a pass may use: requests of a store, bytes and money of a source.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skyfleet_e2e::object_store::{Contents, Fault, SIMULATED_KEY, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::{
    ConnectOptions, Deletion, EgressBudget, InFlight, LocalStore, MirrorOptions, MirrorReport, MostDeleted,
    ObjectStore, Replica, RetryPolicy, S3Location, S3Store, SourceLimits, StoreErrorKind, mirror,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{content, credentials, dataset_options};

/// A server with objects of 1000 bytes, 2000 bytes and so on, and two empty targets.
async fn server(objects: usize) -> SimulatedS3 {
    let server = SimulatedS3::start().await.unwrap();
    let add = |bucket: SimulatedBucket, number: usize| {
        bucket.with([format!("data/{number:03}")], &Contents::of(content(1000 * number, number as u64)))
    };
    server.set_bucket("source", (1..=objects).fold(SimulatedBucket::default(), add));
    server.set_bucket("one", SimulatedBucket::default());
    server.set_bucket("two", SimulatedBucket::default());
    server
}

async fn open(server: &SimulatedS3, bucket: &str, options: ConnectOptions) -> Replica {
    let location = S3Location::new(Some(server.endpoint()), None, bucket.to_owned(), String::new());
    let store = S3Store::connect(location, credentials(SIMULATED_KEY.0, SIMULATED_KEY.1), options).await.unwrap();
    Replica { store: Arc::new(store) as Arc<dyn ObjectStore>, prefix: String::new() }
}

async fn pass(server: &SimulatedS3, connect: ConnectOptions, options: &MirrorOptions) -> MirrorReport {
    let source = open(server, "source", connect).await;
    let targets = [open(server, "one", connect).await, open(server, "two", connect).await];
    mirror(&source, &targets, options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap()
}

fn copies(server: &SimulatedS3, bucket: &str) -> usize {
    server.bucket(bucket).unwrap().keys().filter(|key| key.starts_with("data/")).count()
}

/// A pass against a server that takes only four requests at once: how many it refused.
async fn refusals(in_flight: InFlight) -> u64 {
    let server = SimulatedS3::start().await.unwrap();
    let some = Contents::of(content(100, 1));
    server.set_bucket("source", SimulatedBucket::default().with((0..400).map(|key| format!("data/{key:03}")), &some));
    server.set_bucket("one", SimulatedBucket::default());
    // Far enough away for requests to meet there.
    server.set_latency(Duration::from_millis(5));
    server.set_capacity(4);
    let retry = RetryPolicy {
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(20),
        budget: Duration::from_secs(5),
    };
    let connect = ConnectOptions { retry, in_flight, ..ConnectOptions::default() };
    let (source, target) = (open(&server, "source", connect).await, open(&server, "one", connect).await);
    let (options, cancel) = (MirrorOptions::default(), CancellationToken::new());
    let report = mirror(&source, &[target], &options, &cancel, Arc::new(|_| ())).await.unwrap();
    assert!(report.is_complete() && report.targets[0].copied == 400, "{report:?}");
    assert_eq!(copies(&server, "one"), 400);
    server.refusals()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_few_requests_at_once_is_sent_few() {
    // Source and target are two stores of one server, each with a gate of its own.
    let adaptive = refusals(InFlight::default()).await;
    let fixed = refusals(InFlight { least: 64, most: 64 }).await;
    eprintln!("refused: {adaptive}, and {fixed} with a window that stays");
    assert!(adaptive * 2 < fixed, "{adaptive} {fixed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_earlier_than_the_server_asks_for() {
    let server = server(1).await;
    let retry = RetryPolicy { budget: Duration::from_secs(5), ..RetryPolicy::default() };
    let connect = ConnectOptions { retry, ..ConnectOptions::default() };
    let (asked, start) = (AtomicU64::new(0), Instant::now());
    server.script(move |_| if asked.fetch_add(1, Ordering::SeqCst) == 0 { Fault::Later(2) } else { Fault::None });
    let source = open(&server, "source", connect).await;
    source.store.head("data/001").await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2));

    // More than there is time for: nothing is waited for.
    server.script(|_| Fault::Later(3600));
    let error = source.store.list_page("", None).await.unwrap_err();
    assert_eq!((&error.kind, error.retry_after), (&StoreErrorKind::Throttled, Some(Duration::from_hours(1))));
    assert!(error.to_string().contains("it may be asked again in 3600 s"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_of_requests_is_kept() {
    let (server, asked) = (server(20).await, Arc::new(AtomicU64::new(0)));
    let counted = asked.clone();
    server.script(move |asked| {
        if asked.target.starts_with("/source/") {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Fault::None
    });
    let connect = ConnectOptions { requests_per_second: NonZeroU32::new(50), ..ConnectOptions::default() };
    let start = Instant::now();
    assert!(pass(&server, connect, &MirrorOptions::default()).await.is_complete());
    let (asked, least) = (asked.load(Ordering::SeqCst), start.elapsed());
    assert!(asked >= 21, "a listing and twenty objects");
    // Whatever the speed of the machine, it can only take longer.
    assert!(least >= Duration::from_millis((asked - 2) * 20), "{asked} in {least:?}");
}

/// On the paused clock of the runtime: how long a pass from one folder to two others takes.
async fn paced(folder: &Path, bandwidth: Option<u64>) -> Duration {
    let open = |name: &str| {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        Replica { store: Arc::new(LocalStore::open(&folder.join(name)).unwrap()), prefix: String::new() }
    };
    let (source, targets) = (open("source"), [open("one"), open("two")]);
    for number in 0..10 {
        std::fs::write(folder.join(format!("source/{number}")), content(100_000, number)).unwrap();
    }
    let source_limits = SourceLimits { bandwidth: bandwidth.and_then(NonZeroU64::new), egress: None };
    let options = MirrorOptions { source_limits, ..MirrorOptions::default() };
    let start = Instant::now();
    let report = mirror(&source, &targets, &options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap();
    assert!(report.is_complete() && report.source_bytes == 1_000_000, "{report:?}");
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn bandwidth_is_what_leaves_the_source_once() {
    let (folder, unlimited) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // A million bytes for two targets: ten seconds, but for the last chunk, which nothing waits for.
    let took = paced(folder.path(), Some(100_000)).await;
    assert!((Duration::from_secs(8)..=Duration::from_secs(10)).contains(&took), "{took:?}");
    assert!(paced(unlimited.path(), None).await < Duration::from_secs(1));
}

/// A GB costs a million, so that a byte costs 0.001.
fn budget(most: &str) -> SourceLimits {
    let egress = EgressBudget { price: "1000000".parse().unwrap(), most: most.parse().unwrap() };
    SourceLimits { bandwidth: None, egress: Some(egress) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_too_much_is_left_for_a_later_pass() {
    let server = server(6).await;
    let surplus = SimulatedBucket::default().with(["surplus".to_owned()], &Contents::of(content(10, 1)));
    server.set_bucket("two", surplus);
    let deletion = Deletion::Surplus(MostDeleted::percent(100));
    let options =
        |dry_run| MirrorOptions { source_limits: budget("7.5"), deletion, dry_run, ..MirrorOptions::default() };
    for (dry_run, there) in [(true, 0), (false, 3)] {
        let report = pass(&server, ConnectOptions::default(), &options(dry_run)).await;
        assert!(!report.is_complete());
        // 1000, 2000 and 3000 bytes for 6.00, each read once for both targets.
        assert_eq!((report.source_bytes, report.left.objects, report.left.bytes), (6000, 3, 15_000));
        assert_eq!(report.left.cost.to_string(), "15.00");
        for target in &report.targets {
            assert_eq!((target.copied, target.left, target.removed), (3, report.left, 0), "{target:?}");
        }
        assert_eq!((copies(&server, "one"), copies(&server, "two")), (there, there));
    }
    // Those of the first pass are paid: 4000 bytes fit, 5000 and 6000 do not.
    let report = pass(&server, ConnectOptions::default(), &options(false)).await;
    assert_eq!((report.source_bytes, report.left.objects, report.targets[0].settled), (4000, 2, 3));
    let enough = MirrorOptions { source_limits: budget("11"), ..options(false) };
    let report = pass(&server, ConnectOptions::default(), &enough).await;
    assert!(report.is_complete() && report.targets[1].removed == 1, "{report:?}");
    assert_eq!((copies(&server, "one"), copies(&server, "two")), (6, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_is_not_published_before_all_of_it_was_paid() {
    let server = server(3).await;
    let source = open(&server, "source", ConnectOptions::default()).await;
    let targets = [open(&server, "one", ConnectOptions::default()).await];
    let run = async |most| {
        let options = MirrorOptions { source_limits: budget(most), ..dataset_options() };
        let progress = Arc::new(|_| ());
        mirror(&source, &targets, &options, &CancellationToken::new(), progress).await.unwrap()
    };
    let outcome = run("3").await;
    assert_eq!((outcome.left.objects, outcome.left.cost.to_string().as_str()), (1, "3.00"));
    assert_eq!((outcome.manifest, outcome.targets[0].manifest, outcome.targets[0].left), (None, None, outcome.left));
    assert_eq!((outcome.targets[0].copied, outcome.targets[0].failed), (2, 0));
    let outcome = run("3").await;
    assert!(outcome.left.is_nothing() && outcome.targets[0].manifest.is_some(), "{outcome:?}");
}
