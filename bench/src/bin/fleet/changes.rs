//! Changes of ModelDeployments at a steady rate, and how long each takes to arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use skyfleet_bench::figures::{Figure, percentile};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::audit::{Mark, StatusWrites};
use crate::error::BenchError;
use crate::hub::Hub;
use crate::ledger::Done;
use crate::models::{Models, model_name};
use crate::operator::{Operator, Passes};
use crate::usage::{CpuTimes, memory};

/// Replicas of one ModelDeployment are from 1 to so many: twice as many as there are members for it.
const MOST_REPLICAS: i64 = 8;
/// How long the last changes may take after the last one was sent; what has not arrived by then counts with its age.
const PATIENCE: Duration = Duration::from_secs(30);
/// The project's own bound for P99.
const TARGET_SECONDS: f64 = 1.0;

/// How many changes a second, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) rate: u32,
    pub(crate) time: Duration,
}

/// How a load went.
pub(crate) struct Outcome {
    sent: usize,
    /// Refused by the hub.
    failed: usize,
    /// Not sent, because hardly any ModelDeployment had settled.
    missed: usize,
    elapsed: Duration,
    done: Vec<Done>,
    decisions: StatusWrites,
    unfinished: Vec<Duration>,
    cpu: CpuTimes,
    passes: Passes,
    memory: Option<(f64, f64)>,
}

/// Sends changes and waits for their arrival.
pub(crate) async fn run(
    load: Load,
    (hub, models): (&Hub, &Arc<Models>),
    operator: &mut Operator,
    random: &mut fastrand::Rng,
) -> Result<Outcome, BenchError> {
    models.book.open().take_done();
    let mark = Mark::end_of(&hub.audit_log).map_err(BenchError::io("read the hub's audit log"))?;
    let passes_before = operator.passes().await.unwrap_or_default();
    let (start, cpu_before) = (Instant::now(), CpuTimes::look(operator.pid(), &hub.folder));
    let mut ticks = interval(Duration::from_secs(1) / load.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut sent, mut missed, mut requests) = (0, 0, JoinSet::new());
    let failed = Arc::new(AtomicUsize::new(0));
    while start.elapsed() < load.time {
        ticks.tick().await;
        let Some((name, replicas)) = choose(models, random) else {
            missed += 1;
            continue;
        };
        sent += 1;
        let (models, failed) = (models.clone(), failed.clone());
        requests.spawn(async move {
            if let Err(error) = models.scale(&name, replicas).await {
                eprintln!("           {error}");
                failed.fetch_add(1, Ordering::Relaxed);
            }
        });
        while requests.try_join_next().is_some() {}
    }
    let elapsed = start.elapsed();
    let cpu = CpuTimes::look(operator.pid(), &hub.folder).since(cpu_before);
    let passes = operator.passes().await.unwrap_or_default().since(passes_before);
    while requests.join_next().await.is_some() {}
    let last = Instant::now();
    while models.book.open().under_way() > 0 && last.elapsed() < PATIENCE {
        operator.check()?;
        sleep(Duration::from_millis(20)).await;
    }
    let (done, unfinished) = {
        let mut ledger = models.book.open();
        (ledger.take_done(), ledger.give_up(Instant::now()))
    };
    let failed = failed.load(Ordering::Relaxed);
    if done.is_empty() {
        return Err(BenchError::NothingArrived { sent, unfinished: unfinished.len(), failed });
    }
    let decisions = mark.status_writes(&hub.audit_log).map_err(BenchError::io("read the hub's audit log"))?;
    let memory = memory(operator.pid());
    Ok(Outcome { sent, failed, missed, elapsed, done, decisions, unfinished, cpu, passes, memory })
}

/// One that has settled, by chance, and another number of replicas for it.
fn choose(models: &Models, random: &mut fastrand::Rng) -> Option<(String, i64)> {
    let ledger = models.book.open();
    // When nine of ten are busy the operator is far behind, and more would tell nothing new.
    let (name, replicas) = (0..20).find_map(|_| {
        let name = model_name(random.usize(..models.count));
        let replicas = ledger.settled(&name)?;
        Some((name, replicas))
    })?;
    let other = random.i64(1..MOST_REPLICAS);
    Some((name, if other < replicas { other } else { other + 1 }))
}

impl Outcome {
    /// The figures, each with this in front of its name.
    #[allow(clippy::cast_precision_loss, reason = "small counts")]
    pub(crate) fn figures(&self, prefix: &str) -> Vec<Figure> {
        let since = |done: &Done, from: Instant| Some(done.arrived?.saturating_duration_since(from));
        let decisions = self.sorted(|done| since(done, self.decisions.first_of(&done.name, done.version?)?));
        let changes = self.sorted(|done| since(done, done.sent));
        let seconds = self.elapsed.as_secs_f64();
        let percentiles = |what: &str, times: &[Duration]| {
            [50.0, 99.0].map(|percent| {
                Figure::seconds(format!("{prefix}.{what}_p{percent}"), percentile(times, percent))
                    .with("changes", times.len())
                    .with("unfinished", self.unfinished.len())
            })
        };
        let [decision_p50, decision_p99] = percentiles("decision_to_object", &decisions);
        let [change_p50, change_p99] = percentiles("change_to_object", &changes);
        let concerned = self.done.iter().filter(|done| done.arrived.is_some()).count();
        let mut figures = vec![
            decision_p50,
            decision_p99.below(TARGET_SECONDS),
            change_p50,
            change_p99,
            Figure::new(format!("{prefix}.changes"), Some(self.sent as f64 / seconds), "1/s")
                .with("sent", self.sent)
                .with("refused", self.failed)
                .with("skipped_as_unsettled", self.missed)
                .with("without_an_answering_member", self.done.len() - concerned),
            Figure::new(format!("{prefix}.operator_cpu"), Some(self.cpu.operator.as_secs_f64() / seconds), "cores")
                .with("cpu_seconds", self.cpu.operator.as_secs_f64())
                .with("hub_cpu_seconds", self.cpu.hub.as_secs_f64())
                .with("members_cpu_seconds", self.cpu.members.as_secs_f64())
                .with("machine_busy_cores", rounded(self.cpu.machine.as_secs_f64() / seconds)),
        ];
        let Passes { done, failed, seconds: time } = self.passes;
        figures.push(
            Figure::new(format!("{prefix}.operator_passes"), Some((done + failed) / seconds), "1/s")
                .with("failed", failed)
                .with("seconds_each", rounded(time / (done + failed).max(1.0))),
        );
        if let Some((now, most)) = self.memory {
            figures.push(Figure::new(format!("{prefix}.operator_rss"), Some(now), "MiB").with("most", most.round()));
        }
        figures
    }

    /// The times of what has arrived, and the ages of what has not, which are longer still.
    fn sorted(&self, time: impl Fn(&Done) -> Option<Duration>) -> Vec<Duration> {
        let mut times: Vec<_> = self.done.iter().filter_map(time).chain(self.unfinished.iter().copied()).collect();
        times.sort_unstable();
        times
    }
}

/// As exact as it means something.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
