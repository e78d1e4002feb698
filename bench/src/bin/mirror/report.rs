//! What is told of the runs.

use std::time::Duration;

use skyfleet_bench::figures::{Figure, percentile};

use crate::measured::Cost;
use crate::program::Program;
use crate::scenario::Bench;

/// The runs of each program, Skyfleet's first, and of how many objects each was.
pub(crate) struct Told<'a> {
    pub(crate) bench: &'a str,
    pub(crate) objects: usize,
    pub(crate) programs: &'a [&'a Program],
    pub(crate) costs: &'a [Vec<Cost>],
}

impl Bench {
    pub(crate) fn tell_copies(&self, told: &Told<'_>) {
        self.tell(told, "cpu_per_object", |cost| cost.cpu);
        self.tell(told, "wall_per_object", |cost| cost.wall);
        self.tell_memory(told);
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
        let is_tls = self.surroundings.certificate.is_some();
        let figure = || {
            let figure = Figure::new(format!("{}.{what}", told.bench), value, unit);
            figure.with("objects", told.objects).with("rounds", self.rounds).with("tls", is_tls)
        };
        if told.programs.len() == 1 {
            figure().print();
        }
        for (program, costs) in told.programs.iter().zip(told.costs).skip(1) {
            let (mut figure, theirs) = (figure(), value_of(costs));
            figure.peer = Some(program.name().to_owned());
            figure.ratio = value.zip(theirs).map(|(value, theirs)| (value / theirs * 1000.0).round() / 1000.0);
            figure.with("peer_value", theirs.map(|value| (value * 100.0).round() / 100.0)).print();
        }
    }
}
