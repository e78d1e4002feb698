//! TLS towards servers: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use skyfleet_gateway::config::{RouteConfig, TlsSettings, UpstreamTls};
use skyfleet_gateway::tls::check;

use super::settings::LINK;
use super::text::{is_host, quoted};
use crate::Lack;
use crate::pools::Server;

const NAME: &str = "spec.tls.serverName";

/// What a route needs to speak TLS.
#[derive(Default)]
pub(super) struct Spoken {
    /// What a location needs for it.
    pub(super) location: String,
    /// Certificates and keys, by the names of their files.
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// None in clear text.
///
/// # Errors
/// It cannot be spoken as the route wants it: then nothing is sent.
pub(super) fn name<'a>(route: &'a RouteConfig, servers: &'a [Server]) -> Result<Option<&'a str>, Lack> {
    let settings = match &route.tls {
        None => return Ok(None),
        Some(UpstreamTls::NotReady(why)) => return Err(Lack::refused("spec.tls", why)),
        Some(UpstreamTls::Spoken(settings)) => settings,
    };
    // One file that NGINX refuses would have it refuse all routes.
    check(settings).map_err(|why| Lack::refused("spec.tls", format!("nothing is sent: {why}")))?;
    if let Some(name) = &settings.server_name {
        return if is_name(name) { Ok(Some(name)) } else { Err(no_name()) };
    }
    let hosts: BTreeSet<_> = servers.iter().map(|server| &*server.host).collect();
    match Vec::from_iter(hosts)[..] {
        [] => Ok(None),
        [host] if is_name(host) => Ok(Some(host)),
        _ => Err(no_name()),
    }
}

fn no_name() -> Lack {
    Lack::refused(
        NAME,
        "NGINX checks the certificates of all endpoints for one name, which cannot be an address, so that nothing is sent; \
         give the name that all of them have",
    )
}

fn is_name(host: &str) -> bool {
    is_host(host) && host.parse::<IpAddr>().is_err()
}

/// How it is spoken, with the `proxy` or the `grpc` module.
pub(super) fn spoken(settings: &TlsSettings, name: &str, module: &str, id: &str, system: &Path) -> Spoken {
    let mut files = BTreeMap::new();
    let mut file = |kind: &str, pem: &[u8]| {
        let name = format!("{id}.{kind}");
        let path = quoted(&format!("{LINK}/{name}"));
        files.insert(name, pem.to_vec());
        path
    };
    let authorities = match &settings.authorities {
        Some(pem) => file("ca.pem", pem),
        None => quoted(&system.to_string_lossy()),
    };
    let mut location = String::new();
    for line in [
        "verify on".to_owned(),
        "verify_depth 5".to_owned(),
        "protocols TLSv1.2 TLSv1.3".to_owned(),
        format!("trusted_certificate {authorities}"),
        format!("name {name}"),
        "server_name on".to_owned(),
    ] {
        let _ = writeln!(location, "    {module}_ssl_{line};");
    }
    if let Some(client) = &settings.client {
        let certificate = file("client.pem", &client.certificate);
        let key = file("client.key", client.key.reveal());
        let _ = writeln!(location, "    {module}_ssl_certificate {certificate};");
        let _ = writeln!(location, "    {module}_ssl_certificate_key {key};");
    }
    Spoken { location, files }
}

#[cfg(test)]
mod tests {
    use skyfleet_gateway::config::ClientCertificate;
    use skyfleet_gateway::tls::PrivatePem;

    use super::*;

    fn server(host: &str) -> Server {
        let (cluster, name, host) = (String::new(), String::new(), host.to_owned());
        Server { cluster, name, host, port: 443, share: 1, is_remote: false }
    }

    fn authority() -> Vec<u8> {
        rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem().into_bytes()
    }

    #[test]
    fn certificates_are_checked_for_one_name() {
        let own = TlsSettings { authorities: Some(authority()), ..TlsSettings::default() };
        let given = |name: &str| TlsSettings { server_name: Some(name.to_owned()), ..own.clone() };
        for (settings, hosts, expected) in [
            (own.clone(), vec!["a.example.com"], Some("a.example.com")),
            (own.clone(), vec!["a.example.com", "b.example.com"], None),
            (own.clone(), vec!["10.0.0.1"], None),
            (given("m.example.com"), vec!["10.0.0.1", "10.0.0.2"], Some("m.example.com")),
            (given("m; }"), vec!["10.0.0.1"], None),
            (given("10.0.0.1"), vec!["10.0.0.1"], None),
        ] {
            let servers: Vec<_> = hosts.into_iter().map(server).collect();
            let route = RouteConfig { tls: Some(UpstreamTls::Spoken(settings)), ..RouteConfig::default() };
            let found = name(&route, &servers);
            assert_eq!(found.clone().ok().flatten(), expected);
            assert_eq!(found.is_err_and(|lack| lack.is_refused), expected.is_none());
        }
        let route = RouteConfig { tls: Some(UpstreamTls::NotReady("no ca".to_owned())), ..RouteConfig::default() };
        assert_eq!(name(&route, &[]), Err(Lack::refused("spec.tls", "no ca")));
        assert_eq!(name(&RouteConfig::default(), &[]), Ok(None));
    }

    #[test]
    fn certificates_and_keys_are_files() {
        let client = ClientCertificate { certificate: b"shown".to_vec(), key: PrivatePem::new(*b"secret") };
        let settings = TlsSettings { authorities: Some(b"ca".to_vec()), client: Some(client), server_name: None };
        let spoken = spoken(&settings, "m.example.com", "grpc", "x", Path::new("/system.pem"));
        assert!(spoken.location.contains("    grpc_ssl_trusted_certificate \"skyfleet/x.ca.pem\";\n"));
        assert!(spoken.location.contains("    grpc_ssl_certificate_key \"skyfleet/x.client.key\";\n"));
        assert!(spoken.location.contains("    grpc_ssl_name m.example.com;\n"));
        assert_eq!(spoken.files["x.client.key"], b"secret");
        assert_eq!(spoken.files.len(), 3);
    }
}
