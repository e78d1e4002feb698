//! From the servers that a backend has to those that it is to have: pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::actual::{Actual, Admin, Running};
use super::names::place;
use super::step::{Made, Named, Step};
use super::wanted::Backend;

fn running<'a>(actual: &'a Actual, backend: &str) -> impl Iterator<Item = (&'a String, &'a Running)> + use<'a> {
    actual.backends.get(backend).into_iter().flatten()
}

/// What makes the servers that are to be there what they are to be.
pub(super) fn present(actual: &Actual, name: &str, backend: &Backend) -> Vec<Step> {
    let existing: BTreeMap<_, _> = running(actual, name).collect();
    let asked = backend.asked;
    let mut steps = Vec::new();
    for (server_name, server) in &backend.servers {
        let of = Named { backend: name.to_owned(), server: server_name.clone() };
        let Some(running) = existing.get(server_name) else {
            let made = Made { server: server.clone(), common: backend.common.clone(), asked };
            steps.push(Step::Add(of, Box::new(made)));
            continue;
        };
        let Some((host, port)) = place(server_name) else { continue };
        let should = addresses(actual, host);
        let is_known = !should.is_empty();
        let is_there = running.address.is_some_and(|address| should.contains(&address)) && running.port == port;
        if is_known && !is_there {
            steps.push(Step::Address(of.clone()));
        }
        // The agent has its own.
        if !asked.agent && running.weight != server.weight {
            steps.push(Step::Weight(of.clone(), server.weight));
        }
        if running.most_in_flight != server.most_in_flight {
            steps.push(Step::MostInFlight(of.clone(), server.most_in_flight));
        }
        if is_known && (running.admin != Admin::Ready || running.asked != asked) {
            steps.push(Step::Ready(of, asked));
        }
    }
    steps
}

/// Where a server should be; nothing if its name is not known now.
pub(super) fn addresses(actual: &Actual, host: &str) -> Vec<IpAddr> {
    host.parse().map_or_else(|_| actual.resolved.get(host).cloned().unwrap_or_default(), |address| vec![address])
}

/// What takes the others out. Who drains is left alone until it has nothing any more.
pub(super) fn gone(actual: &Actual, name: &str, backend: &Backend) -> Vec<Step> {
    let others = running(actual, name).filter(|(server, _)| !backend.servers.contains_key(*server));
    let step = |(server, running): (&String, &Running)| {
        let of = Named { backend: name.to_owned(), server: server.clone() };
        match running.admin {
            Admin::Ready => Some(Step::Drain(of)),
            Admin::Drain | Admin::Maintenance if running.in_flight == 0 => Some(Step::Delete(of)),
            Admin::Drain | Admin::Maintenance => None,
        }
    };
    others.filter_map(step).collect()
}
