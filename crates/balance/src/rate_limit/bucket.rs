//! One limit: the generic cell rate algorithm (GCRA; ITU-T I.371, ATM Forum TM 4.0), which is a token bucket that needs to keep no more
//! than the time at which it is full again.

use std::time::Duration;

const NANOSECONDS_PER_MINUTE: u128 = 60_000_000_000;

/// So much per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What comes back in a minute. Zero lets nothing through.
    pub per_minute: u64,
    /// What may be taken at once when nothing was taken for long.
    pub burst: u64,
}

impl Limit {
    /// All that a minute brings may be taken at once, as most services have it.
    #[must_use]
    pub fn per_minute(per_minute: u64) -> Self {
        Self { per_minute, burst: per_minute }
    }

    /// The time in which so much comes back.
    fn time(&self, amount: u64) -> Duration {
        let nanoseconds = (u128::from(amount) * NANOSECONDS_PER_MINUTE).checked_div(self.per_minute.into());
        let nanoseconds = nanoseconds.and_then(|nanoseconds| u64::try_from(nanoseconds).ok());
        // Centuries are never.
        Duration::from_nanos(nanoseconds.unwrap_or(u64::MAX))
    }
}

/// What was taken, as the time at which all of it has come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    full_at: Duration,
}

impl Bucket {
    /// When it is full: from then on it is as if nothing had ever been taken.
    #[must_use]
    pub fn full_at(&self) -> Duration {
        self.full_at
    }

    /// How long to wait until so much may be taken; zero is now. What is more than a burst may be taken when the bucket is full, and is
    /// owed after that: otherwise it never could.
    #[must_use]
    pub fn wait(&self, amount: u64, limit: &Limit, now: Duration) -> Duration {
        let room = limit.time(limit.burst).saturating_sub(limit.time(amount));
        if limit.per_minute == 0 && amount > 0 {
            return Duration::MAX;
        }
        self.full_at.saturating_sub(now).saturating_sub(room)
    }

    /// Takes so much, whether it is there or has to be owed.
    pub fn take(&mut self, amount: u64, limit: &Limit, now: Duration) {
        self.full_at = self.full_at.max(now).saturating_add(limit.time(amount));
    }

    /// Gives so much back of what was taken, after which the bucket was to be full at `paid_at`. What has come back by itself since then
    /// is not given twice.
    pub fn give_back(&mut self, amount: u64, limit: &Limit, paid_at: Duration, now: Duration) {
        self.full_at = self.full_at.saturating_sub(limit.time(amount).min(paid_at.saturating_sub(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_taken_comes_back() {
        // One a second, ten at once.
        let limit = Limit { per_minute: 60, burst: 10 };
        let mut bucket = Bucket::default();
        assert_eq!(bucket.wait(10, &limit, at(100)), Duration::ZERO);
        bucket.take(10, &limit, at(100));
        for (amount, now, expected) in [(1, 100, 1), (3, 100, 3), (3, 102, 1), (3, 103, 0), (10, 103, 7), (10, 1000, 0)]
        {
            assert_eq!(bucket.wait(amount, &limit, at(now)), at(expected), "{amount} at {now}");
        }
    }

    #[test]
    fn more_than_a_burst_is_owed() {
        let limit = Limit { per_minute: 60, burst: 10 };
        let mut bucket = Bucket::default();
        assert_eq!(bucket.wait(100, &limit, at(0)), Duration::ZERO);
        bucket.take(100, &limit, at(0));
        assert_eq!((bucket.wait(1, &limit, at(0)), bucket.wait(1, &limit, at(91))), (at(91), at(0)));
    }

    #[test]
    fn what_has_come_back_by_itself_is_not_given_twice() {
        let limit = Limit { per_minute: 60, burst: 10 };
        let mut bucket = Bucket::default();
        bucket.take(10, &limit, at(0));
        let paid_at = bucket.full_at();
        let mut early = bucket;
        early.give_back(8, &limit, paid_at, at(1));
        assert_eq!(early.full_at(), at(2));
        // It was full at second 10, and five more were taken at second 20.
        bucket.take(5, &limit, at(20));
        bucket.give_back(8, &limit, paid_at, at(21));
        assert_eq!(bucket.full_at(), at(25));
    }

    #[test]
    fn extremes() {
        let none = Limit::per_minute(0);
        assert_eq!(Bucket::default().wait(1, &none, at(0)), Duration::MAX);
        let all = Limit::per_minute(u64::MAX);
        let mut bucket = Bucket::default();
        bucket.take(u64::MAX, &all, at(0));
        assert_eq!(bucket.full_at(), at(60));
    }
}
