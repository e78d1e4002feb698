//! From what an Apache httpd has to what it is to have: pure.

use std::collections::BTreeMap;
use std::fmt;

use super::Actual;
use super::live::{Live, LiveMember, LivePool};
use super::members::{self, Kept, Member};
use super::render::{self, Marker};
use super::settings::Settings;
use super::wanted::{Health, Pem, Pool, Server, Wanted};

/// A change of an Apache httpd that is done or not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step(pub(super) Change);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The file that users include.
    WriteEntry,
    WriteCertificate {
        name: String,
        pem: Pem,
    },
    /// The managed file, once Apache has found it good.
    WriteManaged(Text),
    /// Connections end with each answer from now on.
    Close,
    /// Connections are kept again.
    Keep,
    /// Apache runs by the managed file.
    Restart(Marker),
    /// A balancer has its parameters again.
    SetBalancer {
        pool: String,
        form: String,
    },
    /// A balancer has one more member, which gets nothing yet.
    Add {
        pool: String,
        member: Member,
    },
    /// A member has what it is to have, or gets nothing any more.
    SetMember {
        pool: String,
        member: Member,
        server: Option<Server>,
        health: Option<Health>,
    },
    RemoveCertificate(String),
}

/// A file, which is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text(pub String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What is to be reached.
struct Target {
    text: String,
    marker: Marker,
    members: BTreeMap<String, Kept>,
    /// It cannot be reached while the server runs.
    restarts: bool,
}

pub(super) fn steps(settings: &Settings, actual: &Actual, wanted: &Wanted) -> Vec<Step> {
    let mut changes = Vec::new();
    if actual.entry.as_ref() != Some(&settings.entry_text()) {
        changes.push(Change::WriteEntry);
    }
    let missing = wanted.certificates.iter().filter(|(name, _)| actual.certificates.get(*name) != Some(&true));
    changes.extend(missing.map(|(name, pem)| Change::WriteCertificate { name: name.clone(), pem: pem.clone() }));
    let target = target(settings, actual, wanted);
    if actual.managed.as_ref() != Some(&target.text) {
        changes.push(Change::WriteManaged(Text(target.text)));
    }
    if target.restarts {
        // Only a managed file looks whether they are to end.
        let closes = actual.live.marker.is_some() && !settings.closing.is_zero();
        changes.extend(closes.then_some(Change::Close));
        changes.push(Change::Restart(target.marker));
        changes.extend((closes || actual.is_closing).then_some(Change::Keep));
    } else {
        changes.extend(actual.is_closing.then_some(Change::Keep));
        changes.extend(while_it_runs(&actual.live, wanted, &target.members));
    }
    let left = actual.certificates.keys().filter(|name| !wanted.certificates.contains_key(*name));
    changes.extend(left.cloned().map(Change::RemoveCertificate));
    changes.into_iter().map(Step).collect()
}

fn target(settings: &Settings, actual: &Actual, wanted: &Wanted) -> Target {
    if let Some(target) = without_restart(settings, actual, wanted) {
        return target;
    }
    let members: BTreeMap<_, _> =
        wanted.pools.iter().map(|pool| (pool.name.clone(), members::anew(pool, settings.reserve))).collect();
    let written = actual.managed.as_deref().and_then(render::revision);
    if let Some(revision) = written {
        let (text, marker) = render::file(settings, wanted, &members, revision);
        // It was written before, and only the restart is still to come.
        if actual.managed.as_ref() == Some(&text) && actual.live.marker.as_ref() != Some(&marker) {
            return Target { text, marker, members, restarts: true };
        }
    }
    let running = actual.live.marker.as_ref().map(|marker| marker.revision);
    let revision = written.max(running).unwrap_or_default().saturating_add(1);
    let (text, marker) = render::file(settings, wanted, &members, revision);
    Target { text, marker, members, restarts: true }
}

/// What can be had while the server runs: by the file it has, all but the members are as they are to be.
fn without_restart(settings: &Settings, actual: &Actual, wanted: &Wanted) -> Option<Target> {
    let running = actual.live.marker.as_ref()?;
    let kept = |pool: &Pool| Some((pool.name.clone(), members::kept(pool, actual.live.pools.get(&pool.name)?)?));
    let members: BTreeMap<_, _> = wanted.pools.iter().map(kept).collect::<Option<_>>()?;
    let (text, marker) = render::file(settings, wanted, &members, running.revision);
    // Nobody can tell whether the server has not read what somebody has written there.
    let is_changed =
        actual.managed.as_deref().is_some_and(|there| render::without_members(there) != render::without_members(&text));
    (marker == *running && !is_changed).then_some(Target { text, marker, members, restarts: false })
}

fn while_it_runs(live: &Live, wanted: &Wanted, members: &BTreeMap<String, Kept>) -> Vec<Change> {
    let mut changes = Vec::new();
    for pool in &wanted.pools {
        let (Some(there), Some(kept)) = (live.pools.get(&pool.name), members.get(&pool.name)) else { continue };
        if there.balancer != pool.balancer || there.is_strange {
            changes.push(Change::SetBalancer { pool: pool.name.clone(), form: form(pool) });
        }
        // Who comes serves before who goes does not.
        let (come, go): (Vec<_>, Vec<_>) = kept.members.iter().partition(|(_, server)| server.is_some());
        for (member, server) in come.into_iter().chain(go) {
            changes.extend(of_member(pool, there, member, server.as_ref()));
        }
    }
    changes
}

fn of_member(pool: &Pool, there: &LivePool, member: &Member, server: Option<&Server>) -> Vec<Change> {
    let (name, live) = (pool.name.clone(), there.members.get(member));
    if live.is_some_and(|live| is_as(live, server, pool.health.as_ref())) {
        return Vec::new();
    }
    let mut changes = Vec::new();
    if live.is_none() {
        changes.push(Change::Add { pool: name.clone(), member: member.clone() });
    }
    let (member, server, health) = (member.clone(), server.cloned(), pool.health.clone());
    changes.push(Change::SetMember { pool: name, member, server, health });
    changes
}

/// Whether a member is as it is to be.
pub(super) fn is_as(live: &LiveMember, server: Option<&Server>, health: Option<&Health>) -> bool {
    server.map_or(live.is_out(), |server| {
        let has = (live.factor, live.set, &live.route);
        // Where nothing is checked, no check would ever find it well again.
        let is_found_down = health.is_none() && live.flags.contains("HcFl");
        let is_strange = live.is_strange() || is_found_down;
        !live.is_out() && !is_strange && has == (server.weight * 100, server.set, &server.route)
    })
}

fn form(pool: &Pool) -> String {
    let balancer = &pool.balancer;
    let cookie = balancer.cookie.as_deref().unwrap_or("-");
    format!("b_lbm={}&b_max={}&b_ss={cookie}&b_sforce=0&b_tmo=0", balancer.method, balancer.attempts)
}
