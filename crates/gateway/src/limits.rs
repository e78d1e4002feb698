//! What clients may ask for in a minute. Each gateway counts for itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skyfleet_balance::rate_limit::{Limit, Limits, RateLimited, RateLimiter, Reservation};

use crate::config::{RateLimits, Rates};

/// Clients that are remembered. Of more, those are forgotten that used least.
const MOST_CLIENTS: usize = 100_000;

/// The limits of one route. They survive changes of the configuration.
pub(crate) struct Limiter {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    clients: RateLimiter<u64>,
    all: RateLimiter<()>,
}

/// Which limit is reached.
#[derive(Debug)]
pub(crate) struct Reached {
    /// Of one client, or of all together.
    pub(crate) is_of_client: bool,
    pub(crate) limited: RateLimited,
}

/// What was reserved for a request. Unless it is settled, it counts as used.
pub(crate) struct Charge {
    limiter: Arc<Limiter>,
    client: u64,
    of_client: Reservation,
    of_all: Reservation,
}

impl Limiter {
    pub(crate) fn new() -> Self {
        let state = State {
            clients: RateLimiter::new(Limits::default(), MOST_CLIENTS),
            all: RateLimiter::new(Limits::default(), 1),
        };
        Self { began: Instant::now(), state: Mutex::new(state) }
    }

    pub(crate) fn configure(&self, limits: &RateLimits) {
        let mut state = self.state();
        state.clients.configure(of(limits.per_client.as_ref()));
        state.all.configure(of(limits.total.as_ref()));
    }

    /// Reserves a request and the tokens that it is likely to use.
    pub(crate) fn reserve(self: &Arc<Self>, client: u64, tokens: u64) -> Result<Charge, Reached> {
        let now = self.began.elapsed();
        let mut state = self.state();
        let State { clients, all } = &mut *state;
        let reached = |is_of_client| move |limited| Reached { is_of_client, limited };
        let of_client = clients.reserve(&client, tokens, now).map_err(reached(true))?;
        match all.reserve(&(), tokens, now).map_err(reached(false)) {
            Ok(of_all) => Ok(Charge { limiter: self.clone(), client, of_client, of_all }),
            Err(reached) => {
                clients.cancel(&client, of_client, now);
                Err(reached)
            }
        }
    }

    // A panic while the lock is held ends one request; the buckets stay within their bounds.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charge {
    /// So many tokens were really used; `None` is none, since the request was not made.
    pub(crate) fn settle(self, used: Option<u64>) {
        let Self { limiter, client, of_client, of_all } = self;
        let now: Duration = limiter.began.elapsed();
        let mut state = limiter.state();
        if let Some(used) = used {
            state.clients.settle(&client, of_client, used, now);
            state.all.settle(&(), of_all, used, now);
        } else {
            state.clients.cancel(&client, of_client, now);
            state.all.cancel(&(), of_all, now);
        }
    }
}

fn of(rates: Option<&Rates>) -> Limits {
    let limit = |per_minute: Option<u64>| per_minute.map(Limit::per_minute);
    rates.map_or_else(Limits::default, |rates| Limits {
        requests: limit(rates.requests_per_minute),
        tokens: limit(rates.tokens_per_minute),
    })
}
