//! The cluster comes first, then the pod in it: a pod elsewhere costs a round trip and money, which no pod's own load shows.
//!
//! 1. Only clusters count to which the request may go (residency) and whose replicas work and have room. If none works anywhere, all
//!    count, as in a [pool](crate::pool) of which no endpoint does.
//! 2. Local ones come first, as long as they are not loaded beyond a share of what they take: that share is where waiting would begin
//!    to cost more than the way.
//! 3. Then those not loaded beyond it, wherever they are, and then all that have room.
//! 4. Of these, the one where the first byte is to be expected soonest, on the way and in the replica. Times that are nearly the same
//!    are decided by the price of what goes out, and then by load. A cluster that has not answered of late is asked once, and then not
//!    before its time: a cheap one that is slow would otherwise hide a fast one that nobody knows.

use std::cmp::Ordering;
use std::time::Duration;

/// How clusters are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Above this share of the requests that a cluster takes, others are preferred. From 0 to 1.
    pub spill_over: f64,
    /// Times up to this factor above the shortest are nearly the same. At least 1.
    pub nearly: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { spill_over: 0.8, nearly: 1.2 }
    }
}

/// What is known of a cluster at the time of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The gateway runs in it.
    pub is_local: bool,
    /// Residency allows that the request goes there.
    pub is_allowed: bool,
    /// Replicas that it has.
    pub replicas: usize,
    /// Those of them that work.
    pub available: usize,
    /// Requests in flight there.
    pub in_flight: u64,
    /// Requests that those take at once that work. Where that is not bounded, a cluster is never loaded, and nothing spills over.
    pub capacity: u64,
    /// To the cluster and back.
    pub round_trip: Duration,
    /// The time to first byte as measured from here, the way included; nothing if no answer came of late.
    pub response_time: Option<Duration>,
    /// How long the oldest request there waits for its first byte.
    pub waiting: Option<Duration>,
    /// What a GB costs that goes out to here, in millionths of the currency that all share.
    pub egress_price: u64,
}

impl Cluster {
    /// The share of what it takes that is in flight.
    fn load(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "no cluster has 2^52 requests")]
        let (in_flight, capacity) = (self.in_flight as f64, self.capacity as f64);
        in_flight / capacity
    }

    fn works(&self) -> bool {
        self.is_allowed && self.available > 0
    }

    fn may_work(&self) -> bool {
        self.is_allowed && self.replicas > 0
    }

    fn has_room(&self) -> bool {
        self.works() && self.in_flight < self.capacity
    }
}

/// Why no cluster was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoCluster {
    /// There is none at all.
    #[error("no cluster has replicas of the model")]
    Empty,
    /// There are, but not for this request.
    #[error("no cluster with replicas of the model is within the residency that the request asks for")]
    NotAllowed,
    /// Room comes when a request ends.
    #[error(
        "all clusters where the request may go have as many requests as they take: wait, or raise the number of replicas"
    )]
    Full,
}

/// The place of the cluster for the next request.
///
/// # Errors
/// When there is none.
pub fn choose(clusters: &[Cluster], policy: &Policy) -> Result<usize, NoCluster> {
    let is_unloaded = |cluster: &Cluster| cluster.has_room() && cluster.load() < policy.spill_over;
    soonest(clusters, policy, |cluster| cluster.is_local && is_unloaded(cluster))
        .or_else(|| soonest(clusters, policy, is_unloaded))
        .or_else(|| soonest(clusters, policy, Cluster::has_room))
        .or_else(|| soonest(clusters, policy, |cluster| cluster.may_work() && !clusters.iter().any(Cluster::works)))
        .ok_or_else(|| why_none(clusters))
}

fn soonest(clusters: &[Cluster], policy: &Policy, eligible: impl Fn(&Cluster) -> bool) -> Option<usize> {
    let work = typical_work(clusters);
    let time = |cluster: &Cluster| match (cluster.response_time, cluster.waiting) {
        (Some(known), _) => known,
        (None, None) => cluster.round_trip,
        (None, Some(waiting)) => cluster.round_trip.saturating_add(work.max(waiting)),
    };
    let eligible = || clusters.iter().enumerate().filter(|(_, cluster)| eligible(cluster));
    let shortest = eligible().map(|(_, cluster)| time(cluster)).min()?.as_secs_f64();
    let is_near = |cluster: &Cluster| time(cluster).as_secs_f64() <= shortest * policy.nearly.max(1.0);
    let by_cost = |a: &Cluster, b: &Cluster| -> Ordering {
        let by_price = a.egress_price.cmp(&b.egress_price);
        by_price.then(a.load().total_cmp(&b.load())).then(time(a).cmp(&time(b)))
    };
    let near = eligible().filter(|(_, cluster)| is_near(cluster));
    near.min_by(|(_, a), (_, b)| by_cost(a, b)).map(|(place, _)| place)
}

/// What replicas take by themselves, in the fastest of the clusters that are known.
fn typical_work(clusters: &[Cluster]) -> Duration {
    let known = clusters.iter().filter_map(|cluster| Some(cluster.response_time?.saturating_sub(cluster.round_trip)));
    known.min().unwrap_or_default()
}

fn why_none(clusters: &[Cluster]) -> NoCluster {
    if clusters.iter().any(Cluster::may_work) {
        NoCluster::Full
    } else if clusters.iter().any(|cluster| cluster.replicas > 0) {
        NoCluster::NotAllowed
    } else {
        NoCluster::Empty
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const LOCAL: Cluster = Cluster {
        is_local: true,
        is_allowed: true,
        replicas: 2,
        available: 2,
        in_flight: 0,
        capacity: 10,
        round_trip: Duration::from_millis(1),
        response_time: Some(Duration::from_millis(500)),
        waiting: None,
        egress_price: 0,
    };
    const NEAR: Cluster = Cluster { is_local: false, round_trip: Duration::from_millis(20), egress_price: 90, ..LOCAL };
    const FAR: Cluster = Cluster { round_trip: Duration::from_millis(150), egress_price: 20, ..NEAR };

    #[test]
    fn which_cluster() {
        let loaded = |cluster, in_flight| Cluster { in_flight, ..cluster };
        let takes = |cluster, millis| Cluster { response_time: Some(ms(millis)), ..cluster };
        let unknown = |cluster| Cluster { response_time: None, ..cluster };
        let waits = |cluster, millis| Cluster { waiting: Some(ms(millis)), ..unknown(cluster) };
        for (case, clusters, expected) in [
            ("local first, even if slower", [takes(FAR, 100), LOCAL, NEAR], Ok(1)),
            ("it spills over where it is loaded", [takes(FAR, 650), loaded(LOCAL, 8), takes(NEAR, 520)], Ok(2)),
            ("of times nearly the same the cheaper goes", [takes(FAR, 600), loaded(LOCAL, 8), takes(NEAR, 520)], Ok(0)),
            ("and then the one with less load", [loaded(NEAR, 2), loaded(LOCAL, 8), loaded(NEAR, 1)], Ok(2)),
            (
                "all are loaded: the soonest with room",
                [loaded(takes(FAR, 900), 9), loaded(LOCAL, 10), loaded(NEAR, 9)],
                Ok(2),
            ),
            ("all are loaded: local is the cheapest", [loaded(FAR, 9), loaded(LOCAL, 9), loaded(NEAR, 9)], Ok(1)),
            ("the unknown is tried by its round trip", [unknown(FAR), loaded(LOCAL, 9), takes(NEAR, 510)], Ok(0)),
            ("and is not better than its round trip", [unknown(FAR), loaded(LOCAL, 9), takes(NEAR, 110)], Ok(2)),
            ("it is asked once", [waits(FAR, 1), loaded(LOCAL, 9), takes(NEAR, 510)], Ok(2)),
            ("and again if it may well be as fast", [waits(FAR, 1), loaded(LOCAL, 9), takes(NEAR, 900)], Ok(0)),
            ("but not if it takes long", [waits(FAR, 900), loaded(LOCAL, 9), takes(NEAR, 800)], Ok(2)),
            ("what is known includes the way", [unknown(NEAR), loaded(LOCAL, 10), takes(FAR, 400)], Ok(0)),
            ("full", [loaded(FAR, 10), loaded(LOCAL, 10), loaded(NEAR, 11)], Err(NoCluster::Full)),
        ] {
            assert_eq!(choose(&clusters, &Policy::default()), expected, "{case}");
        }
    }

    #[test]
    fn why_there_is_none() {
        let forbidden = Cluster { is_allowed: false, ..LOCAL };
        let broken = Cluster { available: 0, capacity: 0, ..LOCAL };
        let bare = Cluster { replicas: 0, ..broken };
        for (clusters, expected) in [
            (&[][..], Err(NoCluster::Empty)),
            (&[forbidden], Err(NoCluster::NotAllowed)),
            (&[bare], Err(NoCluster::Empty)),
            (&[forbidden, bare], Err(NoCluster::NotAllowed)),
            (&[forbidden, broken, FAR], Ok(2)),
            (&[forbidden, broken, Cluster { in_flight: 10, ..FAR }], Err(NoCluster::Full)),
            // Nothing works anywhere: it is tried all the same.
            (&[forbidden, bare, broken], Ok(2)),
        ] {
            assert_eq!(choose(clusters, &Policy::default()), expected);
        }
    }

    #[test]
    fn requests_that_stay_fill_the_local_one_to_the_share_and_then_the_others() {
        let mut clusters = [FAR, LOCAL, takes_longer(NEAR)];
        let mut order = Vec::new();
        while let Ok(place) = choose(&clusters, &Policy::default()) {
            clusters[place].in_flight += 1;
            order.push(place);
        }
        assert_eq!(order.len(), 30);
        assert_eq!(
            (&order[..8], &order[8..16], &order[16..24]),
            ([1; 8].as_slice(), [0; 8].as_slice(), [2; 8].as_slice())
        );
    }

    fn takes_longer(cluster: Cluster) -> Cluster {
        Cluster { response_time: Some(ms(2000)), ..cluster }
    }

    fn cluster() -> impl Strategy<Value = Cluster> {
        let flags = (any::<bool>(), any::<bool>(), 0..3_usize, 0..3_usize);
        let times = (prop::option::of(0..3000_u64), prop::option::of(0..3000_u64));
        let numbers = (0..12_u64, 0..12_u64, 0..300_u64, times, 0..100_u64);
        (flags, numbers).prop_map(
            |(
                (is_local, is_allowed, available, broken),
                (in_flight, capacity, round_trip, (takes, waits), egress_price),
            )| {
                Cluster {
                    is_local,
                    is_allowed,
                    replicas: available + broken,
                    available,
                    in_flight,
                    capacity,
                    round_trip: ms(round_trip),
                    response_time: takes.map(ms),
                    waiting: waits.map(ms),
                    egress_price,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_request_goes_only_where_it_may_and_finds_room_where_there_is(clusters in prop::collection::vec(cluster(), 0..6)) {
            match choose(&clusters, &Policy::default()) {
                Ok(place) => {
                    let chosen = &clusters[place];
                    prop_assert!(chosen.may_work());
                    prop_assert!(chosen.has_room() || !clusters.iter().any(Cluster::works));
                    let is_better = |other: &Cluster| other.is_local && other.has_room() && other.load() < 0.8;
                    prop_assert!((chosen.is_local && chosen.load() < 0.8) || !clusters.iter().any(is_better));
                }
                Err(_) => prop_assert!(!clusters.iter().any(Cluster::has_room)),
            }
        }
    }
}
