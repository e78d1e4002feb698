//! What the reports of a fleet say, taken together.

use super::Question;
use crate::load::Load;

/// A number within this share of what is needed is left as it is.
const TOLERANCE: f64 = 0.1;

/// What was reported and is fresh.
pub(super) struct Reading {
    in_flight: Metric,
    queued: Metric,
    /// For each target: its metric in replicas' worth, or nothing where it is not reported.
    needs: Vec<Option<Need>>,
    /// Something is in flight or queued.
    busy: bool,
    /// Nothing is, and nothing was answered, for sure.
    idle: bool,
}

/// A metric, over all that report it.
#[derive(Clone, Copy, Default)]
pub(super) struct Metric {
    pub sum: f64,
    pub reporting: i32,
}

/// How many replicas a metric is worth.
#[derive(Clone, Copy)]
struct Need {
    replicas: f64,
    /// Those that are ready or report.
    serving: i32,
    /// Of those, the ones that do not report it.
    silent: i32,
}

impl Metric {
    /// What is no number, or none that can be, was not reported.
    fn of<'a>(loads: impl Iterator<Item = &'a Load>, value: impl Fn(&Load) -> Option<f64>) -> Self {
        let reported = loads
            .filter_map(|load| Some((value(load).filter(|value| value.is_finite() && *value >= 0.0)?, load.reporting)));
        reported.fold(Self::default(), |all, (value, reporting)| Self {
            sum: all.sum + value,
            reporting: all.reporting.saturating_add(reporting),
        })
    }

    fn need(self, target: i32, ready: i32) -> Option<Need> {
        let silent = (ready - self.reporting).max(0);
        let serving = self.reporting.max(ready);
        (self.reporting > 0).then(|| Need { replicas: self.sum / f64::from(target.max(1)), serving, silent })
    }
}

impl Need {
    /// As the HorizontalPodAutoscaler: where more are wanted, who does not report is idle; where fewer are, it is as busy
    /// as it shall be.
    fn wanted(self, current: i32) -> i32 {
        let all_busy = self.replicas + f64::from(self.silent);
        if self.replicas > f64::from(current) * (1.0 + TOLERANCE) {
            whole(self.replicas)
        } else if all_busy < f64::from(current.min(self.serving)) * (1.0 - TOLERANCE) {
            whole(all_busy)
        } else {
            current
        }
    }
}

impl Reading {
    pub fn of(question: &Question) -> Self {
        let fresh = || question.loads.iter().copied().filter(|load| load.reporting > 0 && load.is_fresh(question.now));
        let in_flight = Metric::of(fresh(), |load| load.in_flight);
        let queued = Metric::of(fresh(), |load| load.queued);
        let answered = Metric::of(fresh(), |load| load.requests);
        let need = |metric: Metric, target: Option<i32>| target.map(|target| metric.need(target, question.ready));
        let needs = [need(in_flight, question.spec.target_in_flight), need(queued, question.spec.target_queued)];
        let busy = in_flight.sum + queued.sum > 0.0;
        let idle = in_flight.reporting >= question.ready.max(1) && !busy && answered.sum <= 0.0;
        Self { in_flight, queued, needs: needs.into_iter().flatten().collect(), busy, idle }
    }

    /// What would be right where there are `current` replicas; nothing where nothing that is aimed at is reported. The last
    /// replica stays while something may be going on; where it is on its way out, it comes back if something is.
    pub fn wanted(&self, current: i32) -> Option<i32> {
        let wanted = self.needs.iter().flatten().map(|need| need.wanted(current)).max()?;
        let one_stays = if current > 0 { !self.idle } else { self.busy };
        let least = if self.lacks_a_target() { current } else { i32::from(one_stays) };
        Some(wanted.max(least))
    }

    /// Whether a target has no reports while another has.
    pub fn lacks_a_target(&self) -> bool {
        self.needs.iter().any(Option::is_none)
    }

    /// What a person wants to see: requests in flight and queued, as far as they are reported.
    pub fn metrics(&self) -> [(Metric, &'static str); 2] {
        [(self.in_flight, "in flight"), (self.queued, "queued")]
    }
}

#[allow(clippy::cast_possible_truncation, reason = "`as` takes what is too large for the largest there is")]
fn whole(replicas: f64) -> i32 {
    replicas.ceil() as i32
}
