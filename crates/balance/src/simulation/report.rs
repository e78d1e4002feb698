//! What came of a simulation.

use std::time::Duration;

/// Shares are looked at in windows of this time.
const WINDOW: Duration = Duration::from_secs(1);

/// What came of a simulation.
#[derive(Clone, Debug)]
pub struct Report {
    /// Times to first byte.
    took: Vec<Duration>,
    failures: usize,
    /// Requests by window and replica.
    windows: Vec<Vec<u32>>,
    replicas: usize,
}

impl Report {
    pub(super) fn new(replicas: usize) -> Self {
        Self { took: Vec::new(), failures: 0, windows: Vec::new(), replicas }
    }

    pub(super) fn answered(&mut self, took: Duration) {
        self.took.push(took);
    }

    pub(super) fn failed(&mut self) {
        self.failures += 1;
    }

    pub(super) fn picked(&mut self, replica: usize, now: Duration) {
        let window = usize::try_from(now.as_nanos() / WINDOW.as_nanos()).unwrap_or_default();
        while self.windows.len() <= window {
            self.windows.push(vec![0; self.replicas]);
        }
        if let Some(count) = self.windows.get_mut(window).and_then(|window| window.get_mut(replica)) {
            *count += 1;
        }
    }

    /// Requests that were answered.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.took.len()
    }

    /// Requests that failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// The time to first byte that this share of requests (from 0 to 1) did not exceed, in milliseconds.
    #[must_use]
    pub fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place"
        )]
        let place = (sorted.len().saturating_sub(1) as f64 * share) as usize;
        sorted.get(place).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    }

    /// The share of answered requests that had their first byte in this time, from 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    pub fn within(&self, time: Duration) -> f64 {
        self.took.iter().filter(|took| **took <= time).count() as f64 / self.took.len().max(1) as f64
    }

    /// The requests of one replica in so many seconds, by what an equal share of all would be: the least and the most there was in the
    /// windows from this time on.
    #[must_use]
    pub fn shares(&self, replicas: std::ops::Range<usize>, from: Duration, seconds: usize) -> (f64, f64) {
        let first = usize::try_from(from.as_secs()).unwrap_or(usize::MAX);
        let windows = self.windows.get(first..).unwrap_or_default();
        let mut extremes = (f64::INFINITY, 0.0_f64);
        for window in windows.chunks_exact(seconds) {
            let count =
                |replica| window.iter().filter_map(|counts| counts.get(replica)).copied().map(f64::from).sum::<f64>();
            let all: f64 = (0..self.replicas).map(count).sum();
            for share in replicas.clone().map(count) {
                #[allow(clippy::cast_precision_loss, reason = "some replicas")]
                let share = share * self.replicas as f64 / all;
                extremes = (extremes.0.min(share), extremes.1.max(share));
            }
        }
        extremes
    }
}
