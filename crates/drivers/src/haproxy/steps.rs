//! From what HAProxy has to what it is to have: pure.

use std::collections::BTreeMap;

use super::actual::{Actual, Admin, Running};
use super::map::{self, Entry};
use super::names::{digest, place};
use super::render::{self, Blocks};
use super::wanted::{Asked, Backend, Content, Server, Wanted};

/// A change that is done or not done.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A file with certificates or a key is written.
    File(String, Content),
    /// A file that nothing will read any more is removed.
    Forget(String),
    /// The configuration is tried and written, and a new process reads it; if that does not come, what was there before is written again.
    Load(Content),
    /// The configuration is tried and written: the process has what it says already.
    Config(Content),
    /// A server is made, and gets requests.
    Add(Named, Box<Made>),
    /// A server gets requests, and is asked what it is to be asked.
    Ready(Named, Asked),
    /// A server is elsewhere.
    Address(Named),
    /// It has another weight.
    Weight(Named, u32),
    /// It takes more or fewer requests at once.
    MostInFlight(Named, u32),
    /// It gets no more requests, and finishes those that it has.
    Drain(Named),
    /// It has none any more, and is removed.
    Delete(Named),
    /// The process has requests go by these, all at once.
    Map(Vec<Entry>),
    /// The next process will.
    MapFile(Content),
}

/// What a server is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// As it is to be.
    pub(super) server: Server,
    /// What all servers of the backend have.
    pub(super) common: String,
    /// What is asked all the time.
    pub(super) asked: Asked,
}

/// A server of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The backend's name.
    pub(super) backend: String,
    /// The server's name.
    pub(super) server: String,
}

/// The least changes, in their order.
pub(super) fn steps(actual: &Actual, wanted: &Wanted) -> Vec<Step> {
    let blocks = render::blocks(&wanted.backends);
    let mut steps = missing(actual, wanted);
    if is_loaded(actual, wanted, &blocks) {
        // Nobody is taken out before who comes instead is there.
        steps.extend(wanted.backends.iter().flat_map(|(name, backend)| present(actual, name, backend)));
        steps.extend(maps(actual, wanted));
        let config = render::config(&blocks);
        if actual.config.as_ref() != Some(&config) {
            steps.push(Step::Config(content(config)));
        }
        steps.extend(wanted.backends.iter().flat_map(|(name, backend)| gone(actual, name, backend)));
    } else {
        steps.extend(loads(actual, wanted, blocks));
    }
    let forgotten = actual.files.keys().filter(|name| !wanted.files.contains_key(*name));
    steps.extend(forgotten.map(|name| Step::Forget(name.clone())));
    steps
}

fn content(text: String) -> Content {
    Content(text.into_bytes())
}

fn missing(actual: &Actual, wanted: &Wanted) -> Vec<Step> {
    let is_there = |name: &String, content: &Content| actual.files.get(name) == Some(&digest(&content.0));
    let missing = wanted.files.iter().filter(|(name, content)| !is_there(name, content));
    missing.map(|(name, content)| Step::File(name.clone(), content.clone())).collect()
}

/// Whether all that only a reload changes is as it is to be, in the file and in the process.
fn is_loaded(actual: &Actual, wanted: &Wanted, blocks: &Blocks) -> bool {
    let structure = Some(render::structure(blocks));
    let before = actual.config.as_deref().and_then(render::parsed);
    let is_as = |running: &Running, server: &Server, backend: &Backend| {
        running.number == server.number
            && running.is_backup == server.is_backup
            && running.speaks_tls == backend.common.contains("ssl ")
            // One that has no limit cannot be given one.
            && (running.most_in_flight == 0) == (server.most_in_flight == 0)
    };
    let are_alike = wanted.backends.iter().all(|(name, backend)| {
        let running = actual.backends.get(name);
        backend.servers.iter().all(|(name, server)| {
            running.and_then(|all| all.get(name)).is_none_or(|running| is_as(running, server, backend))
        })
    });
    actual.structure == structure && before.as_ref().map(render::structure) == structure && are_alike
}

/// By way of new processes. Backends that requests may still go to stay until they do not.
fn loads(actual: &Actual, wanted: &Wanted, blocks: Blocks) -> Vec<Step> {
    let mut steps = Vec::new();
    // What a new process reads is to be what the old one has: the file may have been changed by hand.
    let running = map::text(&actual.entries);
    if actual.map.as_ref() != Some(&running) {
        steps.push(Step::MapFile(content(running.clone())));
    }
    let (text, last) = (map::text(&wanted.entries), render::config(&blocks));
    if running != text {
        let mut all = actual.config.as_deref().and_then(render::parsed).unwrap_or_default();
        all.extend(blocks);
        let first = render::config(&all);
        let is_done = actual.config.as_ref() == Some(&first) && actual.structure == Some(render::structure(&all));
        let is_last = first == last;
        if is_last || !is_done {
            steps.push(Step::Load(content(first)));
        }
        steps.push(Step::Map(wanted.entries.clone()));
        steps.push(Step::MapFile(content(text)));
        if is_last {
            return steps;
        }
    }
    steps.push(Step::Load(content(last)));
    steps
}

fn maps(actual: &Actual, wanted: &Wanted) -> Vec<Step> {
    let (text, mut steps) = (map::text(&wanted.entries), Vec::new());
    if actual.entries != wanted.entries {
        steps.push(Step::Map(wanted.entries.clone()));
    }
    if actual.map.as_ref() != Some(&text) {
        steps.push(Step::MapFile(content(text)));
    }
    steps
}

fn running<'a>(actual: &'a Actual, backend: &str) -> impl Iterator<Item = (&'a String, &'a Running)> + use<'a> {
    actual.backends.get(backend).into_iter().flatten()
}

/// What makes the servers that are to be there what they are to be.
fn present(actual: &Actual, name: &str, backend: &Backend) -> Vec<Step> {
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
        if !is_there(actual, server_name, running) {
            steps.push(Step::Address(of.clone()));
        }
        // The agent has its own.
        if !asked.agent && running.weight != server.weight {
            steps.push(Step::Weight(of.clone(), server.weight));
        }
        if running.most_in_flight != server.most_in_flight {
            steps.push(Step::MostInFlight(of.clone(), server.most_in_flight));
        }
        if running.admin != Admin::Ready || running.asked != asked {
            steps.push(Step::Ready(of, asked));
        }
    }
    steps
}

/// Whether it is where its name says. Of one that cannot be resolved now nothing is known.
fn is_there(actual: &Actual, name: &str, running: &Running) -> bool {
    let Some((host, port)) = place(name) else { return true };
    let is_address = match (host.parse(), actual.resolved.get(host)) {
        (Ok(address), _) => running.address == Some(address),
        (Err(_), Some(all)) if !all.is_empty() => running.address.is_some_and(|address| all.contains(&address)),
        (Err(_), _) => true,
    };
    is_address && running.port == port
}

/// What takes the others out. Who drains is left alone until it has nothing any more.
fn gone(actual: &Actual, name: &str, backend: &Backend) -> Vec<Step> {
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

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.backend, self.server)
    }
}
