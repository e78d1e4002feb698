//! The gateway over real sockets: bytes in, bytes out.
#![allow(clippy::unwrap_used)]

mod bodies;
mod calls;
mod certificates;
mod client;
mod conformance;
mod cookies;
mod deadlines;
mod failures;
mod grpc;
mod grpc_failures;
mod health;
mod hedging;
mod leaving;
mod limits;
mod models;
mod port;
mod relays;
mod replica;
mod restarts;
mod running;
mod service;
mod shadow;
mod streams;
mod tls;
mod upstream_tls;
