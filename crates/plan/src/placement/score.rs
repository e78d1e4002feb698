//! How good a place is for the next replica, by strategy, and which signal that was judged by.
//!
//! A rank is compared number by number; the lower is the better. `RoundRobin` ranks by replicas, `Weighted` by the divisor
//! method of Webster and Sainte-Laguë ((2n+1)/weight), `Spread` by the replicas of provider, region and cluster, the others
//! by what they are named for. Where a signal is missing the fallback is part of [`Scale::used`].

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use skyfleet_api::model_deployment::{DataLocality, Strategy};

use super::board::Board;
use super::filter::{is_recovering, weight};
use super::snapshot::{Candidate, Data, Snapshot};
use crate::failover::flapping::damped_until;

/// How good a place is: tier, then what the strategy looks at, the most important first.
pub(super) type Rank = [f64; 4];

/// The lower is the better, by the first number that differs.
pub(super) fn compare(a: &Rank, b: &Rank) -> Ordering {
    let pairs = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
    pairs.fold(Ordering::Equal, Ordering::then)
}

/// What a strategy looks at, for each cluster in the order of the board.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    strategy: Strategy,
    signal: Signal,
    seats: Vec<Measure>,
    /// Replicas still to be shared out, for `Binpack`.
    wanted: i64,
}

#[derive(Clone, Debug, Default)]
struct Measure {
    tier: f64,
    preferred: i64,
    weight: f64,
    /// What the strategy measures: requests in flight, seconds, or a price.
    value: f64,
    /// What decides between equal ones.
    second: f64,
    /// Requests in flight that one replica has on average.
    per_replica: f64,
    /// Replicas that the cluster holds when it is full.
    units: f64,
}

/// The signal that a strategy was judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    None,
    InFlight,
    NothingServed,
    TimeToFirstToken,
    RoundTrip,
    Price,
    Missing(&'static str),
}

impl Scale {
    pub(super) fn new(snapshot: &Snapshot, board: &Board<'_>) -> Self {
        let strategy = snapshot.request.placement.strategy;
        let candidates: Vec<&Candidate> = board.seats.iter().map(|seat| seat.candidate).collect();
        let wanted = i64::from(snapshot.request.replicas);
        let units = units(&candidates, wanted);
        let seats = candidates.iter().zip(units).map(|(candidate, units)| Measure {
            tier: tier(candidate, snapshot),
            preferred: candidate.room.preferred,
            weight: f64::from(weight(&snapshot.request.placement, &candidate.name).max(1)),
            units,
            ..Measure::default()
        });
        let mut scale = Self { strategy, signal: Signal::None, seats: seats.collect(), wanted };
        match strategy {
            Strategy::LeastConnection => scale.measure_in_flight(&candidates, snapshot.now),
            Strategy::LeastResponseTime => scale.measure_response_time(&candidates, snapshot.now),
            Strategy::Cheapest => scale.measure_price(&candidates),
            Strategy::RoundRobin | Strategy::Weighted | Strategy::Binpack | Strategy::Spread => {}
        }
        scale
    }

    /// Whether it was judged by something that is measured, and so wavers.
    pub(super) fn is_measured(&self) -> bool {
        matches!(self.signal, Signal::InFlight | Signal::TimeToFirstToken | Signal::RoundTrip)
    }

    /// The rank of a cluster for its next step.
    pub(super) fn next(&self, board: &Board<'_>, seat: usize) -> Rank {
        let share = board.seats[seat].share;
        self.mean(board, seat, share..share + board.step_up(seat))
    }

    /// The rank that the last step of a cluster had, were it given now.
    pub(super) fn last(&self, board: &Board<'_>, seat: usize) -> Rank {
        let share = board.seats[seat].share;
        self.mean(board, seat, share - board.step_down(seat)..share)
    }

    /// The rank of replicas that go together: a group may be larger than what is best of a cluster.
    fn mean(&self, board: &Board<'_>, seat: usize, shares: Range<i32>) -> Rank {
        if shares.len() == 1 {
            return self.rank(board, seat, shares.start);
        }
        let count = f64::from(shares.end - shares.start);
        let ranks = shares.map(|share| self.rank(board, seat, share));
        ranks.fold([0.0; 4], |sum, rank| [0, 1, 2, 3].map(|index| sum[index] + rank[index] / count))
    }

    /// The rank of the replica that makes `share` one more.
    fn rank(&self, board: &Board<'_>, seat: usize, share: i32) -> Rank {
        let measure = &self.seats[seat];
        let added = share - board.seats[seat].counted;
        let tier = measure.tier + f64::from(u8::from(i64::from(added) >= measure.preferred));
        let replicas = f64::from(share);
        match (self.strategy, self.signal) {
            (_, Signal::Missing(_)) | (Strategy::RoundRobin, _) => [tier, replicas, 0.0, 0.0],
            (Strategy::Weighted, _) => [tier, (2.0 * replicas + 1.0) / measure.weight, 0.0, 0.0],
            (Strategy::Spread, _) => {
                let shift = share - board.seats[seat].share;
                let [provider, region, cluster] = board.crowd(seat).map(|crowd| f64::from(crowd + shift));
                [tier, provider, region, cluster]
            }
            (Strategy::Binpack, _) => self.binpack(board, seat, share, tier),
            (Strategy::LeastConnection, _) => {
                let load = measure.value + measure.per_replica * f64::from(added);
                [tier, load / measure.units, replicas / measure.units, replicas]
            }
            (Strategy::LeastResponseTime | Strategy::Cheapest, _) => [tier, measure.value, measure.second, replicas],
        }
    }

    /// A cluster in use before one that is not; of those in use the fuller one; of the others the smallest that holds all
    /// that is left, or else the largest.
    #[allow(clippy::cast_precision_loss, reason = "only the order matters")]
    fn binpack(&self, board: &Board<'_>, seat: usize, share: i32, tier: f64) -> Rank {
        let (place, measure) = (&board.seats[seat], &self.seats[seat]);
        // Of a cluster with nodes that are preferred these count, as long as there are any left.
        let preferred = measure.preferred.saturating_sub(i64::from(share - place.counted));
        let room = if preferred > 0 { board.room(seat).min(preferred) } else { board.room(seat) };
        let room = room.min(1 << 40) as f64;
        let left = (self.wanted - i64::from(board.total())).max(1) as f64;
        if share > 0 {
            return [tier, 0.0, room, 0.0];
        }
        let size = if room >= left { room } else { 2.0_f64.powi(41) - room };
        [tier, 1.0, size, 0.0]
    }

    /// How good the whole board is; compared as ranks are.
    pub(super) fn objective(&self, board: &Board<'_>) -> Rank {
        let mut sums = [0.0; 4];
        for (seat, place) in board.seats.iter().enumerate() {
            let mut share = place.counted;
            while share < place.share {
                let rank = self.rank(board, seat, share);
                sums.iter_mut().zip(rank).for_each(|(sum, number)| *sum += number);
                share += 1;
            }
        }
        match self.strategy {
            Strategy::Spread => {
                let [provider, region, cluster] = board.squares();
                [sums[0], provider, region, cluster]
            }
            Strategy::Binpack => [sums[0], f64::from(board.clusters_used()), 0.0, 0.0],
            _ => sums,
        }
    }

    fn measure_in_flight(&mut self, candidates: &[&Candidate], now: Timestamp) {
        let fresh = |candidate: &&Candidate| {
            let load = candidate.load.as_ref().filter(|load| load.is_fresh(now));
            load.and_then(|load| Some((load.in_flight?, load.reporting)))
        };
        let reports: Vec<Option<(f64, i32)>> = candidates.iter().map(fresh).collect();
        let (requests, replicas) = reports
            .iter()
            .flatten()
            .fold((0.0, 0), |(requests, replicas), (more, of)| (requests + more, replicas + of));
        let serving: i32 = candidates.iter().map(|candidate| candidate.held.serving()).sum();
        if replicas == 0 && serving > 0 {
            self.signal = Signal::Missing("no cluster has reported requests in flight for 60 s");
            return;
        }
        self.signal = if replicas == 0 { Signal::NothingServed } else { Signal::InFlight };
        let per_replica = if replicas > 0 { requests / f64::from(replicas) } else { 0.0 };
        for ((measure, report), candidate) in self.seats.iter_mut().zip(reports).zip(candidates) {
            // One that serves and does not report is taken to be as busy as the others.
            let assumed = per_replica * f64::from(candidate.held.serving());
            measure.value = report.map_or(assumed, |(requests, _)| requests);
            measure.per_replica = per_replica;
        }
    }

    fn measure_response_time(&mut self, candidates: &[&Candidate], now: Timestamp) {
        let first_token = |candidate: &&Candidate| {
            let load = candidate.load.as_ref().filter(|load| load.is_fresh(now));
            load.and_then(|load| load.time_to_first_token)
        };
        let mut measured: Vec<f64> = candidates.iter().filter_map(first_token).collect();
        let trips = candidates.iter().any(|candidate| candidate.round_trip_milliseconds.is_some());
        self.signal = match (measured.is_empty(), trips) {
            (false, _) => Signal::TimeToFirstToken,
            (true, true) => Signal::RoundTrip,
            (true, false) => Signal::Missing("no response time and no round trip is known"),
        };
        measured.sort_by(f64::total_cmp);
        let middle = measured.get(measured.len() / 2).copied();
        for (measure, candidate) in self.seats.iter_mut().zip(candidates) {
            // Where nothing was served yet nothing is known: such a cluster counts as one in the middle.
            measure.value = first_token(candidate).or(middle).map_or(0.0, step);
            let trip = candidate.round_trip_milliseconds.map(f64::from);
            measure.second = trip.map_or(f64::from(i32::MAX), |trip| step(trip / 1000.0));
        }
    }

    fn measure_price(&mut self, candidates: &[&Candidate]) {
        let any = candidates.iter().any(|candidate| candidate.price.is_some());
        self.signal = if any {
            Signal::Price
        } else {
            Signal::Missing("no Cluster gives prices for all that a replica requests")
        };
        for (measure, candidate) in self.seats.iter_mut().zip(candidates) {
            // What has no price comes after all that have one.
            measure.value = candidate.price.unwrap_or(1e12);
        }
    }
}

/// By which strategy and signal replicas were shared out.
impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.strategy)?;
        match self.signal {
            Signal::None => Ok(()),
            Signal::InFlight => f.write_str(" by requests in flight"),
            Signal::NothingServed => f.write_str(" by capacity: nothing is served yet"),
            Signal::TimeToFirstToken => f.write_str(" by time to first token, then round trip"),
            Signal::RoundTrip => f.write_str(" by round trip: no cluster has reported a time to first token for 60 s"),
            Signal::Price => f.write_str(" by price"),
            Signal::Missing(what) => write!(f, ", as RoundRobin: {what}"),
        }
    }
}

/// Steps of a quarter, so that two measurements of the same thing are equal.
fn step(seconds: f64) -> f64 {
    (seconds.max(0.001).ln() / 1.25_f64.ln()).round()
}

/// What comes before any strategy: steady clusters before unsteady ones, those near the data before others.
fn tier(candidate: &Candidate, snapshot: &Snapshot) -> f64 {
    let after = SignedDuration::from_secs(snapshot.request.failover.failback.after_seconds.into());
    let unsteady =
        damped_until(&candidate.contact, snapshot.now).is_some() || is_recovering(candidate, after, snapshot.now);
    let afar =
        candidate.data == Data::NoBucketNear && snapshot.request.placement.data_locality == DataLocality::Preferred;
    f64::from(u8::from(unsteady)) * 4.0 + f64::from(u8::from(afar)) * 2.0
}

/// Replicas that each cluster holds when it is full. Where there is no bound it counts as the largest of the others.
#[allow(clippy::cast_precision_loss, reason = "no cluster holds 2^52 replicas")]
fn units(candidates: &[&Candidate], wanted: i64) -> Vec<f64> {
    let full = |candidate: &&Candidate| candidate.room.replicas.saturating_add(i64::from(candidate.held.in_force()));
    let bounded = candidates.iter().filter(|candidate| candidate.room.replicas < i64::from(i32::MAX));
    let largest = bounded.map(full).max().unwrap_or(wanted).max(1);
    candidates.iter().map(|candidate| full(candidate).clamp(1, largest) as f64).collect()
}
