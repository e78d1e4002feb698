//! Changes in any order, stopped anywhere.

use proptest::prelude::*;
use skyfleet_gateway::config::{
    Affinity, AffinityBy, Algorithm, BackendConfig, Config, Endpoint, EndpointConfig, Locality, Matching, RouteConfig,
};

use super::memory::{apply, restart};
use crate::Driver as _;
use crate::apache::render::without_members;
use crate::apache::steps::Change;
use crate::apache::{Actual, Apache, Settings};

#[derive(Clone, Debug)]
enum Event {
    /// The routes become this, and a driver does so many steps.
    Change(Config, usize),
    /// The server is killed, and starts by its files.
    Kill,
    /// A member takes no connection.
    Fail(usize),
    /// Somebody disables a member by hand.
    Disable(usize),
    /// Somebody writes into the managed file.
    Edit,
}

/// Most changes are of members only.
fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.03)
}

fn route() -> impl Strategy<Value = RouteConfig> {
    let servers = prop::collection::btree_map(0..30_u8, 1..4_u32, 0..25);
    (0..2_u8, servers, rarely(), rarely(), rarely()).prop_map(|(name, servers, one, two, three)| {
        let endpoints = servers.into_iter().map(|(number, weight)| {
            let cluster = if number % 3 == 0 { "b" } else { "a" }.to_owned();
            let host = format!("10.0.0.{number}");
            EndpointConfig {
                endpoint: Endpoint {
                    cluster,
                    name: host.clone(),
                    host,
                    port: 80 + u16::from(number % 2),
                    is_relayed: false,
                },
                weight,
                egress_price: 0,
            }
        });
        let endpoints = endpoints.collect();
        let by = AffinityBy::Cookie { name: "replica".to_owned(), ttl: None };
        RouteConfig {
            name: format!("ml/{name}"),
            matching: Matching { hosts: vec![format!("{name}.example.com")], ..Matching::default() },
            backends: vec![BackendConfig { name: "llama".to_owned(), weight: 1, model: None, endpoints }],
            algorithm: if one { Algorithm::RoundRobin } else { Algorithm::LeastConnection },
            affinity: two.then_some(Affinity { by, bound_percent: 125 }),
            locality: three.then(|| Locality { cluster: "a".to_owned(), spill_over_percent: 80 }),
            ..RouteConfig::default()
        }
    })
}

fn config() -> impl Strategy<Value = Config> {
    prop::collection::vec(route(), 1..3).prop_map(|mut routes| {
        routes.sort_by(|one, other| one.name.cmp(&other.name));
        routes.dedup_by(|one, other| one.name == other.name);
        Config { routes }
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (config(), 0..40_usize).prop_map(|(config, steps)| Event::Change(config, steps)),
        1 => Just(Event::Kill),
        1 => any::<usize>().prop_map(Event::Fail),
        1 => any::<usize>().prop_map(Event::Disable),
        1 => Just(Event::Edit),
    ]
}

fn of_member(actual: &mut Actual, number: usize, change: impl FnOnce(&mut crate::apache::live::LiveMember)) {
    let mut all: Vec<_> = actual.live.pools.values_mut().flat_map(|pool| pool.members.values_mut()).collect();
    let count = all.len().max(1);
    if let Some(member) = all.get_mut(number % count) {
        change(member);
    }
}

proptest! {
    #[test]
    fn whatever_has_happened_it_becomes_what_it_is_to_be(events in prop::collection::vec(event(), 0..25), last in config()) {
        let driver = Apache::new(Settings { reserve: 20, ..Settings::default() });
        // What the server runs by is not what its file has where somebody has changed that.
        let (mut actual, mut running) = (Actual::default(), None);
        for event in events.into_iter().chain([Event::Change(last.clone(), usize::MAX)]) {
            match event {
                Event::Change(config, count) => {
                    let wanted = driver.plan(&config).wanted;
                    for step in driver.steps(&actual, &wanted).iter().take(count) {
                        apply(&driver.settings, &mut actual, &step.0);
                        if matches!(step.0, Change::Restart(_)) {
                            running.clone_from(&actual.managed);
                        }
                    }
                }
                Event::Kill => {
                    restart(&mut actual);
                    running.clone_from(&actual.managed);
                }
                Event::Fail(number) => of_member(&mut actual, number, |member| member.is_failed = true),
                Event::Disable(number) => of_member(&mut actual, number, |member| { member.flags.insert("Dis".to_owned()); }),
                Event::Edit => actual.managed = actual.managed.map(|text| text.replace("example", "elsewhere")),
            }
        }
        let wanted = driver.plan(&last).wanted;
        prop_assert_eq!(driver.steps(&actual, &wanted), vec![]);
        let expected = serving(&driver, &last);
        prop_assert_eq!(&of_the_live(&driver, &actual), &expected);
        let [running, managed] = [running, actual.managed.clone()].map(Option::unwrap_or_default);
        prop_assert_eq!(without_members(&running), without_members(&managed));
        // A restart keeps it, and so does a member that takes no connection for a while.
        restart(&mut actual);
        of_member(&mut actual, 0, |member| member.is_failed |= !member.is_out());
        prop_assert_eq!(of_the_live(&driver, &actual), expected);
        prop_assert_eq!(driver.steps(&actual, &wanted), vec![]);
    }
}

type Serving = Vec<(String, Vec<(String, u32)>)>;

fn serving(driver: &Apache, config: &Config) -> Serving {
    let mut pools: Serving = driver
        .plan(config)
        .wanted
        .pools
        .into_iter()
        .map(|pool| (pool.route, pool.servers.iter().map(|(at, one)| (at.to_string(), one.weight * 100)).collect()))
        .collect();
    for (_, servers) in &mut pools {
        servers.sort();
    }
    pools.sort();
    pools
}

fn of_the_live(driver: &Apache, actual: &Actual) -> Serving {
    let pools = driver.shown(actual).pools.into_iter();
    pools.map(|(name, servers)| (name, servers.into_iter().map(|(at, one)| (at, one.weight)).collect())).collect()
}
