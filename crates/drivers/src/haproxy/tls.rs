//! What is spoken to servers: pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use skyfleet_gateway::config::{Protocol, RouteConfig, TlsSettings, UpstreamTls};

use super::names::digest;
use super::settings::{Settings, text};
use super::wanted::Content;

/// The words and files of it.
pub(super) struct Spoken {
    /// What each server's line has.
    pub common: Option<String>,
    /// A line that has HAProxy read the files: commands cannot have it read any.
    pub preload: Option<String>,
    /// The files.
    pub files: BTreeMap<String, Content>,
    tls: Option<TlsSettings>,
}

/// Of a route.
pub(super) fn spoken(route: &RouteConfig, settings: &Settings) -> Spoken {
    let is_http2 = route.protocol == Protocol::Http2;
    let is_asked = route.health.as_ref().is_some_and(|health| health.path.is_some());
    let (mut files, mut common, mut preload, mut tls) = (BTreeMap::new(), None, None, None);
    if let Some(UpstreamTls::Spoken(spoken)) = &route.tls {
        let mut words = "ssl verify required".to_owned();
        let mut add = |word: &str, content: Vec<u8>| {
            let name = format!("{}.pem", digest(&content));
            // Writing to a string does not fail.
            _ = write!(words, " {word} {}", text(&settings.tls_file(&name)));
            files.insert(name, Content(content));
        };
        if let Some(authorities) = &spoken.authorities {
            add("ca-file", authorities.clone());
        }
        if let Some(client) = &spoken.client {
            add("crt", [&*client.certificate, b"\n", client.key.reveal()].concat());
        }
        if spoken.authorities.is_none() {
            words += " ca-file @system-ca";
        }
        preload = Some(format!("server skyfleet-files 127.0.0.1:1 disabled {words}"));
        words += if is_http2 { " alpn h2" } else { " alpn http/1.1" };
        if is_http2 && is_asked {
            words += " check-alpn h2";
        }
        common = Some(words);
        tls = Some(spoken.clone());
    } else if is_http2 {
        common = Some(if is_asked { "proto h2 check-proto h2" } else { "proto h2" }.to_owned());
    }
    Spoken { common, preload, files, tls }
}

impl Spoken {
    /// What only the line of a server at this host has.
    pub fn own(&self, host: &str) -> Option<String> {
        let name = self.tls.as_ref()?.server_name.as_deref().unwrap_or(host);
        Some(format!("verifyhost {name} sni str({name}) check-sni {name}"))
    }
}
