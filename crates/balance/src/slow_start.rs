//! Slow start: what begins to serve, or serves again, gets its weight bit by bit, since its caches are cold and its compiler has not
//! warmed up. The curve is that of Envoy's `slow_start_config`.

use std::time::Duration;

/// How the weight grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// After this time it is the whole weight. Zero turns slow start off.
    pub window: Duration,
    /// The share of the weight at the beginning, from 0 to 1.
    pub minimum: f64,
    /// 1 grows evenly; above that most of the weight comes early.
    pub aggression: f64,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self { window: Duration::from_secs(30), minimum: 0.1, aggression: 1.0 }
    }
}

impl SlowStart {
    /// The share of its weight that an endpoint has after it has served for this time, from the minimum to 1.
    #[must_use]
    pub fn share(&self, serving: Duration) -> f64 {
        if serving >= self.window {
            return 1.0;
        }
        let passed = serving.as_secs_f64() / self.window.as_secs_f64();
        let grown = if self.aggression > 1.0 { passed.powf(1.0 / self.aggression) } else { passed };
        grown.max(self.minimum).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_from_the_minimum_to_all() {
        let even = SlowStart { window: Duration::from_secs(100), ..SlowStart::default() };
        let eager = SlowStart { aggression: 2.0, ..even };
        let off = SlowStart { window: Duration::ZERO, ..even };
        for (slow_start, seconds, expected) in [
            (even, 0, 0.1),
            (even, 5, 0.1),
            (even, 50, 0.5),
            (even, 99, 0.99),
            (even, 100, 1.0),
            (even, 1000, 1.0),
            (eager, 25, 0.5),
            (off, 0, 1.0),
        ] {
            let share = slow_start.share(Duration::from_secs(seconds));
            assert!((share - expected).abs() < 1e-9, "{seconds} s: {share} is not {expected}");
        }
    }
}
