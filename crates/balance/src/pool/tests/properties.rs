//! Random updates and requests, beside a world in which it is known which requests are open, and where.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Update(u16),
    Pick { affinity: Option<u64> },
    FirstByte(usize),
    End(usize),
    Fail(usize, usize),
    Wait(u64),
}

const FAILURES: [Failure; 7] = [
    Failure::Connect,
    Failure::Reset,
    Failure::Timeout,
    Failure::ServerError,
    Failure::Overloaded,
    Failure::ClientError,
    Failure::Cancelled,
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => any::<u16>().prop_map(Step::Update),
        8 => prop::option::weighted(0.2, any::<u64>()).prop_map(|affinity| Step::Pick { affinity }),
        3 => any::<usize>().prop_map(Step::FirstByte),
        3 => any::<usize>().prop_map(Step::End),
        3 => (any::<usize>(), 0..FAILURES.len()).prop_map(|(ticket, failure)| Step::Fail(ticket, failure)),
        2 => (0..60_000_u64).prop_map(Step::Wait),
    ]
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(vec![Algorithm::RoundRobin, Algorithm::LeastConnection, Algorithm::LeastResponseTime])
}

/// Those of sixteen whose bit is set; they differ in weight and room.
fn subset(bits: u16) -> Vec<Endpoint<String>> {
    let told =
        |index: u32| Endpoint { weight: index % 4, most_in_flight: 1 + index, ..endpoint(&format!("pod-{index:02}")) };
    (0..16_u32).filter(|index| bits & (1 << index) != 0).map(told).collect()
}

proptest! {
    #[test]
    fn counts_are_right_through_all_updates(algorithm in algorithm(), steps in prop::collection::vec(step(), 1..150), seed: u64) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut pool = pool_of(Settings { algorithm, ..Settings::default() }, subset(u16::MAX));
        let (mut now, mut bits) = (NOW, u16::MAX);
        let mut all: Vec<Ticket> = Vec::new();
        let mut open: BTreeMap<usize, String> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Update(other) => {
                    bits = other;
                    let mut told = subset(bits);
                    rng.shuffle(&mut told);
                    pool.update(told, now, &mut rng);
                }
                Step::Pick { affinity } => match pool.pick(&Request { affinity, tried: &[] }, now, &mut rng) {
                    Ok(ticket) => {
                        let key = pool.key(ticket).expect("it is in flight").clone();
                        prop_assert!(subset(bits).iter().any(|told| told.key == key && told.weight > 0), "{} is gone", key);
                        open.insert(all.len(), key);
                        all.push(ticket);
                    }
                    Err(NoEndpoint::Empty) => prop_assert!(subset(bits).iter().all(|told| told.weight == 0)),
                    Err(NoEndpoint::Full) => prop_assert!(pool.load(now).in_flight >= pool.load(now).capacity),
                },
                Step::FirstByte(index) if !all.is_empty() => pool.first_byte(all[index % all.len()], now),
                Step::End(index) if !all.is_empty() => {
                    let index = index % all.len();
                    prop_assert_eq!(pool.end(all[index], now), open.remove(&index).is_some());
                }
                Step::Fail(index, failure) if !all.is_empty() => {
                    let index = index % all.len();
                    prop_assert_eq!(pool.failed(all[index], FAILURES[failure], now), open.remove(&index).is_some());
                }
                Step::Wait(millis) => now += Duration::from_millis(millis),
                _ => {}
            }
            let mut expected: BTreeMap<String, u32> = BTreeMap::new();
            for key in open.values() {
                *expected.entry(key.clone()).or_default() += 1;
            }
            let mut counted: BTreeMap<_, _> = in_flight(&pool, now).into_iter().map(|(key, (_, count))| (key, count)).collect();
            counted.retain(|_, count| *count > 0);
            prop_assert_eq!(counted, expected);
            for told in subset(bits) {
                let counted = pool.endpoints(now).find(|status| *status.key == told.key).map(|status| status.in_flight);
                prop_assert!(counted.is_some_and(|count| count <= told.most_in_flight));
            }
        }
        for index in open.into_keys() {
            prop_assert!(pool.end(all[index], now));
        }
        prop_assert!(pool.endpoints(now).all(|status| status.in_flight == 0));
        pool.update(subset(bits), now, &mut rng);
        prop_assert_eq!(pool.endpoints.len(), subset(bits).len(), "nothing is kept of those that are gone");
    }
}
