//! The members of a balancer: those that a route wants, and those that are there: pure.

use std::collections::BTreeMap;

use super::live::{LiveMember, LivePool};
use super::wanted::{Address, Pool, Server};

/// The most places that Apache can reserve.
const MOST_FREE: usize = 100;

/// A member. Apache leaves one alone for some time after it took no connection, whatever is known by then; who comes back in that time is added
/// once more, under another number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub address: Address,
    pub number: u32,
    /// What Apache calls it.
    pub url: String,
}

impl Member {
    /// One of ours. Apache leaves out a port that is the scheme's own.
    pub fn new(address: Address, number: u32, scheme: &str) -> Self {
        let at = address.to_string();
        let own = if matches!(scheme, "ws" | "h2c") { ":80" } else { ":443" };
        let at = at.strip_suffix(own).unwrap_or(&at);
        let url = if number == 0 { format!("{scheme}://{at}") } else { format!("{scheme}://{number}@{at}") };
        Self { address, number, url }
    }

    /// Whether its name can be written into a file. One that a person has added may have any.
    pub fn is_plain(&self) -> bool {
        self.url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.@[]-_".contains(&byte))
    }
}

/// The members that a balancer has, or is to have, and for how many it has places. What has no [`Server`] gets no requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub slots: usize,
    pub members: BTreeMap<Member, Option<Server>>,
}

/// What a balancer has to become while the server runs, if it can.
pub(super) fn kept(pool: &Pool, live: &LivePool) -> Option<Kept> {
    let mut members: BTreeMap<_, _> = live.members.keys().map(|member| (member.clone(), None)).collect();
    for (address, server) in &pool.servers {
        members.insert(chosen(address, pool.scheme, live), Some(server.clone()));
    }
    let added = members.len() - live.members.len();
    // One place stays free: a file cannot reserve none.
    let has_room = live.used + added < live.slots;
    (added == 0 || (pool.grows && has_room)).then_some(Kept { slots: live.slots, members })
}

/// What a balancer has that is made anew.
pub(super) fn anew(pool: &Pool, reserve: usize) -> Kept {
    let members = pool.servers.iter();
    let members: BTreeMap<_, _> =
        members.map(|(address, server)| (Member::new(address.clone(), 0, pool.scheme), Some(server.clone()))).collect();
    let free = if pool.grows { reserve.clamp(1, MOST_FREE) } else { 1 };
    Kept { slots: members.len() + free, members }
}

/// Who of the members at an address is to serve: who does, else who can, else a new one.
fn chosen(address: &Address, scheme: &str, live: &LivePool) -> Member {
    let is_ours = |member: &Member| *member == Member::new(address.clone(), member.number, scheme);
    let there = live.members.iter().filter(|(member, _)| is_ours(member));
    let rank = |one: &LiveMember| u32::from(one.is_out());
    let usable = there.filter(|(_, one)| !one.is_out() || !one.is_failed);
    if let Some((member, _)) = usable.min_by_key(|(member, one)| (rank(one), member.number)) {
        return member.clone();
    }
    let taken = live.members.keys().filter(|member| member.address == *address).map(|member| member.number);
    let number = taken.max().map_or(0, |last| last.saturating_add(1));
    Member::new(address.clone(), number, scheme)
}
