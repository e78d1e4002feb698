//! Buckets that are copied, and what is told of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skyfleet_bench::figures::{Figure, percentile};
use skyfleet_e2e::object_store::{Contents, Fault, SimulatedBucket, SimulatedS3};

use crate::measured::Cost;
use crate::program::Program;

const MIB: usize = 1024 * 1024;
const SOURCE: &str = "source";
const TARGET: &str = "target";

/// A server and those who ask it.
pub(crate) struct Bench {
    pub(crate) server: SimulatedS3,
    /// The file of the server's certificate, where it speaks TLS.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) programs: Vec<Program>,
    pub(crate) rounds: usize,
}

/// What is told of the runs of each program, and in which unit for one of so many.
pub(crate) struct Told<'a> {
    pub(crate) bench: &'a str,
    pub(crate) objects: usize,
    pub(crate) costs: &'a [Vec<Cost>],
}

impl Bench {
    /// Runs every program from the state that `prepare` makes, in turns: the one that comes second finds a warm machine.
    pub(crate) async fn in_turns(&self, prepare: impl Fn()) -> Result<Vec<Vec<Cost>>, String> {
        let mut costs: Vec<Vec<Cost>> = self.programs.iter().map(|_| Vec::new()).collect();
        for round in 0..self.rounds {
            for index in (0..self.programs.len()).map(|index| (index + round) % self.programs.len()) {
                prepare();
                costs[index].push(self.mirror(index, &[TARGET]).await?);
                self.check(index)?;
            }
        }
        Ok(costs)
    }

    pub(crate) async fn mirror(&self, index: usize, targets: &[&str]) -> Result<Cost, String> {
        self.programs[index].mirror(&self.server.endpoint(), self.certificate.as_deref(), SOURCE, targets).await
    }

    fn check(&self, index: usize) -> Result<(), String> {
        let count = |bucket: &str| {
            let bucket = self.server.bucket(bucket).unwrap_or_default();
            bucket.keys().filter(|key| !key.starts_with(".skyfleet/")).count()
        };
        let (wanted, found) = (count(SOURCE), count(TARGET));
        let name = self.programs[index].name();
        if wanted == found { Ok(()) } else { Err(format!("{name} copied {found} objects of {wanted}")) }
    }

    /// Fills the source with objects of one content, and empties the target.
    pub(crate) fn fill(&self, count: usize, size: usize) {
        let mut body = vec![0; size];
        fastrand::Rng::with_seed(1).fill(&mut body);
        let keys = (0..count).map(|number| format!("data/{:03}/{number:08}", number % 512));
        self.server.set_bucket(SOURCE, SimulatedBucket::default().with(keys, &Contents::of(body.into())));
        self.empty(TARGET);
    }

    pub(crate) fn empty(&self, target: &str) {
        self.server.set_bucket(target, SimulatedBucket::forgetful());
    }

    /// Objects of 64 MiB.
    pub(crate) async fn large(&self, count: usize) -> Result<(), String> {
        self.fill(count, 64 * MIB);
        let costs = self.in_turns(|| self.empty(TARGET)).await?;
        let told = Told { bench: "mirror.large", objects: count, costs: &costs };
        self.tell(&told, "cpu_per_object", |cost| cost.cpu);
        self.tell(&told, "wall_per_object", |cost| cost.wall);
        self.tell_memory(&told);
        Ok(())
    }

    /// Three targets at once: how often the source is read.
    pub(crate) async fn fan_out(&self, count: usize) -> Result<(), String> {
        let targets = [TARGET, "second", "third"];
        for target in targets {
            self.empty(target);
        }
        let reads = Arc::new(AtomicU64::new(0));
        let counted = reads.clone();
        self.server.script(move |asked| {
            let is_read = asked.method == "GET" && asked.target.starts_with("/source/data");
            counted.fetch_add(u64::from(is_read), Ordering::Relaxed);
            Fault::None
        });
        self.mirror(0, &targets).await?;
        self.server.script(|_| Fault::None);
        #[allow(clippy::cast_precision_loss, reason = "small counts")]
        let each = reads.load(Ordering::Relaxed) as f64 / count as f64;
        let figure = Figure::new("mirror.fan_out.reads_per_object", Some(each), "1");
        figure.with("objects", count).with("targets", targets.len()).print();
        Ok(())
    }

    /// Two sides that are the same.
    pub(crate) async fn settled(&self, keys: usize) -> Result<(), String> {
        self.fill(keys, 10 * 1024);
        self.server.set_bucket(TARGET, self.server.bucket(SOURCE).unwrap_or_default());
        let costs = self.in_turns(|| ()).await?;
        // Both sides are listed.
        let told = Told { bench: "mirror.settled", objects: 2 * keys, costs: &costs };
        self.tell(&told, "cpu_per_entry", |cost| cost.cpu);
        self.tell(&told, "wall_per_entry", |cost| cost.wall);
        self.tell_memory(&told);
        Ok(())
    }

    /// The medians in microseconds for one object, compared with each peer's.
    #[allow(clippy::cast_precision_loss, reason = "small counts")]
    pub(crate) fn tell(&self, told: &Told<'_>, what: &str, part: impl Fn(&Cost) -> Duration) {
        let scale = 1e6 / told.objects as f64;
        let median = |costs: &Vec<Cost>| {
            let mut times: Vec<_> = costs.iter().map(&part).collect();
            times.sort_unstable();
            percentile(&times, 50.0).map(|time| time.as_secs_f64() * scale)
        };
        self.tell_medians(told, what, "us", median);
    }

    #[allow(clippy::cast_precision_loss, reason = "small counts")]
    pub(crate) fn tell_memory(&self, told: &Told<'_>) {
        let most = |costs: &Vec<Cost>| costs.iter().map(|cost| cost.memory).max().map(|kib| kib as f64 / 1024.0);
        self.tell_medians(told, "most_memory", "MiB", most);
    }

    fn tell_medians(
        &self,
        told: &Told<'_>,
        what: &str,
        unit: &'static str,
        value_of: impl Fn(&Vec<Cost>) -> Option<f64>,
    ) {
        let value = told.costs.first().and_then(&value_of);
        let figure = || {
            let figure = Figure::new(format!("{}.{what}", told.bench), value, unit);
            figure.with("objects", told.objects).with("rounds", self.rounds).with("tls", self.certificate.is_some())
        };
        if self.programs.len() == 1 {
            figure().print();
        }
        for (program, costs) in self.programs.iter().zip(told.costs).skip(1) {
            let (mut figure, theirs) = (figure(), value_of(costs));
            figure.peer = Some(program.name().to_owned());
            figure.ratio = value.zip(theirs).map(|(value, theirs)| (value / theirs * 1000.0).round() / 1000.0);
            figure.with("peer_value", theirs.map(|value| (value * 100.0).round() / 100.0)).print();
        }
    }
}
