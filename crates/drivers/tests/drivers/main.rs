//! Drivers with the real load balancers: what these do with requests, and what they say they have.
#![allow(clippy::unwrap_used)]

mod apache;
mod balancer;
mod client;
mod conformance;
mod gateway;
mod haproxy;
mod load;
mod nginx;
#[path = "../../../gateway/tests/gateway/port.rs"]
mod port;
mod replica;
mod routes;
