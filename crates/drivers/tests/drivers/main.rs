//! Drivers with the real load balancers, which they are read back from.
#![allow(clippy::unwrap_used)]
