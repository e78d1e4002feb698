//! Which endpoint answers a request: pure. No client, no async, no clock: times are durations since a start of the caller's choice
//! that never goes back, and randomness is the caller's.
//!
//! * [`split`] and [`tiers`]: which backend of a route, and which cluster.
//! * [`pool`]: the endpoints of a route, in any algorithm: what a gateway holds. It ties together
//!   * [`round_robin`], [`least_connection`] and [`least_response_time`] (with [`response_time`]): who gets the next request,
//!   * [`affinity`]: who gets requests that belong together,
//!   * [`ejection`], [`health`] and [`slow_start`]: who gets none, or few.
//! * [`retry`] and [`hedging`], each within a [`budget`]: what is sent once more.
//! * [`rate_limit`]: how much each client may use; [`queue`]: who waits while all replicas are full.
//! * [`simulation`]: what all this is good for, in figures.
//!
//! ```
//! use std::time::Duration;
//! use skyfleet_balance::pool::{Algorithm, Endpoint, Pool, Request, Settings};
//! use skyfleet_balance::{Failure, affinity};
//!
//! let (now, mut rng) = (Duration::ZERO, fastrand::Rng::with_seed(1));
//! let mut pool = Pool::new(Settings { algorithm: Algorithm::LeastResponseTime, ..Settings::default() });
//! pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(|address| Endpoint::new(address, affinity::hash(address.as_bytes()))), now, &mut rng);
//!
//! let first = pool.pick(&Request::default(), now, &mut rng)?;
//! let refused_by = *pool.key(first).expect("it is in flight");
//! pool.failed(first, Failure::Connect, now);
//! let second = pool.pick(&Request { tried: &[first], ..Request::default() }, now, &mut rng)?;
//! assert_ne!(pool.key(second), Some(&refused_by));
//! pool.first_byte(second, now + Duration::from_millis(200));
//! pool.end(second, now + Duration::from_secs(5));
//! # Ok::<(), skyfleet_balance::NoEndpoint>(())
//! ```

pub mod affinity;
pub mod budget;
pub mod ejection;
pub mod failure;
pub mod health;
pub mod hedging;
pub mod least_connection;
pub mod least_response_time;
pub mod pool;
pub mod queue;
pub mod rate_limit;
pub mod response_time;
pub mod retry;
pub mod round_robin;
pub mod simulation;
pub mod slow_start;
pub mod split;
pub mod tiers;

pub use failure::Failure;
pub use pool::{Algorithm, Endpoint, NoEndpoint, Pool, Request, Ticket};
