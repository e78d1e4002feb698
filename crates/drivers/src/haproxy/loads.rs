//! What only a new process has of a configuration, and how it comes to have it: pure.

use super::actual::{Actual, Running};
use super::names::place;
use super::render::{self, Blocks};
use super::step::Step;
use super::steps::content;
use super::wanted::{Backend, Server, Wanted};
use super::{map, server_steps};

/// Whether all that only a reload changes is as it is to be, in the file and in the process.
pub(super) fn is_loaded(actual: &Actual, wanted: &Wanted, blocks: &Blocks) -> bool {
    let structure = Some(render::structure(blocks));
    let before = actual.config.as_deref().and_then(render::parsed);
    let is_as = |name: &str, running: &Running, server: &Server, backend: &Backend| {
        let host = place(name).map_or(name, |(host, _)| host);
        // One that a process began without an address cannot be given one.
        (running.address.is_some() || server_steps::addresses(actual, host).is_empty())
            && running.number == server.number
            && running.is_backup == server.is_backup
            && running.speaks_tls == backend.common.contains("ssl ")
            // One that has no limit cannot be given one.
            && (running.most_in_flight == 0) == (server.most_in_flight == 0)
    };
    let are_alike = wanted.backends.iter().all(|(name, backend)| {
        let running = actual.backends.get(name);
        backend.servers.iter().all(|(name, server)| {
            running.and_then(|all| all.get(name)).is_none_or(|running| is_as(name, running, server, backend))
        })
    });
    actual.structure == structure && before.as_ref().map(render::structure) == structure && are_alike
}

/// By way of new processes. Backends that requests may still go to stay until they do not.
pub(super) fn loads(actual: &Actual, wanted: &Wanted, blocks: Blocks) -> Vec<Step> {
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
