//! The endpoints of a backend by area: those of the gateway's own cluster, and the others by what it costs to get an answer out of
//! their clouds. Within an area the algorithm shares requests out among all endpoints, whatever their clusters.

use std::sync::Arc;
use std::time::Duration;

use skyfleet_balance::affinity::{self, Bound};
use skyfleet_balance::health::Thresholds;
use skyfleet_balance::slow_start::SlowStart;
use skyfleet_balance::{Algorithm as Balance, Failure, NoEndpoint, Pool, Request, Ticket, ejection, pool, tiers};

use crate::config::{self, Ejection, Endpoint, EndpointConfig, RouteConfig};

/// All areas of a backend.
pub(crate) struct Areas {
    /// The place of one stays the same as long as requests are in flight there.
    all: Vec<Area>,
    /// The one that has all endpoints, if there is such a one.
    only: Option<usize>,
    /// The share of what local ones take at which others are asked too.
    spill_over: f64,
}

struct Area {
    kind: Kind,
    pool: Pool<Arc<Endpoint>>,
    /// Endpoints that serve.
    size: usize,
}

/// What the endpoints of an area have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// They are in the gateway's own cluster.
    Local,
    /// Their answers cost so much, in the unit of [`EndpointConfig::egress_price`].
    Remote(u64),
}

/// Where a request went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried {
    area: usize,
    ticket: Ticket,
}

impl Areas {
    pub(crate) fn new() -> Self {
        Self { all: Vec::new(), only: None, spill_over: 1.0 }
    }

    /// These are the endpoints of the route's backend from now on.
    pub(crate) fn configure(
        &mut self,
        route: &RouteConfig,
        endpoints: &[EndpointConfig],
        now: Duration,
        rng: &mut fastrand::Rng,
    ) {
        let here = route.locality.as_ref().map(|locality| locality.cluster.as_str());
        let kind = |endpoint: &EndpointConfig| match endpoint.endpoint.cluster.as_str() {
            cluster if Some(cluster) == here => Kind::Local,
            _ => Kind::Remote(endpoint.egress_price),
        };
        self.spill_over =
            route.locality.as_ref().map_or(1.0, |locality| f64::from(locality.spill_over_percent) / 100.0);
        let mut kinds: Vec<_> = endpoints.iter().map(kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        self.make_room(&kinds, now);
        for area in &mut self.all {
            let of_area = || endpoints.iter().filter(|endpoint| kind(endpoint) == area.kind);
            area.size = of_area().count();
            area.pool.configure(settings(route));
            if route.health.is_none() {
                area.pool.forget_checks();
            }
            area.pool.update(of_area().map(|endpoint| pooled(route, endpoint)), now, rng);
        }
        let mut in_use = self.all.iter().enumerate().filter(|(_, area)| area.size > 0).map(|(place, _)| place);
        self.only = in_use.next().filter(|_| in_use.next().is_none());
    }

    /// Makes an area of each kind that there is none of yet, in the place of one that nothing is left of if possible.
    fn make_room(&mut self, kinds: &[Kind], now: Duration) {
        for kind in kinds {
            if self.all.iter().any(|area| area.kind == *kind) {
                continue;
            }
            let is_idle = |area: &Area| area.pool.endpoints(now).all(|endpoint| endpoint.in_flight == 0);
            let is_unused = |area: &&mut Area| !kinds.contains(&area.kind) && is_idle(area);
            match self.all.iter_mut().find(is_unused) {
                Some(area) => area.kind = *kind,
                None => {
                    self.all.push(Area { kind: *kind, pool: Pool::new(pool::Settings::default()), size: 0 });
                }
            }
        }
    }

    /// Picks an endpoint other than those of earlier attempts, as long as there is another.
    pub(crate) fn pick(
        &mut self,
        affinity: Option<u64>,
        tried: &[Tried],
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> Result<(Arc<Endpoint>, Tried), NoEndpoint> {
        let place = self.choose(tried, now)?;
        let tried: Vec<_> = tried.iter().filter(|tried| tried.area == place).map(|tried| tried.ticket).collect();
        let pool = &mut self.all.get_mut(place).ok_or(NoEndpoint::Empty)?.pool;
        let ticket = pool.pick(&Request { affinity, tried: &tried }, now, rng)?;
        let endpoint = pool.key(ticket).cloned().ok_or(NoEndpoint::Empty)?;
        Ok((endpoint, Tried { area: place, ticket }))
    }

    /// The area for the next request: [`tiers`]. Endpoints that were tried count as broken, so that a retry goes elsewhere.
    fn choose(&self, tried: &[Tried], now: Duration) -> Result<usize, NoEndpoint> {
        if let Some(only) = self.only {
            return Ok(only);
        }
        let clusters: Vec<_> =
            self.all.iter().enumerate().map(|(place, area)| area.as_cluster(place, tried, now)).collect();
        let policy = tiers::Policy { spill_over: self.spill_over, ..tiers::Policy::default() };
        tiers::choose(&clusters, &policy).map_err(|why| match why {
            tiers::NoCluster::Full => NoEndpoint::Full,
            tiers::NoCluster::Empty | tiers::NoCluster::NotAllowed => NoEndpoint::Empty,
        })
    }

    /// A health check of an endpoint has passed or failed. Returns whether that changed its state.
    pub(crate) fn checked(&mut self, endpoint: &Arc<Endpoint>, passed: bool, now: Duration) -> bool {
        self.all.iter_mut().fold(false, |any, area| any | area.pool.checked(endpoint, passed, now))
    }

    /// The first byte of a good answer is here.
    pub(crate) fn first_byte(&mut self, tried: Tried, now: Duration) {
        if let Some(area) = self.all.get_mut(tried.area) {
            area.pool.first_byte(tried.ticket, now);
        }
    }

    /// The request has failed, and counts no more.
    pub(crate) fn failed(&mut self, tried: Tried, failure: Failure, now: Duration) {
        if let Some(area) = self.all.get_mut(tried.area) {
            area.pool.failed(tried.ticket, failure, now);
        }
    }

    /// The request has ended. Returns whether it was in flight.
    pub(crate) fn end(&mut self, tried: Tried, now: Duration) -> bool {
        self.all.get_mut(tried.area).is_some_and(|area| area.pool.end(tried.ticket, now))
    }

    /// All endpoints, also those that are drained.
    pub(crate) fn endpoints(&self, now: Duration) -> impl Iterator<Item = pool::Status<'_, Arc<Endpoint>>> {
        self.all.iter().flat_map(move |area| area.pool.endpoints(now))
    }
}

impl Area {
    /// As [`tiers`] sees it. The way there and back is part of the response time; an area that was never asked is asked once.
    fn as_cluster(&self, place: usize, tried: &[Tried], now: Duration) -> tiers::Cluster {
        let load = self.pool.load(now);
        let tried = tried.iter().filter(|tried| tried.area == place).count();
        tiers::Cluster {
            is_local: self.kind == Kind::Local,
            is_allowed: true,
            replicas: load.endpoints,
            available: load.available.saturating_sub(tried),
            in_flight: load.in_flight,
            capacity: load.capacity,
            round_trip: Duration::ZERO,
            response_time: load.response_time,
            waiting: load.waiting,
            egress_price: match self.kind {
                Kind::Local => 0,
                Kind::Remote(price) => price,
            },
        }
    }
}

fn pooled(route: &RouteConfig, config: &EndpointConfig) -> pool::Endpoint<Arc<Endpoint>> {
    let EndpointConfig { endpoint, weight, .. } = config;
    let name = format!("{}/{}", endpoint.cluster, endpoint.name);
    pool::Endpoint {
        key: Arc::new(endpoint.clone()),
        identity: affinity::hash(name.as_bytes()),
        weight: *weight,
        most_in_flight: route.most_in_flight.map_or(u32::MAX, |most| most.saturating_mul(*weight)),
    }
}

fn settings(route: &RouteConfig) -> pool::Settings {
    let algorithm = match route.algorithm {
        config::Algorithm::RoundRobin => Balance::RoundRobin,
        config::Algorithm::LeastConnection => Balance::LeastConnection,
        config::Algorithm::LeastResponseTime => Balance::LeastResponseTime,
    };
    let Ejection { consecutive_errors, base, most_percent } = route.ejection;
    let consecutive = if most_percent == 0 { 0 } else { consecutive_errors };
    let bound = route.affinity.as_ref().map(|affinity| f64::from(affinity.bound_percent) / 100.0);
    let defaults = pool::Settings::default();
    let health = route.health.as_ref().map(|check| Thresholds { rise: check.rise, fall: check.fall });
    pool::Settings {
        algorithm,
        health: health.unwrap_or_default(),
        affinity: Bound { load_factor: bound.unwrap_or(defaults.affinity.load_factor), ..defaults.affinity },
        ejection: ejection::Settings {
            consecutive,
            base,
            largest_share: f64::from(most_percent) / 100.0,
            ..defaults.ejection
        },
        slow_start: SlowStart { window: route.slow_start, ..defaults.slow_start },
        ..defaults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Locality;

    struct Bench {
        areas: Areas,
        rng: fastrand::Rng,
        now: Duration,
    }

    fn endpoint(cluster: &str, egress_price: u64) -> EndpointConfig {
        let endpoint = Endpoint {
            cluster: cluster.to_owned(),
            name: "pod".to_owned(),
            host: "h".to_owned(),
            port: 80,
            is_relayed: false,
        };
        EndpointConfig { endpoint, weight: 1, egress_price }
    }

    impl Bench {
        fn new(endpoints: &[EndpointConfig]) -> Self {
            let mut bench = Self { areas: Areas::new(), rng: fastrand::Rng::with_seed(1), now: Duration::ZERO };
            bench.configure(endpoints);
            bench
        }

        fn configure(&mut self, endpoints: &[EndpointConfig]) {
            let locality = Some(Locality { cluster: "here".to_owned(), spill_over_percent: 50 });
            let route = RouteConfig { locality, most_in_flight: Some(4), ..RouteConfig::default() };
            self.areas.configure(&route, endpoints, self.now, &mut self.rng);
        }

        fn pick(&mut self, tried: &[Tried]) -> (String, Tried) {
            let (endpoint, tried) = self.areas.pick(None, tried, self.now, &mut self.rng).expect("an endpoint");
            (endpoint.cluster.clone(), tried)
        }

        /// A request that is answered after this time. Where it went.
        fn ask(&mut self, took: impl Fn(&str) -> u64) -> String {
            let (cluster, tried) = self.pick(&[]);
            self.now += Duration::from_millis(took(&cluster));
            self.areas.first_byte(tried, self.now);
            self.areas.end(tried, self.now);
            // The median of response times is looked at each second.
            self.now += Duration::from_secs(1);
            cluster
        }

        fn in_flight(&self) -> u32 {
            self.areas.endpoints(self.now).map(|endpoint| endpoint.in_flight).sum()
        }
    }

    #[test]
    fn of_clusters_that_answer_nearly_as_soon_the_cheaper_come_first() {
        let mut bench = Bench::new(&[endpoint("dear", 90), endpoint("cheap", 20), endpoint("slow", 0)]);
        let took = |cluster: &str| match cluster {
            "dear" => 100,
            "cheap" => 110,
            _ => 500,
        };
        let asked: Vec<_> = (0..30).map(|_| bench.ask(took)).collect();
        // Each is asked until it is known how soon it answers.
        assert!(asked[..6].iter().any(|cluster| cluster == "dear"), "{asked:?}");
        assert!(asked[6..].iter().all(|cluster| cluster == "cheap"), "{asked:?}");
    }

    #[test]
    fn local_ones_come_first_then_others_by_price_until_all_are_loaded_or_tried() {
        let mut bench = Bench::new(&[endpoint("dear", 90), endpoint("here", 0), endpoint("cheap", 20)]);
        let picked: Vec<_> = (0..12).map(|_| bench.pick(&[]).0).collect();
        assert_eq!(&picked[..5], ["here", "here", "cheap", "cheap", "dear"]);
        let of = |cluster: &str| picked.iter().filter(|picked| *picked == cluster).count();
        assert_eq!([of("here"), of("cheap"), of("dear")], [4; 3]);
        assert!(matches!(bench.areas.pick(None, &[], bench.now, &mut bench.rng), Err(NoEndpoint::Full)));

        let mut bench = Bench::new(&[endpoint("dear", 90), endpoint("here", 0), endpoint("cheap", 20)]);
        let mut tried = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..3 {
            let (cluster, one) = bench.pick(&tried);
            bench.areas.failed(one, Failure::Connect, bench.now);
            tried.push(one);
            asked.push(cluster);
        }
        assert_eq!(asked, ["here", "cheap", "dear"]);
    }

    #[test]
    fn requests_in_flight_count_whatever_becomes_of_prices() {
        let mut bench = Bench::new(&[endpoint("a", 90), endpoint("b", 20)]);
        let held: Vec<_> = (0..6).map(|_| bench.pick(&[]).1).collect();
        assert_eq!(bench.in_flight(), 6);
        bench.configure(&[endpoint("a", 30)]);
        assert_eq!(bench.in_flight(), 6, "what has gone is drained");
        let (_, more) = bench.pick(&[]);
        bench.configure(&[endpoint("a", 30), endpoint("b", 40), endpoint("c", 50)]);
        for (number, one) in held.into_iter().chain([more]).enumerate() {
            assert!(bench.areas.end(one, bench.now), "{number}");
            assert!(!bench.areas.end(one, bench.now), "once only");
        }
        assert_eq!(bench.in_flight(), 0);
        bench.configure(&[endpoint("a", 60), endpoint("b", 70), endpoint("c", 80)]);
        assert!(bench.areas.all.len() <= 5, "areas that nothing is left of are used again");
    }

    #[test]
    fn without_endpoints_there_is_nobody() {
        let mut bench = Bench::new(&[]);
        assert!(matches!(bench.areas.pick(None, &[], bench.now, &mut bench.rng), Err(NoEndpoint::Empty)));
        bench.configure(&[endpoint("a", 1), endpoint("b", 2)]);
        bench.configure(&[]);
        assert!(matches!(bench.areas.pick(None, &[], bench.now, &mut bench.rng), Err(NoEndpoint::Empty)));
    }
}
