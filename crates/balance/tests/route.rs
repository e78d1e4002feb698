//! A request's whole way, as a gateway takes it: its client's limit, the split between versions, the cluster, the replica there, and the
//! queue where all are full. In a world of thousands of requests each comes to one end, and no bound is passed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skyfleet_balance::pool::{Algorithm, Endpoint, NoEndpoint, Pool, Request, Settings, Ticket};
use skyfleet_balance::queue::{self, Place, Queue};
use skyfleet_balance::rate_limit::{Limit, Limits, RateLimiter};
use skyfleet_balance::split::Split;
use skyfleet_balance::tiers::{Cluster, NoCluster, Policy, choose};
use skyfleet_balance::{affinity, tiers};

const REPLICAS: u32 = 4;
const IN_FLIGHT: u32 = 3;

#[derive(Debug, Default, PartialEq, Eq)]
struct Ends {
    limited: u32,
    refused: u32,
    expired: u32,
    /// By version and cluster.
    answered: BTreeMap<(usize, usize), u32>,
}

struct Gateway {
    limiter: RateLimiter<u32>,
    split: Split,
    /// Pools of each version, one a cluster; the first cluster is the local one.
    pools: Vec<Vec<Pool<u32>>>,
    /// One of each version: room for one version is none for another.
    queues: Vec<Queue<u32>>,
    waiting: BTreeSet<(usize, Place)>,
    /// By when they end.
    open: BTreeSet<(Duration, u64)>,
    tickets: BTreeMap<u64, (usize, usize, Ticket)>,
    sent: u64,
    rng: fastrand::Rng,
    ends: Ends,
}

fn pool(rng: &mut fastrand::Rng) -> Pool<u32> {
    let mut pool = Pool::new(Settings { algorithm: Algorithm::LeastResponseTime, ..Settings::default() });
    let endpoint =
        |key: u32| Endpoint { most_in_flight: IN_FLIGHT, ..Endpoint::new(key, affinity::hash(&key.to_le_bytes())) };
    pool.update((0..REPLICAS).map(endpoint), Duration::ZERO, rng);
    pool
}

impl Gateway {
    fn new() -> Self {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut split = Split::default();
        split.update([(1, 90), (2, 10)]);
        let limits = Limits { requests: Some(Limit { per_minute: 600, burst: 100 }), tokens: None };
        Self {
            limiter: RateLimiter::new(limits, 100),
            split,
            pools: (0..2).map(|_| (0..2).map(|_| pool(&mut rng)).collect()).collect(),
            queues: (0..2).map(|_| Queue::new(queue::Settings { most: 20, most_of_one: 10 })).collect(),
            waiting: BTreeSet::new(),
            open: BTreeSet::new(),
            tickets: BTreeMap::new(),
            sent: 0,
            rng,
            ends: Ends::default(),
        }
    }

    fn arrive(&mut self, client: u32, now: Duration) {
        let Ok(reservation) = self.limiter.reserve(&client, 0, now) else {
            self.ends.limited += 1;
            return;
        };
        let version = self.split.pick().expect("there are weights");
        if self.send(version, now) {
            return;
        }
        if let Ok(place) = self.queues[version].admit(&client, now + Duration::from_millis(500), now) {
            self.waiting.insert((version, place));
        } else {
            self.limiter.cancel(&client, reservation, now);
            self.ends.refused += 1;
        }
    }

    /// Sends a request if there is room.
    fn send(&mut self, version: usize, now: Duration) -> bool {
        let pools = &mut self.pools[version];
        let clusters: Vec<_> = pools.iter().enumerate().map(|(place, pool)| facts(place == 0, pool, now)).collect();
        let cluster = match choose(&clusters, &Policy::default()) {
            Ok(cluster) => cluster,
            Err(NoCluster::Full) => return false,
            Err(other) => panic!("{other}"),
        };
        let ticket = match pools[cluster].pick(&Request::default(), now, &mut self.rng) {
            Ok(ticket) => ticket,
            Err(NoEndpoint::Full) => panic!("the cluster had room"),
            Err(other) => panic!("{other}"),
        };
        self.sent += 1;
        self.open.insert((now + Duration::from_millis(self.rng.u64(100..900)), self.sent));
        self.tickets.insert(self.sent, (version, cluster, ticket));
        true
    }

    /// All that happens until now.
    fn pass(&mut self, now: Duration) {
        while let Some((due, number)) = self.open.first().copied().filter(|(due, _)| *due <= now) {
            self.open.remove(&(due, number));
            let (version, cluster, ticket) = self.tickets.remove(&number).expect("it is open");
            self.pools[version][cluster].first_byte(ticket, due);
            assert!(self.pools[version][cluster].end(ticket, due));
            *self.ends.answered.entry((version, cluster)).or_default() += 1;
            if let Some(place) = self.queues[version].next(due) {
                assert!(self.waiting.remove(&(version, place)));
                assert!(self.send(version, due), "an answer leaves room");
            }
        }
        for (version, queue) in self.queues.iter_mut().enumerate() {
            while let Some(place) = queue.expire(now) {
                assert!(self.waiting.remove(&(version, place)));
                self.ends.expired += 1;
            }
        }
    }
}

fn facts(is_local: bool, pool: &Pool<u32>, now: Duration) -> Cluster {
    let load = pool.load(now);
    tiers::Cluster {
        is_local,
        is_allowed: true,
        replicas: load.endpoints,
        available: load.available,
        in_flight: load.in_flight,
        capacity: load.capacity,
        round_trip: Duration::from_millis(if is_local { 1 } else { 80 }),
        response_time: load.response_time,
        waiting: load.waiting,
        egress_price: u64::from(!is_local),
    }
}

#[test]
fn each_request_comes_to_one_end_and_no_bound_is_passed() {
    let mut gateway = Gateway::new();
    let mut requests = 0;
    for tick in 0..6000_u64 {
        let now = Duration::from_millis(tick * 10);
        gateway.pass(now);
        // One client asks for more than its share, and for half of the time all ask for more than there is.
        let clients = if tick < 3000 { 8 } else { 2 };
        for client in 0..clients {
            if gateway.rng.f64() < if client == 0 { 0.3 } else { 0.08 } {
                requests += 1;
                gateway.arrive(client, now);
            }
        }
        for (version, pools) in gateway.pools.iter().enumerate() {
            for pool in pools {
                assert!(pool.endpoints(now).all(|status| status.in_flight <= IN_FLIGHT), "{version}");
            }
        }
    }
    gateway.pass(Duration::from_secs(100));
    let Ends { limited, refused, expired, answered } = &gateway.ends;
    assert_eq!(limited + refused + expired + answered.values().sum::<u32>(), requests);
    assert!(
        *limited > 0 && *refused > 0 && *expired > 0 && answered[&(0, 0)] > answered[&(0, 1)] && answered[&(0, 1)] > 0
    );
    let idle = |pools: &Vec<Pool<u32>>| pools.iter().all(|pool| pool.load(Duration::from_secs(100)).in_flight == 0);
    assert!(gateway.pools.iter().all(idle) && gateway.queues.iter().all(Queue::is_empty) && gateway.waiting.is_empty());
}
