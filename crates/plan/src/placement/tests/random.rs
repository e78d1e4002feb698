//! Random fleets and requests: all that a snapshot may say, in all its mixtures.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::from_value;
use skyfleet_api::cluster::{Taint, TaintEffect};
use skyfleet_api::model_deployment::{
    CapacityType, DataLocality, Displaced, Failback, Failover, Gang, MovePolicy, Placement, Rebalance, RebalanceStatus,
    Residency, Shortfall, ShortfallCause, Spread, Strategy as Sharing, Toleration, TolerationOperator, TopologyKey,
    Weight,
};

use super::*;
use crate::capacity::Shortage;
use crate::load::Load;

pub(super) const STRATEGIES: [Sharing; 7] = [
    Sharing::RoundRobin,
    Sharing::Weighted,
    Sharing::LeastConnection,
    Sharing::LeastResponseTime,
    Sharing::Binpack,
    Sharing::Spread,
    Sharing::Cheapest,
];
const PROVIDERS: [Provider; 4] = [Provider::Aws, Provider::Azure, Provider::Gcp, Provider::OnPremises];
const REGIONS: [&str; 4] = ["asia", "eu", "sa", "us"];

/// So many cases, unless `PROPTEST_CASES` says otherwise.
pub(super) fn cases(count: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = std::env::var("PROPTEST_CASES").map_or(count, |_| default.cases);
    ProptestConfig { cases, max_shrink_iters: 5000, ..default }
}

/// How much goes on in a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// All are heard, none leaves, nothing is owed or under way.
    Calm,
    /// Anything.
    Stormy,
}

/// A fleet of one to `most` clusters, and what is asked of it.
pub(super) fn snapshots(most: usize, weather: Weather) -> impl Strategy<Value = Snapshot> {
    (prop::collection::vec(candidates(weather), 1..=most), requests(weather)).prop_map(|(mut candidates, request)| {
        for (index, candidate) in candidates.iter_mut().enumerate() {
            candidate.name = format!("c{index:02}");
        }
        Snapshot { request, candidates, max_lost_share: 0.5, now: at(NOW) }
    })
}

/// A cluster without a name.
pub(super) fn candidates(weather: Weather) -> impl Strategy<Value = Candidate> {
    let place = (select(&PROVIDERS), select(&REGIONS), rooms(), data());
    let trouble = (taints(), contacts(), prop::bool::weighted(0.05), holdings());
    let signals = (of(1..9), of(loads()), of(1..200), any::<bool>());
    (place, trouble, signals).prop_map(move |(place, trouble, signals)| {
        let (provider, region, room, data) = place;
        let (taints, contact, leaving, held) = trouble;
        let (price, load, round_trip, gold) = signals;
        let mut candidate = Candidate { provider, region: region.to_owned(), room, data, ..cluster("") };
        if gold {
            candidate.labels.insert("tier".to_owned(), "gold".to_owned());
        }
        candidate.price = price.map(f64::from);
        candidate.load = load;
        candidate.round_trip_milliseconds = round_trip;
        candidate.held = held;
        match weather {
            Weather::Calm => {
                let held = &mut candidate.held;
                *held = Held { desired: held.desired, ready: held.desired, ..Held::default() };
            }
            Weather::Stormy => {
                candidate.taints = taints;
                candidate.contact = contact;
                candidate.leaving = leaving;
                // What is not heard has no news.
                if !candidate.contact.is_usable() {
                    candidate.load = None;
                }
            }
        }
        candidate
    })
}

pub(super) fn rooms() -> impl Strategy<Value = Room> {
    let replicas = prop_oneof![2 => Just(0), 6 => 1_i64..6, 2 => 6_i64..30, 1 => Just(i64::MAX)];
    (replicas, 0_i64..8).prop_map(|(replicas, preferred)| Room {
        replicas,
        preferred: if preferred == 7 { replicas } else { preferred.min(replicas) },
        shortage: (replicas == 0).then_some(Shortage::NotOnOneNode),
    })
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        12 => Just(Data::Near),
        4 => Just(Data::NotNeeded),
        1 => Just(Data::NoBucketNear),
        1 => Just(Data::Failed("why".to_owned())),
    ]
}

fn taints() -> impl Strategy<Value = Vec<Taint>> {
    let effect = prop_oneof![3 => Just(TaintEffect::NoSchedule), 1 => Just(TaintEffect::NoExecute)];
    let taint = (select(&["a", "b"]), select(&["", "x"]), effect);
    let one = taint.prop_map(|(key, value, effect)| vec![Taint { key: key.into(), value: value.into(), effect }]);
    prop_oneof![5 => Just(vec![]), 1 => one]
}

fn contacts() -> impl Strategy<Value = Contact> {
    let age = select(&[5_i64, 90, 299, 301, 900, 4000, 100_000]);
    let state = prop_oneof![
        7 => Just(ContactState::Answering),
        2 => Just(ContactState::Silent),
        1 => Just(ContactState::Refusing),
    ];
    (state, age, of(0_i64..4000), select(&[0, 1000, 3500, 9000])).prop_map(|(state, age, before, flap_penalty)| {
        let since = at(NOW - age);
        let lost = match state {
            ContactState::Silent => Some(since),
            _ => before.map(|before| at(NOW - age - before)),
        };
        let flap_penalty = if lost.is_some() { flap_penalty } else { 0 };
        Contact { state, since, doubted: false, last_loss: lost, flap_penalty }
    })
}

fn holdings() -> impl Strategy<Value = Held> {
    let since = || select(&[1_i64, 250, 301, 1000, 1801, 50_000]).prop_map(|age| Time(at(NOW - age)));
    let cause = select(&[ShortfallCause::Starting, ShortfallCause::Failing]);
    let displaced = (1..4, since()).prop_map(|(replicas, since)| Displaced { replicas, since });
    let retained = prop_oneof![3 => Just(0), 1 => 1..4];
    let missing = prop_oneof![2 => Just(0), 1 => 1..6];
    let holds = (1..6, retained, missing, since(), cause, prop::option::weighted(0.2, displaced)).prop_map(
        |(desired, retained, missing, since, cause, displaced): (i32, i32, i32, _, _, _)| {
            let ready = (desired + retained - missing).max(0);
            let shortfall = (ready < desired + retained).then_some(Shortfall { since, cause });
            Held { desired, retained, ready, shortfall, displaced }
        },
    );
    let lost = (1..4, since())
        .prop_map(|(replicas, since)| Held { displaced: Some(Displaced { replicas, since }), ..Held::default() });
    prop_oneof![4 => Just(Held::default()), 5 => holds, 1 => lost]
}

fn loads() -> impl Strategy<Value = Load> {
    (select(&[5_i64, 30, 70]), 1..4, of(0_u8..60), of(1_u16..2000)).prop_map(|(age, reporting, in_flight, token)| {
        Load {
            observed: at(NOW - age),
            reporting,
            in_flight: in_flight.map(f64::from),
            queued: None,
            time_to_first_token: token.map(|milliseconds| f64::from(milliseconds) / 1000.0),
            requests: None,
            error_ratio: None,
        }
    })
}

pub(super) fn requests(weather: Weather) -> impl Strategy<Value = Request> {
    (0..17, placements(weather), failovers(), of(0..4)).prop_map(move |(replicas, placement, failover, moved)| {
        let counted =
            RebalanceStatus { hour_started: Time(at(NOW - 60)), moved: moved.unwrap_or(0), last: String::new() };
        let rebalanced = moved.filter(|_| placement.rebalance.is_some()).map(|_| counted);
        Request { replicas, placement, failover, rebalanced }
    })
}

fn placements(weather: Weather) -> impl Strategy<Value = Placement> {
    let how = (select(&STRATEGIES), spreads(), prop::option::weighted(0.2, 1..5), prop::option::weighted(0.2, gangs()));
    let which = (
        prop::bool::weighted(0.1),
        prop::option::weighted(0.1, residencies()),
        prop::bool::weighted(0.1),
        tolerations(),
        any::<bool>(),
    );
    let rebalance = prop::option::weighted(0.2, 1..5);
    (how, which, rebalance, weights()).prop_map(move |(how, which, rebalance, weights)| {
        let (strategy, spread, min_clusters, gang) = how;
        let (selected, residency, fields, tolerations, preferred) = which;
        let gold =
            LabelSelector { match_labels: Some([("tier".to_owned(), "gold".to_owned())].into()), ..Default::default() };
        let required = serde_json::json!([{"field": "region", "operator": "NotIn", "values": ["sa"]}]);
        let placement = Placement {
            cluster_selector: selected.then_some(gold),
            cluster_fields: if fields { from_value(required).expect("a field's requirement") } else { vec![] },
            tolerations,
            strategy,
            weights: if strategy == Sharing::Weighted { weights } else { vec![] },
            spread,
            min_clusters,
            residency,
            data_locality: if preferred { DataLocality::Preferred } else { DataLocality::Required },
            capacity_type: CapacityType::default(),
            gang,
            rebalance: rebalance.map(|max_replicas_per_hour| Rebalance { max_replicas_per_hour }),
        };
        let placement = allowed(placement);
        match weather {
            // Nothing of what makes a cluster give up what it has.
            Weather::Calm => Placement {
                cluster_selector: None,
                cluster_fields: vec![],
                residency: None,
                rebalance: None,
                ..placement
            },
            Weather::Stormy => placement,
        }
    })
}

/// What the API server would let pass, and no groups that no skew allows.
fn allowed(mut placement: Placement) -> Placement {
    let group = placement.gang.as_ref().map_or(1, |gang| gang.group_size);
    for spread in &mut placement.spread {
        spread.max_replicas = spread.max_replicas.map(|most| most.max(group));
        spread.max_skew = spread.max_skew.map(|most| most.max(group));
        if spread.by == TopologyKey::Cluster {
            placement.min_clusters = placement.min_clusters.min(spread.max_places.or(placement.min_clusters));
        }
    }
    placement
}

fn weights() -> impl Strategy<Value = Vec<Weight>> {
    prop::collection::vec((0_usize..6, 0..4), 0..3).prop_map(|all| {
        let named = |(index, (cluster, weight)): (usize, (usize, i32))| Weight {
            clusters: vec![format!("c{:02}", cluster + 6 * index)],
            weight,
        };
        all.into_iter().enumerate().map(named).collect()
    })
}

fn gangs() -> impl Strategy<Value = Gang> {
    (1..4, any::<bool>()).prop_map(|(group_size, all_or_nothing)| Gang { group_size, all_or_nothing })
}

fn residencies() -> impl Strategy<Value = Residency> {
    (subsequence(PROVIDERS.to_vec(), 0..4), subsequence(REGIONS.to_vec(), 0..4)).prop_map(|(providers, regions)| {
        Residency { providers, regions: regions.into_iter().map(str::to_owned).collect() }
    })
}

fn tolerations() -> impl Strategy<Value = Vec<Toleration>> {
    let operator = select(&[TolerationOperator::Equal, TolerationOperator::Exists]);
    let one = (select(&["a", "b"]), operator, of(Just(TaintEffect::NoSchedule)));
    let toleration = one.prop_map(|(key, operator, effect)| Toleration {
        key: Some(key.to_owned()),
        operator,
        value: (operator == TolerationOperator::Equal).then(|| "x".to_owned()),
        effect,
    });
    prop::collection::vec(toleration, 0..2)
}

/// Of one kind of place: skew, least and most places, least and most replicas.
type Bounds = (Option<i32>, Option<i32>, Option<i32>, Option<i32>, Option<i32>);

/// Bounds on up to three kinds of place, as the API server lets them pass.
pub(super) fn spreads() -> impl Strategy<Value = Vec<Spread>> {
    let kinds = vec![TopologyKey::Cluster, TopologyKey::Region, TopologyKey::Provider];
    let by = prop_oneof![4 => subsequence(kinds.clone(), 0..=0), 4 => subsequence(kinds.clone(), 1), 1 => subsequence(kinds, 2..=3)];
    let bounds = (of(1..4), of(1..4), of(1..4), of(1..4), of(1..8));
    (by, prop::collection::vec(bounds, 3)).prop_map(|(by, bounds)| {
        let spread = |(by, bounds): (TopologyKey, Bounds)| {
            let (skew, min_places, max_places, min_replicas, max_replicas) = bounds;
            // Both ends of a range at once are rare, or hardly anything would fit.
            Spread {
                by,
                max_skew: skew.or((max_places.is_none() && max_replicas.is_none()).then_some(2)),
                min_places: min_places.filter(|least| max_places.is_none_or(|most| *least <= most)),
                max_places,
                min_replicas: min_replicas.filter(|least| max_replicas.is_none_or(|most| *least <= most)),
                max_replicas,
            }
        };
        by.into_iter().zip(bounds).map(spread).collect()
    })
}

fn failovers() -> impl Strategy<Value = Failover> {
    let policy = || prop_oneof![5 => Just(MovePolicy::Automatic), 1 => Just(MovePolicy::Never)];
    (policy(), policy(), select(&[10, 300]), select(&[0, 600])).prop_map(|(over, back, grace, after_seconds)| {
        Failover {
            policy: over,
            grace_period_seconds: grace,
            failback: Failback { policy: back, after_seconds },
            ..Failover::default()
        }
    })
}

/// The plan is obeyed at once, everything that can be reached is ready, and the books know it.
pub(super) fn obeyed(snapshot: &Snapshot, plan: &Plan) -> Snapshot {
    let mut after = snapshot.clone();
    after.request.rebalanced.clone_from(&plan.rebalanced);
    for candidate in &mut after.candidates {
        let before = candidate.held.in_force();
        let assignment = plan.assignment(&candidate.name);
        let held = &mut candidate.held;
        held.desired = assignment.map_or(0, |assignment| assignment.desired);
        held.retained = assignment.map_or(0, |assignment| assignment.retained);
        held.displaced = assignment.and_then(|assignment| assignment.displaced.clone());
        if candidate.contact.is_usable() {
            held.ready = held.in_force();
            held.shortfall = None;
        }
        let more = i64::from(held.in_force() - before);
        if candidate.room.replicas < i64::MAX {
            candidate.room.replicas -= more;
            candidate.room.preferred = (candidate.room.preferred - more).clamp(0, candidate.room.replicas.max(0));
            candidate.room.shortage = (candidate.room.replicas <= 0).then_some(Shortage::NotOnOneNode);
        }
    }
    after
}
