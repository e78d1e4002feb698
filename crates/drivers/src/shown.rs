//! What a load balancer has, in words that all have in common.

use std::collections::BTreeMap;

/// What a load balancer has of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The servers of each route, by their addresses (`host:port`).
    pub pools: BTreeMap<String, BTreeMap<String, ShownServer>>,
}

/// A server as a load balancer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownServer {
    /// As the load balancer has it: only what they are in relation to each other means anything.
    pub weight: u32,
    /// What it does with it.
    pub state: ShownState,
    /// Requests that it has, where the load balancer tells.
    pub in_flight: Option<u32>,
}

/// What a load balancer does with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownState {
    /// It gets requests.
    Serving,
    /// It finishes what it has, and gets no more.
    Draining,
    /// It is down, as the load balancer sees it.
    Down,
}
