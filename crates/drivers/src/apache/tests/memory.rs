//! A server that does what Apache would.

use std::collections::BTreeSet;

use crate::apache::live::{Live, LiveMember, LivePool};
use crate::apache::members::Member;
use crate::apache::render::Marker;
use crate::apache::steps::Change;
use crate::apache::wanted::Address;
use crate::apache::{Actual, Settings};

/// Does a change.
pub fn apply(settings: &Settings, actual: &mut Actual, change: &Change) {
    match change {
        Change::WriteEntry => actual.entry = Some(settings.entry_text()),
        Change::WriteCertificate { name, .. } => {
            actual.certificates.insert(name.clone(), true);
        }
        Change::WriteManaged(text) => actual.managed = Some(text.0.clone()),
        Change::Close => {
            assert!(actual.live.marker.is_some(), "nobody would look");
            actual.is_closing = true;
        }
        Change::Keep => actual.is_closing = false,
        Change::Restart(_) => restart(actual),
        Change::RemoveCertificate(name) => {
            actual.certificates.remove(name);
        }
        Change::SetBalancer { pool, form } => set(actual.live.pools.get_mut(pool).expect("a balancer"), form),
        Change::Add { pool, member } => {
            let pool = actual.live.pools.get_mut(pool).expect("a balancer");
            assert!(pool.used < pool.slots, "no place is free");
            pool.used += 1;
            let new = LiveMember { factor: 100, flags: BTreeSet::from(["Dis".to_owned()]), ..LiveMember::default() };
            assert!(pool.members.insert(member.clone(), new).is_none(), "{member:?} is there");
        }
        Change::SetMember { pool, member, server, .. } => {
            let pool = actual.live.pools.get_mut(pool).expect("a balancer");
            let member = pool.members.get_mut(member).expect("a member");
            match server {
                None => {
                    member.flags.insert("Dis".to_owned());
                }
                Some(server) => {
                    member.flags.clear();
                    (member.factor, member.set) = (server.weight * 100, server.set);
                    member.route.clone_from(&server.route);
                }
            }
        }
    }
}

/// Has the server what is in its file, and nothing else.
pub fn restart(actual: &mut Actual) {
    let (mut live, mut pool, mut name) = (Live::default(), LivePool::default(), String::new());
    for line in actual.managed.as_deref().unwrap_or_default().lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("<Proxy \"balancer://") {
            rest.trim_end_matches("\">").clone_into(&mut name);
        } else if let Some(rest) = line.strip_prefix("BalancerMember ") {
            let (member, one) = member(rest);
            pool.members.insert(member, one);
        } else if let Some(free) = line.strip_prefix("ProxySet growth=") {
            let free: usize = free.parse().expect("a number");
            assert!((1..=100).contains(&free), "Apache reserves no {free}");
            (pool.slots, pool.used) = (pool.members.len() + free, pool.members.len());
        } else if let Some(parameters) = line.strip_prefix("ProxySet ") {
            set(&mut pool, parameters);
        } else if line == "</Proxy>" {
            let pool = std::mem::take(&mut pool);
            match Marker::parse(&name) {
                Some(marker) => live.marker = Some(marker),
                None => assert!(live.pools.insert(name.clone(), pool).is_none(), "{name} is there twice"),
            }
        }
    }
    actual.live = live;
}

fn member(line: &str) -> (Member, LiveMember) {
    let (url, parameters) = line.trim_start_matches('"').split_once("\" ").expect("a URL");
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let (number, at) = rest.split_once('@').unwrap_or(("0", rest));
    let at = if at.ends_with(|last: char| last.is_ascii_digit()) && at.matches(':').count() == 1 {
        at.to_owned()
    } else {
        format!("{at}:80")
    };
    let (host, port) = at.rsplit_once(':').expect("a port");
    let host = host.trim_matches(['[', ']']).to_owned();
    let address = Address { host, port: port.parse().expect("a port") };
    let mut one = LiveMember { factor: 100, ..LiveMember::default() };
    for (key, value) in parameters.split(' ').filter_map(|parameter| parameter.split_once('=')) {
        match key {
            "loadfactor" => one.factor = value.parse::<u32>().expect("a weight") * 100,
            "lbset" => one.set = value.parse().expect("a set"),
            "route" => value.clone_into(&mut one.route),
            "status" => one.flags = BTreeSet::from(["Dis".to_owned()]),
            _ => {}
        }
    }
    (Member::new(address, number.parse().expect("a number"), scheme), one)
}

/// By a form, or by the parameters of a file.
fn set(pool: &mut LivePool, parameters: &str) {
    pool.is_strange = false;
    pool.balancer.cookie = None;
    for (key, value) in parameters.split(['&', ' ']).filter_map(|parameter| parameter.split_once('=')) {
        match key {
            "b_lbm" | "lbmethod" => value.clone_into(&mut pool.balancer.method),
            "b_max" | "maxattempts" => pool.balancer.attempts = value.parse().expect("a number"),
            "b_ss" | "stickysession" => pool.balancer.cookie = (value != "-").then(|| value.to_owned()),
            _ => {}
        }
    }
}
