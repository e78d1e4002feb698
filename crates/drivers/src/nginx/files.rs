//! What is written into files: pure.

use std::collections::BTreeSet;

use super::wanted::{Files, Wanted};
use super::{location, upstream};

/// For the `http` block.
pub(super) const HTTP: &str = "http.conf";
/// For `server` blocks.
pub(super) const SERVER: &str = "server.conf";

const HEADING: &str = "# Written by Skyfleet. What is changed by hand is undone. Wanted: ";

/// The files for what is wanted, but for the one with the name of the generation. Routes that are left out are answered with 503.
pub(super) fn files(wanted: &Wanted, addresses: &upstream::Addresses, left_out: &BTreeSet<String>) -> Files {
    let (mut http, mut server, mut files) = (wanted.http.clone(), wanted.server.clone(), Files::new());
    for route in &wanted.routes {
        let Some(upstream) = &route.upstream else {
            server += &route.server;
            continue;
        };
        if left_out.contains(&route.id) {
            http += &upstream::left_out(upstream);
            server += &location::nobody(&route.id);
            continue;
        }
        http += &upstream::text(upstream, addresses);
        http += &route.http;
        server += &route.server;
        files.extend(route.files.clone());
    }
    files.insert(HTTP.to_owned(), http.into_bytes());
    files.insert(SERVER.to_owned(), server.into_bytes());
    files
}

/// The same, with what was wanted at the beginning.
pub(super) fn with_heading(mut files: Files, wanted: &str) -> Files {
    if let Some(http) = files.get_mut(HTTP) {
        http.splice(..0, format!("{HEADING}{wanted}\n").into_bytes());
    }
    files
}

/// The servers in files.
pub(super) fn servers(files: &Files) -> Vec<upstream::Found> {
    files.get(HTTP).map(|text| upstream::parse(&String::from_utf8_lossy(text))).unwrap_or_default()
}

/// What was wanted with files.
pub(super) fn wanted(files: &Files) -> Option<String> {
    let http = String::from_utf8_lossy(files.get(HTTP)?);
    http.lines().next()?.strip_prefix(HEADING).map(str::to_owned)
}
