//! The built-in gateway, which is held to the same.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skyfleet_drivers::{Driver, DriverError, Lack, Plan, Shown, ShownServer, ShownState};
use skyfleet_gateway::config::{Config, UpstreamTls};
use skyfleet_gateway::{Gateway, Serving, serve};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::balancer::Balancer;
use crate::conformance;

/// A gateway that runs in this process.
pub struct Running {
    driver: InProcess,
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

#[derive(Clone, Default)]
pub struct InProcess {
    gateway: Arc<Gateway>,
    config: Arc<Mutex<Config>>,
}

impl Balancer for Running {
    type Driver = InProcess;

    async fn start() -> Self {
        let driver = InProcess::default();
        let (address, stop) = (crate::port::reserve(), CancellationToken::new());
        let (gateway, stops) = (driver.gateway.clone(), stop.clone());
        let (head, drain) = (Duration::from_secs(30), Duration::from_secs(20));
        let serving = Serving { listen: address, workers: 2, log: None, tls: None, head, drain };
        let thread = Some(std::thread::spawn(move || serve(&gateway, &serving, &stops)));
        while TcpStream::connect(address).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        Self { driver, address, stop, thread }
    }

    fn driver(&self) -> InProcess {
        self.driver.clone()
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok_and(|served| served.is_ok()));
        }
    }
}

impl Driver for InProcess {
    type Wanted = Config;
    type Actual = (Config, Shown);
    type Step = Config;

    fn name(&self) -> &'static str {
        "the gateway"
    }

    fn plan(&self, config: &Config) -> Plan<Config> {
        let mut lacks = BTreeMap::new();
        for route in &config.routes {
            if let Some(UpstreamTls::NotReady(why)) = &route.tls {
                lacks.insert(route.name.clone(), vec![Lack::refused("spec.tls", why)]);
            }
        }
        Plan { wanted: config.clone(), lacks }
    }

    fn steps(&self, (config, _): &(Config, Shown), wanted: &Config) -> Vec<Config> {
        (config != wanted).then(|| wanted.clone()).into_iter().collect()
    }

    fn shown(&self, (_, shown): &(Config, Shown)) -> Shown {
        shown.clone()
    }

    async fn read(&self) -> Result<(Config, Shown), DriverError> {
        let mut pools = BTreeMap::<String, BTreeMap<String, ShownServer>>::new();
        for route in self.gateway.status() {
            let pool = pools.entry(route.name).or_default();
            for endpoint in route.backends.into_iter().flat_map(|backend| backend.endpoints) {
                let state = match &*endpoint.condition {
                    "Serving" => ShownState::Serving,
                    "Draining" => ShownState::Draining,
                    _ => ShownState::Down,
                };
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what tests give")]
                let weight = endpoint.weight as u32;
                pool.insert(endpoint.address, ShownServer { weight, state, in_flight: Some(endpoint.in_flight) });
            }
        }
        Ok((self.config.lock().unwrap().clone(), Shown { pools }))
    }

    async fn perform(&self, step: &Config) -> Result<(), DriverError> {
        self.gateway.configure(step.clone());
        *self.config.lock().unwrap() = step.clone();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_find_their_route() {
    conformance::requests_find_their_route::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_cannot_be_takes_no_other_down() {
    conformance::a_route_that_cannot_be_takes_no_other_down::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_as_weights_say() {
    conformance::shares_are_as_weights_say::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_gets_less_by_least_connection() {
    conformance::a_slow_server_gets_less_by_least_connection::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_costs_no_request() {
    conformance::a_dead_server_costs_no_request::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_header_has_one_server() {
    conformance::one_header_has_one_server::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_come_and_go_under_load() {
    conformance::servers_come_and_go_under_load::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_server_finishes_its_streams() {
    conformance::a_removed_server_finishes_its_streams::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_is_settled() {
    conformance::settled_is_settled::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_after_any_step_it_goes_on() {
    conformance::stopped_after_any_step_it_goes_on::<Running>().await;
}
