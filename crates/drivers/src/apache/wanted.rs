//! What an Apache httpd is to have: plain data.

use std::collections::BTreeMap;
use std::fmt;

use crate::rules::{Host, Rule};

/// What an Apache httpd is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// A balancer of each route.
    pub(super) pools: Vec<Pool>,
    /// Which of them takes a request: the first that matches.
    pub(super) taken: Vec<Taken>,
    /// Certificates and keys by the names of their files, which tell what is in them.
    pub(super) certificates: BTreeMap<String, Pem>,
    /// The longest time that anything may take to answer, in milliseconds: what servers have that come while Apache runs.
    pub(super) timeout: u128,
}

/// Requests of one kind, and the name of the balancer that takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub host: Host,
    pub path: String,
    pub model: Option<String>,
    pub pool: String,
    /// The most that `Content-Length` may say; anything with 0.
    pub bytes: u64,
}

impl Taken {
    pub fn new(rule: Rule, pool: String, bytes: u64) -> Self {
        Self { host: rule.host, path: rule.path, model: rule.model, pool, bytes }
    }
}

/// The balancer of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// The name of the route.
    pub route: String,
    /// The name of the balancer.
    pub name: String,
    /// `ws`, `wss`, `h2c` or `h2`.
    pub scheme: &'static str,
    /// What can be changed while Apache runs.
    pub balancer: BalancerParameters,
    /// Directives of its section.
    pub section: Vec<String>,
    /// Parameters of its members that only a file can give.
    pub member: String,
    /// How Apache looks whether they are well.
    pub health: Option<Health>,
    /// Members may come while Apache runs.
    pub grows: bool,
    /// Who answers, by `host:port`.
    pub servers: BTreeMap<Address, Server>,
}

/// Parameters of a balancer that the balancer-manager shows and changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BalancerParameters {
    pub method: String,
    /// Beyond the first attempt.
    pub attempts: u32,
    /// The cookie that tells the member.
    pub cookie: Option<String>,
}

/// Where a member is; an address of version 6 is without brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What a member is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// From 1 to 100.
    pub weight: u32,
    /// Those with the lowest come first.
    pub set: u32,
    /// What cookies call it; empty without cookies.
    pub route: String,
}

/// How Apache looks whether members are well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// What is asked for; only a connection is made if not given.
    pub path: Option<String>,
    pub interval: u128,
    pub rise: u32,
    pub fall: u32,
}

/// The text of certificates and keys, which is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pem(pub Vec<u8>);

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem(..)")
    }
}
