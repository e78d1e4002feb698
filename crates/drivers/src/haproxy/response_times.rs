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
            let typical = typical(backend);
            for (name, running) in servers {
                backend.entry(name.clone()).or_default().enter(running, passed, typical);
            }
        }
    }

    /// How many times its share a server has.
    pub(super) fn factor(&self, backend: &str, server: &str) -> f64 {
        let Some(servers) = self.backends.get(backend) else { return 1.0 };
        let expected = servers.get(server).and_then(|expected| expected.milliseconds);
        match (expected, typical(servers)) {
            (Some(expected), Some(typical)) => (typical / expected.max(1.0)).clamp(LEAST, MOST),
            _ => 1.0,
        }
    }
}

impl Expected {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds are few")]
    fn enter(&mut self, running: &Running, passed: Duration, typical: Option<f64>) {
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
            let known = old.or(typical).unwrap_or(now.response_milliseconds as f64).max(1.0);
            let typical = typical.unwrap_or(known);
            Some((known * 2.0).max(typical * 2.0).min(typical * 16.0).max(known))
        } else if answered != had_answered {
            let measured = now.response_milliseconds as f64;
            Some(old.map_or(measured, |old| toward(old, measured)))
        } else if !self.waiting.is_zero() {
            let waited = self.waiting.as_secs_f64() * 1000.0;
            old.map(|old| old.max(waited)).or((waited > 1000.0).then_some(waited))
        } else {
            // What nobody asks is taken for as fast as the others after a while.
            old.map(|old| typical.filter(|typical| *typical < old).map_or(old, |typical| toward(old, typical)))
        };
        (self.seen, self.in_flight) = (now, running.in_flight);
    }
}

/// The harmonic mean of what is expected: a few that fail or hang do not change it much.
fn typical(servers: &BTreeMap<String, Expected>) -> Option<f64> {
    let rates = servers.values().filter_map(|expected| expected.milliseconds).map(|expected| 1.0 / expected.max(1.0));
    let (count, sum) = rates.fold((0, 0.0), |(count, sum), rate| (count + 1, sum + rate));
    (count > 0).then(|| f64::from(count) / sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::actual::Admin;
    use crate::haproxy::wanted::Asked;

    const SECOND: Duration = Duration::from_secs(1);

    /// A backend whose servers have these milliseconds, requests, failures and requests in flight.
    fn backend(servers: &[(&str, u64, u64, u64, u32)]) -> Servers {
        let servers = servers.iter().map(|&(name, response_milliseconds, requests, failures, in_flight)| {
            let running = Running {
                number: 1,
                address: None,
                port: 1,
                first_weight: 1,
                weight: 1,
                is_backup: false,
                most_in_flight: 0,
                admin: Admin::Ready,
                is_up: true,
                asked: Asked { health: true, agent: true },
                speaks_tls: false,
                in_flight,
                figures: Figures { response_milliseconds, requests, failures },
            };
            (name.to_owned(), running)
        });
        BTreeMap::from([("b".to_owned(), servers.collect())])
    }

    fn factors(times: &ResponseTimes) -> [f64; 3] {
        ["x", "y", "z"].map(|server| times.factor("b", server))
    }

    fn rounded(times: &ResponseTimes) -> String {
        factors(times).map(|factor| format!("{factor:.1}")).join(" ")
    }

    #[test]
    fn shares_are_as_response_times_within_bounds() {
        let mut times = ResponseTimes::default();
        times.enter(&backend(&[("x", 0, 0, 0, 0), ("y", 0, 0, 0, 0), ("z", 0, 0, 0, 0)]), SECOND);
        assert_eq!(rounded(&times), "1.0 1.0 1.0", "nothing is known");
        times.enter(&backend(&[("x", 50, 10, 0, 0), ("y", 100, 10, 0, 0), ("z", 200, 10, 0, 0)]), SECOND);
        assert_eq!(rounded(&times), "1.7 0.9 0.4");
        times.enter(&backend(&[("x", 1, 20, 0, 0), ("y", 100, 20, 0, 0), ("z", 90_000, 20, 0, 0)]), SECOND);
        assert_eq!(rounded(&times), "2.1 0.9 0.1", "nobody is left out");
        for round in 3..40 {
            let requests = round * 10;
            let all = [("x", 1, requests, 0, 0), ("y", 100, requests, 0, 0), ("z", 100, requests, 0, 0)];
            times.enter(&backend(&all), SECOND * 5);
        }
        assert!((2.5..=MOST).contains(&factors(&times)[0]));
    }

    #[test]
    fn who_fails_fast_or_hangs_never_looks_fast() {
        let mut times = ResponseTimes::default();
        times.enter(&backend(&[("x", 100, 10, 0, 0), ("y", 100, 10, 0, 0), ("z", 100, 10, 0, 0)]), SECOND);
        // The answers of x are errors, and soon; y answers nothing any more.
        for round in 2..12 {
            let requests = round * 10;
            let all = [("x", 1, requests, requests, 0), ("y", 100, 12, 0, 2), ("z", 100, requests, 0, 0)];
            times.enter(&backend(&all), SECOND);
        }
        let [failing, hanging, good] = factors(&times);
        assert!(failing < good / 2.0 && hanging < good / 8.0, "{failing} {hanging} {good}");
    }

    #[test]
    fn bad_news_is_believed_at_once_and_good_news_slowly() {
        let mut times = ResponseTimes::default();
        let all =
            |x, requests| backend(&[("x", x, requests, 0, 0), ("y", 100, requests, 0, 0), ("z", 100, requests, 0, 0)]);
        times.enter(&all(100, 10), SECOND);
        times.enter(&all(1000, 20), SECOND);
        assert_eq!(rounded(&times), "0.1 1.4 1.4");
        times.enter(&all(100, 30), SECOND);
        assert!(factors(&times)[0] < 0.3);
        // Whom nobody asks is tried again after a while.
        for _ in 0..60 {
            times.enter(&all(100, 30), SECOND);
        }
        assert!(factors(&times)[0] > 0.9);
        // A process that has begun anew counts from zero.
        times.enter(&all(100, 5), SECOND);
        assert!(factors(&times)[0] > 0.9);
        times.enter(&BTreeMap::new(), SECOND);
        assert_eq!(rounded(&times), "1.0 1.0 1.0", "what is gone is forgotten");
    }
}
