//! Failures on purpose, so that tests can see what is done about them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lets a share of the requests fail.
pub struct Faults {
    percent: u8,
    requests: AtomicU64,
}

impl Faults {
    /// So many of a hundred.
    #[must_use]
    pub fn new(percent: u8) -> Self {
        Self { percent, requests: AtomicU64::new(0) }
    }

    /// Whether the next request fails. Failures are spread evenly, not left to chance: a test can count on them.
    pub fn strikes(&self) -> bool {
        let before = self.requests.fetch_add(1, Ordering::Relaxed) % 100;
        let due = |requests: u64| requests * u64::from(self.percent) / 100;
        due(before + 1) > due(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_of_each_hundred_fail() {
        for percent in [0, 1, 30, 99, 100] {
            let faults = Faults::new(percent);
            for _ in 0..3 {
                let struck = (0..100).filter(|_| faults.strikes()).count();
                assert_eq!(struck, usize::from(percent));
            }
        }
        let half = Faults::new(50);
        assert_eq!([half.strikes(), half.strikes(), half.strikes(), half.strikes()], [false, true, false, true]);
    }
}
