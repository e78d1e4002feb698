//! Which route takes a request, in the order in which a load balancer asks: pure.

use std::cmp::Reverse;
use std::collections::HashSet;

use skyfleet_gateway::config::{Config, Matching};

/// Requests of one kind, and whose they are. The first rule that matches a request counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The host that was asked.
    pub host: Host,
    /// The path, or what is before it and a `/`; empty for every path. It does not end with a `/`.
    pub path: String,
    /// The model; any if not given.
    pub model: Option<String>,
    /// The place of the route among all.
    pub route: usize,
}

/// Hosts, in lower case and without port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// This one.
    Exact(String),
    /// All that end so: with the dot before it.
    Suffix(String),
    /// All.
    Any,
}

/// The rules of all routes, the most special first: as the gateway has it ([`Table`](skyfleet_gateway::table::Table)). Of two routes for the
/// same requests the first one has them.
#[must_use]
pub fn rules(config: &Config) -> Vec<Rule> {
    let all = config.routes.iter().enumerate();
    let mut rules: Vec<_> = all.flat_map(|(place, route)| of_route(place, &route.matching)).collect();
    let mut taken = HashSet::new();
    rules.retain(|rule| taken.insert((rule.host.clone(), rule.path.clone(), rule.model.clone())));
    rules.sort_by_key(|rule| (host_order(&rule.host), Reverse(rule.path.len()), rule.model.is_none()));
    rules
}

fn of_route(route: usize, matching: &Matching) -> Vec<Rule> {
    let hosts: Vec<_> = match &*matching.hosts {
        [] => vec![Host::Any],
        hosts => hosts.iter().map(|host| host_of(host)).collect(),
    };
    let paths: Vec<_> = match &*matching.path_prefixes {
        [] => vec![String::new()],
        paths => paths.iter().map(|path| path.trim_end_matches('/').to_owned()).collect(),
    };
    let models: Vec<_> = match &*matching.models {
        [] => vec![None],
        models => models.iter().cloned().map(Some).collect(),
    };
    let mut rules = Vec::with_capacity(hosts.len() * paths.len() * models.len());
    for host in &hosts {
        for path in &paths {
            for model in &models {
                rules.push(Rule { host: host.clone(), path: path.clone(), model: model.clone(), route });
            }
        }
    }
    rules
}

fn host_of(host: &str) -> Host {
    host.strip_prefix('*').map_or_else(|| Host::Exact(host.to_owned()), |suffix| Host::Suffix(suffix.to_owned()))
}

fn host_order(host: &Host) -> (u8, Reverse<usize>) {
    match host {
        Host::Exact(_) => (0, Reverse(0)),
        Host::Suffix(suffix) => (1, Reverse(suffix.len())),
        Host::Any => (2, Reverse(0)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use skyfleet_gateway::config::RouteConfig;
    use skyfleet_gateway::table::Table;

    use super::*;

    fn of(matchings: Vec<Matching>) -> Config {
        let route = |matching| RouteConfig { matching, ..RouteConfig::default() };
        Config { routes: matchings.into_iter().map(route).collect() }
    }

    fn takes(rule: &Rule, host: &str, path: &str, model: Option<&str>) -> bool {
        let host = match &rule.host {
            Host::Exact(exact) => host == exact,
            Host::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            Host::Any => true,
        };
        let path = path.strip_prefix(&rule.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        host && path && (rule.model.is_none() || rule.model.as_deref() == model)
    }

    fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
        proptest::sample::subsequence(of, 0..=of.len()).prop_map(|all| all.into_iter().map(str::to_owned).collect())
    }

    const HOSTS: &[&str] = &["a.example.com", "*.example.com", "*.b.example.com", "b.example.com"];
    const PATHS: &[&str] = &["/", "/v1", "/v1/chat", "/v1/chat/", "/v10"];
    const MODELS: &[&str] = &["llama", "bert"];

    fn matching() -> impl Strategy<Value = Matching> {
        (some(HOSTS), some(PATHS), some(MODELS)).prop_map(|(hosts, path_prefixes, models)| Matching {
            hosts,
            path_prefixes,
            models,
        })
    }

    proptest! {
        #[test]
        fn a_request_goes_where_the_gateway_would_send_it(matchings in prop::collection::vec(matching(), 0..5)) {
            let config = of(matchings);
            let routes = config.routes.iter().enumerate().map(|(place, route)| (route.matching.clone(), Arc::new(place)));
            let (table, _) = Table::new(routes);
            let rules = rules(&config);
            for host in ["a.example.com", "b.example.com", "x.b.example.com", "example.com"] {
                for path in ["", "/", "/v1", "/v1/", "/v1/chat", "/v1/chat/x", "/v1/chats", "/v10", "/x"] {
                    for model in [None, Some("llama"), Some("other")] {
                        let found = rules.iter().find(|rule| takes(rule, host, path, model)).map(|rule| rule.route);
                        let expected = table.find(host, path).find_map(|models| models.route(model)).map(|route| **route);
                        prop_assert_eq!(found, expected, "{} {} {:?}", host, path, model);
                    }
                }
            }
        }
    }
}
