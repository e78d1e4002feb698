//! The driver's part of the configuration as text, and back: pure.

use std::collections::{BTreeMap, HashMap};

use std::fmt::Write as _;

use super::names::{address, digest, place};
use super::wanted::{Backend, Server};

/// Whoever reads the file is told first whose it is.
const HEAD: &str = "# Kept by Skyfleet: what is changed here by hand is undone. Of all that follows, ";

/// Backends inherit nothing of the user's defaults, so that servers are the same whether a file or a command made them.
const DEFAULTS: &str = "defaults skyfleet\n    mode http\n    log global\n";

/// What the name of a backend begins with that has nothing, but tells which text a process has read.
const MARKER: &str = "skyfleet.is.";

const BACKEND: &str = "backend ";
const FROM: &str = " from skyfleet";
const SERVER: &str = "    server ";

/// Backends as text, by name.
pub(super) type Blocks = BTreeMap<String, String>;

/// The backends that are to be.
pub(super) fn blocks(backends: &BTreeMap<String, Backend>) -> Blocks {
    backends.iter().map(|(name, backend)| (name.clone(), block(name, backend))).collect()
}

fn block(name: &str, backend: &Backend) -> String {
    let lines = backend.lines.iter().map(|line| format!("    {line}\n"));
    // So that what servers have counts as structure, whether there are any or not.
    let common = format!("    # servers: {}\n", backend.common);
    let servers = backend.servers.iter().map(|(name, server)| {
        let resolved = if is_name(name) { " init-addr libc,none" } else { "" };
        format!("{SERVER}{name} {}{resolved}\n", of_server(name, server, &backend.common, None))
    });
    let all: String = lines.chain([common]).chain(servers).collect();
    format!("{BACKEND}{name}{FROM}\n{all}")
}

fn is_name(server: &str) -> bool {
    place(server).is_some_and(|(host, _)| host.parse::<std::net::IpAddr>().is_err())
}

/// The address of a server and what it has, as its line or a command says it. A command has to have the address of a name.
pub(super) fn of_server(name: &str, server: &Server, common: &str, resolved: Option<&str>) -> String {
    let (host, port) = place(name).unwrap_or((name, 0));
    let address = address(resolved.unwrap_or(host), port);
    let Server { number, weight, is_backup, most_in_flight, own } = server;
    // Writing to a string does not fail.
    let mut words = format!("{address} id {number} weight {weight}");
    if *is_backup {
        words += " backup";
    }
    if *most_in_flight > 0 {
        _ = write!(words, " maxconn {most_in_flight}");
    }
    for more in [common, own].into_iter().filter(|more| !more.is_empty()) {
        words.push(' ');
        words += more;
    }
    words
}

/// What of backends only a reload changes: all but the lines of servers.
pub(super) fn structure(blocks: &Blocks) -> String {
    let mut text = DEFAULTS.to_owned();
    for line in blocks.values().flat_map(|block| block.lines()).filter(|line| server(line).is_none()) {
        text += line;
        text.push('\n');
    }
    digest(text.as_bytes())
}

/// The name and the words of a server's line.
pub(super) fn server(line: &str) -> Option<(&str, &str)> {
    let (name, words) = line.strip_prefix(SERVER)?.split_once(' ')?;
    // What has files read is no server.
    place(name).is_some().then_some((name, words))
}

/// The weights that servers have in a file, by `backend/server`; none if it is not as it was written.
pub(super) fn weights(config: &str) -> HashMap<String, u32> {
    let blocks = parsed(config).unwrap_or_default();
    let lines = blocks.iter().flat_map(|(name, block)| block.lines().map(move |line| (name, line)));
    let weight = |(backend, line)| {
        let (server, words) = server(line)?;
        let weight = words.split_once(" weight ")?.1.split(' ').next()?.parse().ok()?;
        Some((format!("{backend}/{server}"), weight))
    };
    lines.filter_map(weight).collect()
}

/// The whole file.
pub(super) fn config(blocks: &Blocks) -> String {
    let mut text = format!("{DEFAULTS}\n");
    for block in blocks.values() {
        text += block;
        text.push('\n');
    }
    _ = writeln!(text, "{BACKEND}{}{FROM}", marker(&structure(blocks)));
    format!("{HEAD}{}.\n{text}", digest(text.as_bytes()))
}

/// The backend that tells of a structure.
pub(super) fn marker(structure: &str) -> String {
    format!("{MARKER}{structure}")
}

/// The structure that the name of a backend tells of.
pub(super) fn marked(backend: &str) -> Option<&str> {
    backend.strip_prefix(MARKER)
}

/// The backends of a file; none if it is not as it was written.
pub(super) fn parsed(config: &str) -> Option<Blocks> {
    let mut blocks = Blocks::new();
    let mut current: Option<(String, String)> = None;
    for line in config.lines().chain([""]) {
        if let Some(name) = line.strip_prefix(BACKEND).and_then(|rest| rest.strip_suffix(FROM)) {
            current = marked(name).is_none().then(|| (name.to_owned(), String::new()));
        }
        if let Some((_, block)) = current.as_mut().filter(|_| !line.is_empty()) {
            *block += line;
            block.push('\n');
        } else if let Some((name, block)) = current.take() {
            blocks.insert(name, block);
        }
    }
    (self::config(&blocks) == config).then_some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::wanted::Asked;

    fn backend(servers: &[(&str, Server)]) -> Backend {
        let servers = servers.iter().map(|(name, server)| ((*name).to_owned(), server.clone())).collect();
        let lines = vec!["balance leastconn".to_owned()];
        Backend { lines, common: "check inter 1s".to_owned(), servers, asked: Asked { health: true, agent: false } }
    }

    fn server(weight: u32) -> Server {
        Server { number: 7, weight, is_backup: false, most_in_flight: 0, own: String::new() }
    }

    #[test]
    fn a_file_is_understood_as_it_was_written_and_not_otherwise() {
        let ours =
            |servers: &[(&str, Server)]| blocks(&BTreeMap::from([("skyfleet:a:b".to_owned(), backend(servers))]));
        let most = Server { is_backup: true, most_in_flight: 4, own: "sni str(x)".to_owned(), ..server(9) };
        let blocks = ours(&[("10.0.0.1:80", server(1)), ("a.example.com:80", most), ("fd00::1:80", server(2))]);
        let text = config(&blocks);
        assert!(text.ends_with(&format!(
            "defaults skyfleet\n    mode http\n    log global\n\n\
             backend skyfleet:a:b from skyfleet\n    balance leastconn\n    # servers: check inter 1s\n    \
             server 10.0.0.1:80 10.0.0.1:80 id 7 weight 1 check inter 1s\n    \
             server a.example.com:80 a.example.com:80 id 7 weight 9 backup maxconn 4 check inter 1s sni str(x) \
             init-addr libc,none\n    \
             server fd00::1:80 [fd00::1]:80 id 7 weight 2 check inter 1s\n\n\
             backend skyfleet.is.{} from skyfleet\n",
            structure(&blocks)
        )));
        assert_eq!(parsed(&text), Some(blocks.clone()));
        assert_eq!(parsed(&config(&Blocks::new())), Some(Blocks::new()));
        assert_eq!(weights(&text)["skyfleet:a:b/fd00::1:80"], 2);
        for changed in [text.replace("weight 1", "weight 3"), text.replace("leastconn", "source"), String::new()] {
            assert_eq!(parsed(&changed), None);
        }
        assert_eq!(structure(&blocks), structure(&ours(&[])), "servers come and go without a reload");
        assert_ne!(structure(&blocks), structure(&Blocks::new()));
    }
}
