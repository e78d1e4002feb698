//! Weights from response times, as HAProxy has measured them: pure.
//!
//! As the built-in gateway does it, what is expected of a server follows bad news at once and good news slowly, and nothing that fails looks fast.

use std::collections::BTreeMap;
use std::time::Duration;

use super::actual::{Figures, Running};
use super::parse::Servers;

/// In so many seconds the weight of what was expected before falls to 1/e.
const DECAY_SECONDS: f64 = 10.0;

/// No server has more than so many times its share, however fast it is.
pub(super) const MOST: f64 = 3.0;

/// No server has less than that of its share: or nobody would find out that it has become faster.
const LEAST: f64 = 1.0 / 16.0;

/// What is expected of servers.
#[derive(Debug, Default)]
pub(super) struct ResponseTimes {
    backends: BTreeMap<String, BTreeMap<String, Expected>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    /// None as long as it has not answered.
    milliseconds: Option<f64>,
    seen: Figures,
    in_flight: u32,
    /// It has had requests, and answered none, for so long.
    waiting: Duration,
}

impl ResponseTimes {
    /// Enters what HAProxy says of them so long after the last time.
    #[allow(clippy::cast_precision_loss, reason = "milliseconds are few")]
    pub(super) fn enter(&mut self, servers: &Servers, passed: Duration) {
        self.backends.retain(|name, _| servers.contains_key(name));
        for (name, servers) in servers {
            let backend = self.backends.entry(name.clone()).or_default();
            backend.retain(|name, _| servers.contains_key(name));
            let median = median(backend);
            for (name, running) in servers {
                backend.entry(name.clone()).or_default().enter(running, passed, median);
            }
        }
    }

    /// How many times its share a server has.
    pub(super) fn factor(&self, backend: &str, server: &str) -> f64 {
        let Some(servers) = self.backends.get(backend) else { return 1.0 };
        let expected = servers.get(server).and_then(|expected| expected.milliseconds);
        match (expected, median(servers)) {
            (Some(expected), Some(median)) => (median.max(1.0) / expected.max(1.0)).clamp(LEAST, MOST),
            _ => 1.0,
        }
    }
}

impl Expected {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds are few")]
    fn enter(&mut self, running: &Running, passed: Duration, median: Option<f64>) {
        let (now, before) = (running.figures, self.seen);
        let is_new = now.requests < before.requests;
        let failures = if is_new { 0 } else { now.failures - before.failures.min(now.failures) };
        let answered = now.requests.saturating_sub(running.in_flight.into());
        let had_answered = before.requests.saturating_sub(self.in_flight.into());
        let kept = (-passed.as_secs_f64() / DECAY_SECONDS).exp();
        self.waiting =
            if running.in_flight > 0 && answered == had_answered { self.waiting + passed } else { Duration::ZERO };
        let old = self.milliseconds;
        let toward = |old: f64, new: f64| if new > old { new } else { new + (old - new) * kept };
        self.milliseconds = if failures > 0 {
            let known = old.or(median).unwrap_or(now.response_milliseconds as f64).max(1.0);
            let median = median.unwrap_or(known);
            Some((known * 2.0).max(median * 2.0).min(median * 16.0).max(known))
        } else if answered != had_answered {
            let measured = now.response_milliseconds as f64;
            Some(old.map_or(measured, |old| toward(old, measured)))
        } else if !self.waiting.is_zero() {
            let waited = self.waiting.as_secs_f64() * 1000.0;
            old.map(|old| old.max(waited)).or((waited > 1000.0).then_some(waited))
        } else {
            // What nobody asks is taken for as fast as the others after a while.
            old.map(|old| median.filter(|median| *median < old).map_or(old, |median| toward(old, median)))
        };
        (self.seen, self.in_flight) = (now, running.in_flight);
    }
}

fn median(servers: &BTreeMap<String, Expected>) -> Option<f64> {
    let mut all: Vec<_> = servers.values().filter_map(|expected| expected.milliseconds).collect();
    all.sort_by(f64::total_cmp);
    let upper = *all.get(all.len() / 2)?;
    let lower = *all.get((all.len() - 1) / 2)?;
    Some(f64::midpoint(lower, upper))
}
