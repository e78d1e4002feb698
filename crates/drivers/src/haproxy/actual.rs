//! What HAProxy has.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::map::Entry;
use super::wanted::Asked;
use crate::{Shown, ShownServer, ShownState};

/// What HAProxy has of ours.
#[derive(Clone, Debug, Default)]
pub struct Actual {
    /// The text of the driver's part of the configuration; none if there is no such file.
    pub(super) config: Option<String>,
    /// The structure that the process has read; none if it has not read the file.
    pub(super) structure: Option<String>,
    /// Its servers, by backend.
    pub(super) backends: BTreeMap<String, BTreeMap<String, Running>>,
    /// The text of the file with the map.
    pub(super) map: Option<String>,
    /// The map that the process has.
    pub(super) entries: Vec<Entry>,
    /// What certificates and keys come to, by the names of their files.
    pub(super) files: BTreeMap<String, String>,
    /// What the names of hosts come to; nothing of one that is not known now.
    pub(super) resolved: BTreeMap<String, Vec<IpAddr>>,
}

/// A server that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// By which hashing knows it.
    pub number: u32,
    /// None if its name could not be resolved.
    pub address: Option<IpAddr>,
    pub port: u16,
    /// As it was made.
    pub first_weight: u32,
    /// As it is.
    pub weight: u32,
    pub is_backup: bool,
    /// Requests in flight; 0 for any number.
    pub most_in_flight: u32,
    pub admin: Admin,
    pub is_up: bool,
    pub asked: Asked,
    pub speaks_tls: bool,
    /// Requests that it has, or that wait for it.
    pub in_flight: u32,
    pub figures: Figures,
}

/// What was said to be done with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admin {
    Ready,
    Drain,
    /// It gets nothing, and is not asked whether it is well.
    Maintenance,
}

/// How a server has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Milliseconds to the head of an answer, the mean of the last thousand.
    pub response_milliseconds: u64,
    /// Requests that it was given.
    pub requests: u64,
    /// Of these, without connection or answer, or with a status of 500 and above.
    pub failures: u64,
}

/// What it has, in common words.
pub(super) fn shown(actual: &Actual) -> Shown {
    let pools = actual.backends.iter().filter_map(|(backend, servers)| {
        let servers = servers.iter().filter_map(|(name, running)| {
            let (host, port) = super::names::place(name)?;
            let state = match running.admin {
                Admin::Drain => ShownState::Draining,
                Admin::Ready if running.is_up => ShownState::Serving,
                Admin::Ready | Admin::Maintenance => ShownState::Down,
            };
            let shown = ShownServer { weight: running.weight, state, in_flight: Some(running.in_flight) };
            Some((super::names::address(host, port), shown))
        });
        Some((super::names::route(backend)?, servers.collect()))
    });
    Shown { pools: pools.collect() }
}
