//! The servers of each route, and the share of requests that each gets: pure.

use std::collections::BTreeMap;

use skyfleet_gateway::config::{BackendConfig, Config, EndpointConfig, RouteConfig};

/// Of numbers of replicas: with weights and replicas of 32 bits beside it, shares fit.
const LARGEST_MULTIPLE: u64 = 1 << 24;

/// A route, and who answers its requests.
#[derive(Clone, Debug)]
pub struct Pool<'a> {
    /// The place of the route among all.
    pub place: usize,
    /// The route.
    pub route: &'a RouteConfig,
    /// Who answers, each address once and in their order.
    pub servers: Vec<Server>,
    /// Endpoints that no connection can be made to, since they lie behind the API servers of their clusters: only the gateway reaches them.
    pub out_of_reach: usize,
}

/// Who answers requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The Cluster.
    pub cluster: String,
    /// Its name there.
    pub name: String,
    /// A host name or an address, of version 6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its share of the requests, in relation to the other servers' of the pool: the smallest whole numbers that are right.
    pub share: u64,
    /// It lies in another cluster than what the route has come first.
    pub is_remote: bool,
}

impl Server {
    /// `host:port`, where hosts of version 6 are in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The pools of all routes, in the order of these.
#[must_use]
pub fn pools(config: &Config) -> Vec<Pool<'_>> {
    config.routes.iter().enumerate().map(|(place, route)| pool(place, route)).collect()
}

fn pool(place: usize, route: &RouteConfig) -> Pool<'_> {
    let asked = route.backends.iter().filter(|backend| backend.weight > 0);
    let out_of_reach = asked.clone().flat_map(|backend| &backend.endpoints).filter(|one| one.endpoint.is_relayed);
    let out_of_reach = out_of_reach.count();
    // What a backend without endpoints would get, the others do.
    let backends: Vec<_> = asked.filter(|backend| weight(backend) > 0).collect();
    let common = common_multiple(backends.iter().map(|backend| weight(backend)));
    let mut servers = BTreeMap::<(String, u16), Server>::new();
    for backend in backends {
        let of_one = common / weight(backend) * u64::from(backend.weight);
        for one in reached(backend) {
            let endpoint = &one.endpoint;
            let share = of_one * u64::from(one.weight);
            let key = (endpoint.host.clone(), endpoint.port);
            let server = servers.entry(key).or_insert_with(|| Server {
                cluster: endpoint.cluster.clone(),
                name: endpoint.name.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
                share: 0,
                is_remote: route.locality.as_ref().is_some_and(|local| local.cluster != endpoint.cluster),
            });
            server.share += share;
        }
    }
    let divisor = servers.values().fold(0, |divisor, server| greatest_common_divisor(divisor, server.share)).max(1);
    let servers = servers.into_values().map(|server| Server { share: server.share / divisor, ..server }).collect();
    Pool { place, route, servers, out_of_reach }
}

fn reached(backend: &BackendConfig) -> impl Iterator<Item = &EndpointConfig> {
    backend.endpoints.iter().filter(|one| one.weight > 0 && !one.endpoint.is_relayed)
}

fn weight(backend: &BackendConfig) -> u64 {
    reached(backend).map(|one| u64::from(one.weight)).sum()
}

/// The shares as weights from 1 to `most`: what they are if they fit, and else the nearest to it.
#[must_use]
pub fn weights(servers: &[Server], most: u32) -> Vec<u32> {
    let largest = servers.iter().map(|server| server.share).max().unwrap_or(1).max(1);
    let most = u64::from(most);
    let scaled = |share: u64| {
        if largest <= most {
            return share;
        }
        let (share, largest, most) = (u128::from(share), u128::from(largest), u128::from(most));
        // It is at most `most`.
        u64::try_from((share * most + largest / 2) / largest).unwrap_or(u64::MAX)
    };
    servers.iter().map(|server| scaled(server.share).clamp(1, most).try_into().unwrap_or(u32::MAX)).collect()
}

/// The least one, so that shares are exact; where it would be too large for that, one that makes them nearly so.
fn common_multiple(mut of: impl Iterator<Item = u64>) -> u64 {
    let exact = of.try_fold(1_u64, |common, one| {
        let next = (common / greatest_common_divisor(common, one)).checked_mul(one)?;
        (next <= LARGEST_MULTIPLE).then_some(next)
    });
    exact.unwrap_or(LARGEST_MULTIPLE)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use skyfleet_gateway::config::{Endpoint, Locality};

    use super::*;

    fn endpoint(host: &str, weight: u32) -> EndpointConfig {
        let (cluster, name) = ("a".to_owned(), host.to_owned());
        let endpoint = Endpoint { cluster, name, host: host.to_owned(), port: 80, is_relayed: host == "relayed" };
        EndpointConfig { endpoint, weight, egress_price: 0 }
    }

    fn backend(weight: u32, endpoints: &[(&str, u32)]) -> BackendConfig {
        let endpoints = endpoints.iter().map(|(host, weight)| endpoint(host, *weight)).collect();
        BackendConfig { name: "llama".to_owned(), weight, model: None, endpoints }
    }

    fn shares(backends: Vec<BackendConfig>) -> Vec<(String, u64)> {
        let config = Config { routes: vec![RouteConfig { backends, ..RouteConfig::default() }] };
        pools(&config)[0].servers.iter().map(|server| (server.address(), server.share)).collect()
    }

    #[test]
    fn shares_are_those_of_replicas_within_a_backend_and_of_backends_by_weight() {
        for (backends, expected) in [
            (vec![backend(1, &[("x", 2), ("y", 1)])], vec![("x:80", 2), ("y:80", 1)]),
            (vec![backend(7, &[("x", 4), ("y", 4)])], vec![("x:80", 1), ("y:80", 1)]),
            // A tenth for one replica, and nine tenths for two.
            (
                vec![backend(90, &[("x", 1), ("y", 1)]), backend(10, &[("z", 1)])],
                vec![("x:80", 9), ("y:80", 9), ("z:80", 2)],
            ),
            // What answers for both has both shares.
            (vec![backend(1, &[("x", 1), ("y", 1)]), backend(1, &[("x", 3)])], vec![("x:80", 3), ("y:80", 1)]),
            (vec![backend(1, &[("x", 1)]), backend(0, &[("y", 1)]), backend(5, &[])], vec![("x:80", 1)]),
            (vec![backend(1, &[("x", 0), ("fd00::1", 1), ("relayed", 1)])], vec![("[fd00::1]:80", 1)]),
            (vec![], vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(address, share)| (address.to_owned(), share)).collect();
            assert_eq!(shares(backends), expected);
        }
    }

    #[test]
    fn where_whole_numbers_would_be_too_large_shares_are_nearly_right() {
        let primes = [1009, 1013, 1019, 1021, 1031, 1033, 1039];
        let hosts: Vec<_> = (0..primes.len()).map(|number| [format!("a{number}"), format!("b{number}")]).collect();
        let backends = primes.iter().zip(&hosts).map(|(prime, [one, all])| backend(1, &[(one, 1), (all, prime - 1)]));
        let shares = shares(backends.collect());
        let total: u64 = shares.iter().map(|(_, share)| share).sum();
        let first = u128::from(shares.iter().find(|(address, _)| address == "b0:80").expect("b0").1);
        let permille = first * 1000 * 7 * 1009 / 1008 / u128::from(total);
        assert!((999..=1001).contains(&permille), "{permille}");
    }

    #[test]
    fn what_is_local_and_what_only_the_gateway_reaches_is_told() {
        let mut config = Config { routes: vec![RouteConfig::default()] };
        config.routes[0].backends = vec![backend(1, &[("x", 1), ("relayed", 2)])];
        assert_eq!(pools(&config)[0].out_of_reach, 1);
        assert!(!pools(&config)[0].servers[0].is_remote, "without a locality nothing is");
        config.routes[0].locality = Some(Locality { cluster: "b".to_owned(), spill_over_percent: 80 });
        assert!(pools(&config)[0].servers[0].is_remote);
    }

    #[test]
    fn weights_keep_to_the_bounds_of_a_server() {
        let server = |share| Server {
            cluster: String::new(),
            name: String::new(),
            host: String::new(),
            port: 1,
            share,
            is_remote: false,
        };
        for (shares, most, expected) in [
            (vec![2, 1], 256, vec![2, 1]),
            (vec![256, 1], 256, vec![256, 1]),
            (vec![1000, 500, 1], 256, vec![256, 128, 1]),
            (vec![u64::MAX, u64::MAX / 2], 100, vec![100, 50]),
            (vec![], 100, vec![]),
        ] {
            let servers: Vec<_> = shares.into_iter().map(server).collect();
            assert_eq!(weights(&servers, most), expected);
        }
    }
}
