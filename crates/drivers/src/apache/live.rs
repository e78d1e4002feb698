//! What the balancer-manager says: pure.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::Reader;
use quick_xml::events::Event;

use super::members::Member;
use super::names::PREFIX;
use super::render::Marker;
use super::wanted::{Address, BalancerParameters};

/// What the server really has of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    /// By which file it runs.
    pub marker: Option<Marker>,
    /// Its balancers by their names.
    pub pools: BTreeMap<String, LivePool>,
}

/// A balancer that the server really has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LivePool {
    pub balancer: BalancerParameters,
    /// Something that the file never sets is set.
    pub is_strange: bool,
    /// How many members it can have.
    pub slots: usize,
    /// How many of these are taken.
    pub used: usize,
    pub members: BTreeMap<Member, LiveMember>,
}

/// A member that the server really has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LiveMember {
    /// A hundred for the least weight.
    pub factor: u32,
    pub set: u32,
    pub route: String,
    /// `Dis`, `Drn`, `Stop` and the like.
    pub flags: BTreeSet<String>,
    /// It took no connection, and is left alone for some time.
    pub is_failed: bool,
    pub busy: u32,
}

impl LiveMember {
    /// Whether it is to get no requests.
    pub fn is_out(&self) -> bool {
        self.flags.contains("Dis")
    }

    /// Whether it gets none although it should.
    pub fn is_down(&self) -> bool {
        self.is_failed || self.flags.contains("HcFl")
    }

    /// Whether a person has set something that the driver never sets.
    pub fn is_strange(&self) -> bool {
        ["Drn", "Stop", "Ign", "Stby", "Spar"].iter().any(|flag| self.flags.contains(*flag))
    }
}

/// By the two pages of the balancer-manager: the one for programs does not tell how many members there may be.
///
/// # Errors
/// They are not as Apache writes them.
pub(super) fn parse(xml: &str, page: &str) -> Result<Live, String> {
    let mut live = Live::default();
    for (name, mut pool) in balancers(xml)? {
        if let Some(marker) = Marker::parse(&name) {
            live.marker = Some(marker);
        } else if name.starts_with(PREFIX) {
            (pool.slots, pool.used) =
                slots(page, &name).ok_or_else(|| format!("it does not tell the places of {name}"))?;
            live.pools.insert(name, pool);
        }
    }
    Ok(live)
}

fn balancers(xml: &str) -> Result<Vec<(String, LivePool)>, String> {
    let mut reader = Reader::from_str(xml);
    let (mut found, mut text) = (Vec::new(), String::new());
    let (mut name, mut pool) = (String::new(), LivePool::default());
    let mut worker: Option<Worker> = None;
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                text.clear();
                if start.local_name().as_ref() == "worker" {
                    worker = Some(Worker::default());
                }
            }
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::End(end) => match (end.local_name().as_ref(), &mut worker) {
                ("worker", one) => {
                    let one = one.take().unwrap_or_default();
                    pool.members.insert(one.member(), one.member);
                }
                (field, Some(one)) => one.set(field, text.trim())?,
                ("balancer", None) => found.push((std::mem::take(&mut name), std::mem::take(&mut pool))),
                ("name", None) => text.trim().trim_start_matches("balancer://").clone_into(&mut name),
                (field, None) => set(&mut pool, field, text.trim())?,
            },
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

fn set(pool: &mut LivePool, field: &str, value: &str) -> Result<(), String> {
    match field {
        "lbmethod" => value.clone_into(&mut pool.balancer.method),
        "maxattempts" => pool.balancer.attempts = number(value)?,
        "stickysession" => pool.balancer.cookie = Some(value.to_owned()),
        "nofailover" => pool.is_strange |= value != "Off",
        "timeout" => pool.is_strange |= value != "0",
        _ => {}
    }
    Ok(())
}

/// A member as far as it was read.
#[derive(Default)]
struct Worker {
    url: String,
    host: String,
    port: u16,
    member: LiveMember,
}

impl Worker {
    fn set(&mut self, field: &str, value: &str) -> Result<(), String> {
        let member = &mut self.member;
        match field {
            "name" => value.clone_into(&mut self.url),
            "hostname" => value.clone_into(&mut self.host),
            "port" => self.port = number(value)?,
            "loadfactor" => member.factor = hundredths(value)?,
            "lbset" => member.set = number(value)?,
            "route" => value.clone_into(&mut member.route),
            "busy" => member.busy = number(value)?,
            "status" => {
                member.flags = value
                    .split_whitespace()
                    .filter(|flag| !["Init", "Ok", "Err"].contains(flag))
                    .map(str::to_owned)
                    .collect();
                member.is_failed = value.split_whitespace().any(|flag| flag == "Err");
            }
            _ => {}
        }
        Ok(())
    }

    fn member(&self) -> Member {
        let address = Address { host: self.host.clone(), port: self.port };
        let number = self.url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        let number = number.and_then(|(number, _)| number.parse().ok()).unwrap_or_default();
        Member { address, number, url: self.url.clone() }
    }
}

fn number<N: std::str::FromStr>(value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("{value:?} is no number"))
}

fn hundredths(value: &str) -> Result<u32, String> {
    let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
    Ok(number::<u32>(whole)?.saturating_mul(100).saturating_add(number::<u32>(part)?))
}

/// `9 [2 Used]` after the name of a balancer.
fn slots(page: &str, balancer: &str) -> Option<(usize, usize)> {
    let rest = page.split_once(&format!("?b={balancer}&amp;nonce="))?.1;
    let (slots, rest) = rest.split_once("<td>")?.1.split_once(" [")?;
    Some((slots.parse().ok()?, rest.split_once(' ')?.0.parse().ok()?))
}

/// What has to be told with each change of a balancer.
pub(super) fn nonce(page: &str, balancer: &str) -> Option<String> {
    let rest = page.split_once(&format!("?b={balancer}&amp;nonce="))?.1;
    let nonce = rest.split_once('"')?.0;
    let is_plain = !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_plain.then(|| nonce.to_owned())
}
