//! Which endpoint answers a request: pure. No client, no async, no clock: times are durations since a start of the caller's choice
//! that never goes back, and randomness is the caller's.
//!
//! * [`round_robin`], [`least_connection`] and [`least_response_time`] (with [`response_time`]): who gets the next request.

pub mod least_connection;
pub mod least_response_time;
pub mod response_time;
pub mod round_robin;
