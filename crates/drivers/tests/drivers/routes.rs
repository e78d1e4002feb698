//! Routes for tests.

use skyfleet_gateway::config::{Algorithm, BackendConfig, Config, Matching, RouteConfig};

use crate::replica::Replica;

/// The host of most tests.
pub const HOST: &str = "models.example.com";

/// A route of a host, shared out in turn.
pub fn route(name: &str, host: &str, replicas: &[(&Replica, u32)]) -> RouteConfig {
    RouteConfig {
        name: format!("ml/{name}"),
        matching: Matching { hosts: vec![host.to_owned()], ..Matching::default() },
        backends: vec![backend(1, replicas)],
        algorithm: Algorithm::RoundRobin,
        request_bytes: 16 << 20,
        ..RouteConfig::default()
    }
}

pub fn backend(weight: u32, replicas: &[(&Replica, u32)]) -> BackendConfig {
    let endpoints = replicas.iter().map(|(replica, weight)| replica.endpoint(*weight)).collect();
    BackendConfig { name: "llama".to_owned(), weight, model: None, endpoints }
}

/// One route to replicas of equal weight.
pub fn to(replicas: &[&Replica]) -> Config {
    let replicas: Vec<_> = replicas.iter().map(|replica| (*replica, 1)).collect();
    Config { routes: vec![route("llama", HOST, &replicas)] }
}
