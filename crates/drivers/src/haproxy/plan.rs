//! From routes to what HAProxy is to have: pure.

use std::collections::BTreeMap;

use skyfleet_gateway::config::{Algorithm, Config};

use super::names;
use super::settings::Settings;
use super::wanted::{Asked, Backend, Content, Wanted};
use super::{backend, lacks, map, servers, tls};
use crate::pools::{Pool, pools};
use crate::rules::rules;
use crate::{Lack, Plan};

/// What HAProxy is to have.
pub(super) fn plan(config: &Config, settings: &Settings) -> Plan<Wanted> {
    let (mut backends, mut files, mut lacking) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut taken = vec![None; config.routes.len()];
    for pool in pools(config) {
        let name = &pool.route.name;
        let lacks = lacks::of(&pool, settings.agent.is_some());
        let is_refused = lacks.iter().any(|lack| lack.is_refused);
        if !lacks.is_empty() {
            lacking.entry(name.clone()).or_insert_with(Vec::<Lack>::new).extend(lacks);
        }
        let backend_name = names::backend(name);
        let (backend, of_it) = if is_refused {
            (Backend::without_servers(), BTreeMap::new())
        } else {
            self::backend(&pool, &backend_name, settings)
        };
        backends.insert(backend_name.clone(), backend);
        files.extend(of_it);
        taken[pool.place] = Some(backend_name);
    }
    let entries = rules(config).iter().filter_map(|rule| Some(map::entry(rule, taken[rule.route].as_ref()?))).collect();
    Plan { wanted: Wanted { backends, entries, files }, lacks: lacking }
}

fn backend(pool: &Pool<'_>, name: &str, settings: &Settings) -> (Backend, BTreeMap<String, Content>) {
    let route = &lacks::sound(pool.route);
    let agent = settings.agent.filter(|_| route.algorithm == Algorithm::LeastResponseTime && route.affinity.is_none());
    let check = backend::check(route);
    let spoken = tls::spoken(route, settings);
    let mut lines = backend::lines(route, agent.is_some());
    lines.extend(spoken.preload.clone());
    if pool.servers.iter().any(|server| server.is_remote) {
        lines.push("option allbackups".to_owned());
    }
    let slow_start =
        (!route.slow_start.is_zero()).then(|| format!("slowstart {}", backend::milliseconds(route.slow_start)));
    let common = [check.clone(), slow_start, spoken.common.clone()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let asked = Asked { health: check.is_some(), agent: agent.is_some() };
    let servers = servers::servers(pool, agent.map(|agent| (agent, name)), &spoken);
    let backend = Backend { lines, common, servers, asked };
    (backend, spoken.files)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use skyfleet_gateway::config::{
        Affinity, AffinityBy, BackendConfig, Endpoint, EndpointConfig, HealthConfig, Locality, Matching, Protocol,
        QueueConfig, RateLimits, Rates, RouteConfig, TlsSettings, UpstreamTls,
    };

    use super::*;
    use crate::haproxy::render;

    fn route() -> RouteConfig {
        let endpoint = |host: &str, cluster: &str| {
            let (cluster, name, host) = (cluster.to_owned(), host.to_owned(), host.to_owned());
            let endpoint = Endpoint { cluster, name, host, port: 8000, is_relayed: false };
            EndpointConfig { endpoint, weight: 2, egress_price: 0 }
        };
        let endpoints = vec![endpoint("10.0.0.1", "a"), endpoint("b.example.com", "b")];
        let backends = vec![BackendConfig { name: "llama".to_owned(), weight: 1, model: None, endpoints }];
        RouteConfig { name: "ml/llama".to_owned(), backends, request_bytes: 16 << 20, ..RouteConfig::default() }
    }

    /// The backend of a route, and the fields that it lacks.
    fn planned(route: RouteConfig) -> (String, Vec<&'static str>) {
        let mut plan = plan(&Config { routes: vec![route] }, &Settings::default());
        let text = render::blocks(&plan.wanted.backends).into_values().collect();
        let lacks = plan.lacks.remove("ml/llama").unwrap_or_default();
        (text, lacks.into_iter().map(|lack| lack.field).collect())
    }

    #[test]
    fn a_usual_route_is_done_whole() {
        let (text, lacks) = planned(route());
        assert_eq!(lacks, <[&str; 0]>::default());
        let error = |code: &str| text.contains(code);
        assert!(error("request_too_large"));
        let server = |host: &str, more: &str| {
            let name = format!("{host}:8000");
            format!(
                "    server {name} {name} id {} weight 85 check inter 30000ms rise 1 fall 2 observe layer4 error-limit 5 \
                 on-error mark-down agent-check agent-addr 127.0.0.1 agent-port 9477 agent-inter 1s \
                 agent-send skyfleet:ml:llama/{name}!{more}",
                names::number(&name)
            )
        };
        for line in [
            "    balance random(2)",
            "    timeout connect 2000ms",
            "    timeout server 300000ms",
            "    option redispatch 1",
            "    retries 2",
            "    http-request disable-l7-retry unless { method GET HEAD OPTIONS PUT DELETE TRACE }",
            &server("10.0.0.1", ""),
            &server("b.example.com", " init-addr libc,none"),
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }

    /// Changes a route, with the lines that it has then and the field that it lacks.
    type Case = (fn(&mut RouteConfig), &'static [&'static str], &'static [&'static str]);

    #[test]
    fn each_field_is_mapped_or_said_to_be_lacking() {
        let second = Duration::from_secs;
        let cases: [Case; 12] = [
            (|one| one.algorithm = Algorithm::LeastConnection, &["balance leastconn"], &[]),
            (|one| one.algorithm = Algorithm::RoundRobin, &["balance roundrobin"], &[]),
            (|one| one.matching.models = vec!["m".to_owned()], &["retries 2"], &["spec.models"]),
            (|one| one.retries.attempts = 0, &["retries 0", "retry-on none"], &[]),
            (|one| one.ejection.most_percent = 0, &["# servers: "], &[]),
            (|one| one.slow_start = Duration::from_secs(9), &["slowstart 9000ms"], &[]),
            (|one| one.protocol = Protocol::Http2, &["proto h2"], &[]),
            (|one| (one.most_in_flight, one.queue) = (Some(4), None), &["maxconn 8 ", "timeout queue 1ms"], &[]),
            (
                |one| {
                    one.most_in_flight = Some(4);
                    one.queue = Some(QueueConfig { most: 9, timeout: Duration::from_secs(3) });
                },
                &["timeout queue 3000ms", "if { queue ge 9 }"],
                &["spec.limits.queue"],
            ),
            (
                |one| one.locality = Some(Locality { cluster: "a".to_owned(), spill_over_percent: 80 }),
                &["option allbackups", "weight 85 backup "],
                &[],
            ),
            (
                |one| {
                    let rates = Rates { requests_per_minute: Some(60), tokens_per_minute: Some(9) };
                    let client_header = Some("x-key".to_owned());
                    one.limits = RateLimits { client_header, per_client: Some(rates), total: Some(rates) };
                },
                &[
                    "http-request track-sc1 req.fhdr(x-key),sha2(256),hex if",
                    "if { sc1_gpc0_rate ge 60 }",
                    "if { sc2_gpc0_rate ge 60 }",
                ],
                &["spec.limits.perClient.tokensPerMinute", "spec.limits.total.tokensPerMinute"],
            ),
            (|one| one.backends[0].model = Some("other".to_owned()), &[], &["spec.backends[].modelName"]),
        ];
        for (number, (change, lines, lacking)) in cases.into_iter().enumerate() {
            let mut changed = route();
            change(&mut changed);
            let (text, lacks) = planned(changed);
            assert_eq!(lacks, lacking, "case {number}");
            for line in lines {
                assert!(text.contains(line), "case {number}: {line} is not in\n{text}");
            }
        }
        let health = |path: Option<&str>| HealthConfig {
            path: path.map(str::to_owned),
            interval: second(5),
            timeout: second(2),
            rise: 2,
            fall: 3,
        };
        let (text, lacks) = planned(RouteConfig { health: Some(health(Some("/he'alth"))), ..route() });
        assert!(
            text.contains("http-check send meth GET uri '/he'\\''alth' ver HTTP/1.1 hdr Host %[srv_name]"),
            "{text}"
        );
        assert!(text.contains("check inter 5000ms rise 2 fall 3 observe") && lacks.is_empty(), "{text}");
        assert_eq!(planned(RouteConfig { health: Some(health(None)), ..route() }).1, ["spec.healthCheck"]);
    }

    #[test]
    fn keys_are_in_files_and_names_are_checked() {
        let ca = rcgen::generate_simple_self_signed(["m.x".to_owned()]).unwrap().cert.pem().into_bytes();
        let settings = TlsSettings { authorities: Some(ca.clone()), client: None, server_name: Some("m.x".to_owned()) };
        let spoken = |tls: &TlsSettings| RouteConfig { tls: Some(UpstreamTls::Spoken(tls.clone())), ..route() };
        let config = Config { routes: vec![spoken(&settings)] };
        let wanted = plan(&config, &Settings::default()).wanted;
        let (name, content) = wanted.files.first_key_value().unwrap();
        assert_eq!(content.0, ca);
        let (text, lacks) = planned(spoken(&settings));
        let words = format!("ssl verify required ca-file /etc/haproxy/skyfleet/tls/{name}");
        assert!(text.contains(&format!("server skyfleet-files 127.0.0.1:1 disabled {words}\n")), "{text}");
        assert!(text.contains("alpn http/1.1 verifyhost m.x sni str(m.x) check-sni m.x") && lacks.is_empty(), "{text}");
        let nobody = || "backend skyfleet:ml:llama from skyfleet\n    # servers: \n".to_owned();
        let unnamed = TlsSettings { server_name: None, ..settings.clone() };
        assert_eq!(planned(spoken(&unnamed)), (nobody(), vec!["spec.tls.serverName"]), "10.0.0.1 is no name");
        let nonsense = TlsSettings { authorities: Some(b"no PEM".to_vec()), ..settings };
        assert_eq!(planned(spoken(&nonsense)), (nobody(), vec!["spec.tls"]));
        let not_ready = RouteConfig { tls: Some(UpstreamTls::NotReady("no Secret".to_owned())), ..route() };
        assert_eq!(planned(not_ready), (nobody(), vec!["spec.tls"]));
    }

    #[test]
    fn nobody_writes_lines_of_the_configuration() {
        const BAD: &str = "x'\" #\n    server evil 10.6.6.6:1\nbackend evil\\ %[x]}";
        let header = |name: &str| Affinity { by: AffinityBy::Header(name.to_owned()), bound_percent: 125 };
        let matching = Matching {
            hosts: vec![BAD.to_owned()],
            path_prefixes: vec![format!("/{BAD}")],
            models: vec![BAD.to_owned()],
        };
        let health = |path: &str| {
            let (interval, timeout) = (Duration::from_secs(5), Duration::from_secs(2));
            HealthConfig { path: Some(path.to_owned()), interval, timeout, rise: 1, fall: 1 }
        };
        let limits = RateLimits { client_header: Some(BAD.to_owned()), ..RateLimits::default() };
        let mut hosted = route();
        hosted.backends[0].endpoints[0].endpoint.host = BAD.to_owned();
        let routes = vec![
            RouteConfig { name: BAD.to_owned(), ..route() },
            RouteConfig { matching, ..route() },
            RouteConfig { affinity: Some(header(BAD)), limits, ..route() },
            RouteConfig { health: Some(health(BAD)), ..route() },
            RouteConfig { health: Some(health("/ '\"#%[x]\\")), ..route() },
            hosted,
        ];
        for route in routes {
            let wanted = plan(&Config { routes: vec![route] }, &Settings::default()).wanted;
            let texts = [render::config(&render::blocks(&wanted.backends)), map::text(&wanted.entries)];
            for line in texts.iter().flat_map(|text| text.lines()) {
                assert!(!line.contains("10.6.6.6:1") && !line.starts_with("backend evil"), "{line}");
            }
        }
    }
}
