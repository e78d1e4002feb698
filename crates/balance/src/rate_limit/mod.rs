//! Rate limits by requests and tokens per minute. How many tokens a request costs is known in the end only: an estimate is reserved
//! before, and what was really used is settled after. Who used more than was reserved owes it, and pays by waiting.

mod bucket;

use std::collections::BTreeMap;
use std::time::Duration;

pub use bucket::{Bucket, Limit};

/// What a client may use, or a model give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests.
    pub requests: Option<Limit>,
    /// Tokens, of prompts and answers.
    pub tokens: Option<Limit>,
}

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exceeded {
    /// Requests.
    Requests,
    /// Tokens.
    Tokens,
}

/// The limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit of {exceeded:?} per minute is reached: try again in {} s", retry_after.as_secs_f64().ceil())]
pub struct RateLimited {
    /// Which limit it is that takes longer to wait for.
    pub exceeded: Exceeded,
    /// When the same request would get through if no other came meanwhile: the `Retry-After` of the answer, rounded up to seconds.
    pub retry_after: Duration,
}

/// What was reserved for a request. It is settled once, or cancelled.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is never settled counts as used"]
pub struct Reservation {
    tokens: u64,
    requests_paid_at: Duration,
    tokens_paid_at: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Buckets {
    requests: Bucket,
    tokens: Bucket,
}

impl Buckets {
    fn full_at(&self) -> Duration {
        self.requests.full_at().max(self.tokens.full_at())
    }
}

/// The limits of many clients, or of many models: a gateway has one of each, and cancels at the first what the second refuses.
///
/// It keeps a bounded number of them. Whose buckets are full is forgotten without a difference; if there are too many of the others,
/// those who owe least are.
#[derive(Clone, Debug)]
pub struct RateLimiter<K> {
    limits: Limits,
    buckets: BTreeMap<K, Buckets>,
    most: usize,
}

impl<K: Clone + Ord> RateLimiter<K> {
    /// The same limits for each, of which at most so many are kept.
    #[must_use]
    pub fn new(limits: Limits, most: usize) -> Self {
        Self { limits, buckets: BTreeMap::new(), most: most.max(1) }
    }

    /// Has other limits from now on. What was used remains used.
    pub fn configure(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Reserves a request and the tokens that it is likely to use.
    ///
    /// # Errors
    /// When a limit is reached; nothing is reserved then.
    pub fn reserve(&mut self, key: &K, tokens: u64, now: Duration) -> Result<Reservation, RateLimited> {
        let mut buckets = self.buckets.get(key).copied().unwrap_or_default();
        let wait = |bucket: &Bucket, limit: Option<Limit>, amount| {
            limit.map_or(Duration::ZERO, |limit| bucket.wait(amount, &limit, now))
        };
        let for_requests = wait(&buckets.requests, self.limits.requests, 1);
        let for_tokens = wait(&buckets.tokens, self.limits.tokens, tokens);
        let exceeded = if for_tokens > for_requests { Exceeded::Tokens } else { Exceeded::Requests };
        let retry_after = for_requests.max(for_tokens);
        if retry_after > Duration::ZERO {
            return Err(RateLimited { exceeded, retry_after });
        }
        if let Some(limit) = &self.limits.requests {
            buckets.requests.take(1, limit, now);
        }
        if let Some(limit) = &self.limits.tokens {
            buckets.tokens.take(tokens, limit, now);
        }
        let (requests_paid_at, tokens_paid_at) = (buckets.requests.full_at(), buckets.tokens.full_at());
        self.keep(key, buckets, now);
        Ok(Reservation { tokens, requests_paid_at, tokens_paid_at })
    }

    /// So many tokens were really used.
    #[allow(clippy::needless_pass_by_value, reason = "it is settled once")]
    pub fn settle(&mut self, key: &K, reservation: Reservation, used: u64, now: Duration) {
        let Some(limit) = self.limits.tokens else { return };
        let mut buckets = self.buckets.get(key).copied().unwrap_or_default();
        if used > reservation.tokens {
            buckets.tokens.take(used - reservation.tokens, &limit, now);
        } else {
            buckets.tokens.give_back(reservation.tokens - used, &limit, reservation.tokens_paid_at, now);
        }
        self.keep(key, buckets, now);
    }

    /// The request was not made: as if nothing had been reserved.
    pub fn cancel(&mut self, key: &K, reservation: Reservation, now: Duration) {
        if let (Some(limit), Some(buckets)) = (&self.limits.requests, self.buckets.get_mut(key)) {
            buckets.requests.give_back(1, limit, reservation.requests_paid_at, now);
        }
        self.settle(key, reservation, 0, now);
    }

    fn keep(&mut self, key: &K, buckets: Buckets, now: Duration) {
        if let Some(kept) = self.buckets.get_mut(key) {
            *kept = buckets;
        } else if buckets.full_at() > now {
            if self.buckets.len() >= self.most {
                self.make_room(now);
            }
            self.buckets.insert(key.clone(), buckets);
        }
    }

    /// Forgets all whose buckets are full, or else the tenth that owes least: then it is long until room has to be made again.
    fn make_room(&mut self, now: Duration) {
        self.buckets.retain(|_, buckets| buckets.full_at() > now);
        if self.buckets.len() >= self.most {
            let mut times: Vec<_> = self.buckets.values().map(Buckets::full_at).collect();
            let (_, least, _) = times.select_nth_unstable(self.most / 10);
            let least = *least;
            self.buckets.retain(|_, buckets| buckets.full_at() > least);
        }
    }
}

#[cfg(test)]
mod tests;
