//! Buckets that are copied.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skyfleet_bench::figures::Figure;
use skyfleet_e2e::object_store::{Contents, Fault, SimulatedBucket, SimulatedS3};

use crate::measured::Cost;
use crate::program::{Place, Program, Surroundings, Work, groups};
use crate::report::Told;

pub(crate) const SOURCE: &str = "source";
pub(crate) const TARGET: &str = "target";

/// A server and those who ask it.
pub(crate) struct Bench {
    pub(crate) server: SimulatedS3,
    pub(crate) surroundings: Surroundings,
    /// Skyfleet's first.
    pub(crate) programs: Vec<Program>,
    pub(crate) rounds: usize,
}

/// Objects of one size.
#[derive(Clone, Copy)]
pub(crate) struct Objects {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

impl Objects {
    pub(crate) fn small(count: usize) -> Self {
        Self { count, bytes: 10 * 1024 }
    }

    pub(crate) fn large(count: usize) -> Self {
        Self { count, bytes: 64 * 1024 * 1024 }
    }

    pub(crate) fn huge(count: usize) -> Self {
        Self { count, bytes: 512 * 1024 * 1024 }
    }

    /// The bytes of each of them.
    pub(crate) fn content(self) -> Vec<u8> {
        let mut content = vec![0; self.bytes];
        fastrand::Rng::with_seed(1).fill(&mut content);
        content
    }

    pub(crate) fn keys(self) -> impl Iterator<Item = String> {
        (0..self.count).map(|number| format!("data/{:03}/{number:08}", number % 512))
    }
}

impl Bench {
    /// Runs these programs in turns: the one that comes second finds a warm machine.
    pub(crate) async fn in_turns(
        &self,
        programs: &[&Program],
        run: impl AsyncFn(&Program) -> Result<Cost, String>,
    ) -> Result<Vec<Vec<Cost>>, String> {
        let mut costs: Vec<Vec<Cost>> = programs.iter().map(|_| Vec::new()).collect();
        for round in 0..self.rounds {
            for index in (0..programs.len()).map(|index| (index + round) % programs.len()) {
                costs[index].push(run(programs[index]).await?);
            }
        }
        Ok(costs)
    }

    /// From one bucket to another, at a server whose answers take so many milliseconds more.
    pub(crate) async fn copy(&self, bench: &str, objects: Objects, latency: u64) -> Result<(), String> {
        for (count, programs) in groups(&self.programs, Work::Copy, objects.count) {
            self.fill(Objects { count, ..objects });
            let costs = self.fill_target(&programs, Place::Bucket(SOURCE), count, latency).await?;
            self.tell_copies(&Told { bench, objects: count, programs: &programs, costs: &costs });
        }
        Ok(())
    }

    /// The same at a server that gives each connection so many bytes a second.
    pub(crate) async fn copy_bounded(&self, bench: &str, objects: Objects, rate: u64) -> Result<(), String> {
        self.server.set_bandwidth(NonZeroU64::new(rate));
        let told = self.copy(bench, objects, 0).await;
        self.server.set_bandwidth(None);
        told
    }

    /// Into the empty target, in turns.
    pub(crate) async fn fill_target(
        &self,
        programs: &[&Program],
        source: Place<'_>,
        count: usize,
        latency: u64,
    ) -> Result<Vec<Vec<Cost>>, String> {
        self.server.set_latency(Duration::from_millis(latency));
        let costs = self.in_turns(programs, async |program| {
            self.empty(TARGET);
            let cost = program.mirror(&self.surroundings, source, &[Place::Bucket(TARGET)]).await?;
            self.check(program, count)?;
            Ok(cost)
        });
        let costs = costs.await;
        self.server.set_latency(Duration::ZERO);
        costs
    }

    /// That the program did what it was asked for.
    fn check(&self, program: &Program, wanted: usize) -> Result<(), String> {
        let bucket = self.server.bucket(TARGET).unwrap_or_default();
        check_count(program, wanted, bucket.keys().filter(|key| !key.starts_with(".skyfleet/")).count())
    }

    /// Fills the source with objects of one content.
    fn fill(&self, objects: Objects) {
        let contents = Contents::of(objects.content().into());
        self.server.set_bucket(SOURCE, SimulatedBucket::default().with(objects.keys(), &contents));
    }

    fn empty(&self, target: &str) {
        self.server.set_bucket(target, SimulatedBucket::forgetful());
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
        self.fill(Objects::large(count));
        self.programs[0].mirror(&self.surroundings, Place::Bucket(SOURCE), &targets.map(Place::Bucket)).await?;
        self.server.script(|_| Fault::None);
        #[allow(clippy::cast_precision_loss, reason = "small counts")]
        let each = reads.load(Ordering::Relaxed) as f64 / count as f64;
        let figure = Figure::new("mirror.fan_out.reads_per_object", Some(each), "1");
        figure.with("objects", count).with("targets", targets.len()).print();
        Ok(())
    }

    /// Two sides that are the same.
    pub(crate) async fn settled(&self, keys: usize) -> Result<(), String> {
        for (count, programs) in groups(&self.programs, Work::Compare, keys) {
            self.fill(Objects::small(count));
            self.server.set_bucket(TARGET, self.server.bucket(SOURCE).unwrap_or_default());
            let run = async |program: &Program| {
                program.mirror(&self.surroundings, Place::Bucket(SOURCE), &[Place::Bucket(TARGET)]).await
            };
            let costs = self.in_turns(&programs, run).await?;
            // Both sides are listed.
            let told = Told { bench: "mirror.settled", objects: 2 * count, programs: &programs, costs: &costs };
            self.tell(&told, "cpu_per_entry", |cost| cost.cpu);
            self.tell(&told, "wall_per_entry", |cost| cost.wall);
            self.tell_memory(&told);
        }
        Ok(())
    }
}

pub(crate) fn check_count(program: &Program, wanted: usize, found: usize) -> Result<(), String> {
    let name = program.name();
    if wanted == found { Ok(()) } else { Err(format!("{name} copied {found} objects of {wanted}")) }
}
