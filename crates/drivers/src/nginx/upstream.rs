//! The servers of each route, as NGINX has them and as they are read again: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::wanted::{Server, Upstream};
use crate::{Shown, ShownServer, ShownState};

const LEFT_OUT: &str = "# NGINX refuses this, so that it is left out: ";

/// The addresses that names have. A name that has none is one that cannot be found.
pub(super) type Addresses = BTreeMap<String, BTreeSet<IpAddr>>;

/// Idle connections to replicas, for each worker and route.
const KEPT: usize = 64;

/// Servers in Python close idle connections after 5 s: who keeps them shorter never sends over one that is just being closed.
const KEPT_FOR: &str = "4s";

/// What NGINX is told. It looks names up only when it starts, and does not start when there is one that it cannot find: so it is told
/// addresses.
pub(super) fn text(upstream: &Upstream, addresses: &Addresses) -> String {
    let Upstream { id, route, method, servers } = upstream;
    let zone = 128 + servers.len().next_multiple_of(8) * 2;
    let mut text = format!("upstream {id} {{ # {route}\n    zone {id} {zone}k;\n");
    if !method.is_empty() {
        let _ = writeln!(text, "    {method};");
    }
    let most = servers.iter().map(|server| addresses_of(server, addresses).len()).max().unwrap_or(1).max(1);
    for server in servers {
        lines(&mut text, server, &addresses_of(server, addresses), most);
    }
    text + &format!("    keepalive {KEPT};\n    keepalive_timeout {KEPT_FOR};\n    keepalive_requests 100000;\n}}\n")
}

/// What nobody but the one who reads it again is told.
pub(super) fn left_out(upstream: &Upstream) -> String {
    let Upstream { route, servers, .. } = upstream;
    let line = |server: &Server| format!("{LEFT_OUT}{route} {} {}\n", key(&server.host, server.port), server.weight);
    servers.iter().map(line).collect()
}

fn addresses_of(server: &Server, addresses: &Addresses) -> BTreeSet<IpAddr> {
    match server.host.parse() {
        Ok(address) => BTreeSet::from([address]),
        Err(_) => addresses.get(&server.host).cloned().unwrap_or_default(),
    }
}

/// A name's share is that of all its addresses together.
fn lines(text: &mut String, server: &Server, addresses: &BTreeSet<IpAddr>, most: usize) {
    let Server { host, port, weight, parameters } = server;
    let name = key(host, *port);
    if addresses.is_empty() {
        let _ = writeln!(text, "    server 127.0.0.1:1 weight={weight}{parameters} down; # {name}");
    }
    for address in addresses {
        let address = SocketAddr::new(*address, *port);
        let weight = (*weight as usize * most / addresses.len()).max(1);
        let _ = writeln!(text, "    server {address} weight={weight}{parameters}; # {name}");
    }
}

fn key(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A server that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) route: String,
    /// `host:port`.
    pub(super) name: String,
    /// None if it could not be found, or its route is left out.
    pub(super) address: Option<SocketAddr>,
    pub(super) weight: u32,
    pub(super) is_left_out: bool,
}

/// The servers in a text. What a person may have made of it, and is none, is passed over.
pub(super) fn parse(text: &str) -> Vec<Found> {
    let mut route = None;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(server) = line.strip_prefix(LEFT_OUT) {
            found.extend(left_out_server(server));
        } else if let Some((_, name)) = line.strip_prefix("upstream ").and_then(|rest| rest.split_once("{ # ")) {
            route = Some(name.to_owned());
        } else if line == "}" {
            route = None;
        } else if let (Some(route), Some(server)) = (&route, line.strip_prefix("    server ")) {
            found.extend(server_of(route, server));
        }
    }
    found
}

fn server_of(route: &str, line: &str) -> Option<Found> {
    let (directive, name) = line.split_once("; # ")?;
    let mut words = directive.split(' ');
    let address = words.next()?.parse().ok()?;
    let (mut weight, mut is_down) = (1, false);
    for word in words {
        match word.split_once('=') {
            Some(("weight", number)) => weight = number.parse().ok()?,
            None if word == "down" => is_down = true,
            _ => {}
        }
    }
    let (route, name, address) = (route.to_owned(), name.to_owned(), (!is_down).then_some(address));
    Some(Found { route, name, address, weight, is_left_out: false })
}

fn left_out_server(line: &str) -> Option<Found> {
    let mut words = line.split(' ');
    let (route, name, weight) = (words.next()?.to_owned(), words.next()?.to_owned(), words.next()?.parse().ok()?);
    Some(Found { route, name, address: None, weight, is_left_out: true })
}

/// The addresses that are in use for names.
pub(super) fn names(found: &[Found]) -> Addresses {
    let mut names = Addresses::new();
    for server in found.iter().filter(|server| !server.is_left_out) {
        let host = server.name.rsplit_once(':').map_or("", |(host, _)| host);
        if !host.starts_with('[') && host.parse::<IpAddr>().is_err() {
            names.entry(host.to_owned()).or_default().extend(server.address.map(|address| address.ip()));
        }
    }
    names
}

/// What a person is told.
pub(super) fn shown(found: &[Found]) -> Shown {
    let mut shown = Shown::default();
    for server in found {
        let state = if server.address.is_some() { ShownState::Serving } else { ShownState::Down };
        let pool = shown.pools.entry(server.route.clone()).or_default();
        let entry = pool.entry(server.name.clone());
        entry.and_modify(|one| one.weight += server.weight).or_insert(ShownServer {
            weight: server.weight,
            state,
            in_flight: None,
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, weight: u32, parameters: &str) -> Server {
        Server { host: host.to_owned(), port: 80, weight, parameters: parameters.to_owned() }
    }

    fn upstream(servers: Vec<Server>) -> Upstream {
        Upstream { id: "skyfleet_x".to_owned(), route: "ml/x".to_owned(), method: "least_conn".to_owned(), servers }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let servers = vec![server("10.0.0.1", 3, " max_fails=5"), server("fd00::1", 1, ""), server("gone", 2, "")];
        let text = text(&upstream(servers), &Addresses::new());
        assert_eq!(
            text,
            "upstream skyfleet_x { # ml/x
    zone skyfleet_x 144k;
    least_conn;
    server 10.0.0.1:80 weight=3 max_fails=5; # 10.0.0.1:80
    server [fd00::1]:80 weight=1; # [fd00::1]:80
    server 127.0.0.1:1 weight=2 down; # gone:80
    keepalive 64;
    keepalive_timeout 4s;
    keepalive_requests 100000;
}
"
        );
        let shown = shown(&parse(&text));
        let states: Vec<_> = shown.pools["ml/x"].iter().map(|(name, one)| (&**name, one.weight, one.state)).collect();
        let (serving, down) = (ShownState::Serving, ShownState::Down);
        assert_eq!(states, [("10.0.0.1:80", 3, serving), ("[fd00::1]:80", 1, serving), ("gone:80", 2, down)]);
        assert_eq!(names(&parse(&text)), Addresses::from([("gone".to_owned(), BTreeSet::new())]));
    }

    #[test]
    fn a_name_has_its_share_whatever_its_addresses_are() {
        let both = BTreeSet::from(["10.0.0.1", "10.0.0.2"].map(address));
        let addresses = Addresses::from([("lb.example.com".to_owned(), both)]);
        let text = text(&upstream(vec![server("lb.example.com", 1, ""), server("10.0.0.9", 1, "")]), &addresses);
        let found = parse(&text);
        assert_eq!(found.iter().map(|one| one.weight).collect::<Vec<_>>(), [1, 1, 2]);
        assert_eq!(names(&found), addresses);
        let pools = shown(&found).pools;
        assert_eq!(pools["ml/x"].values().map(|one| one.weight).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn what_is_left_out_is_shown_as_down() {
        let found = parse(&left_out(&upstream(vec![server("lb.example.com", 2, ""), server("fd00::1", 1, "")])));
        let states: Vec<_> = shown(&found).pools["ml/x"].iter().map(|(name, one)| (name.clone(), one.state)).collect();
        let names = ["[fd00::1]:80", "lb.example.com:80"].map(str::to_owned);
        assert_eq!(states, names.map(|name| (name, ShownState::Down)));
        assert_eq!(super::names(&found), Addresses::new());
    }

    #[test]
    fn what_a_person_wrote_in_between_is_passed_over() {
        for text in ["", "}", "    server 10.0.0.1:80; # x:80", "upstream x { # y\n    server ?; # x\n    server\n"] {
            assert_eq!(parse(text), [], "{text}");
        }
    }
}
