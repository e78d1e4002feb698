//! The pool in worlds small enough to say what must happen: who is picked here, what requests teach in `learning`, and random worlds in
//! `properties`.

mod learning;
mod properties;

use std::collections::BTreeMap;

use super::*;
use crate::affinity;

const NOW: Duration = Duration::from_secs(1000);

fn endpoint(name: &str) -> Endpoint<String> {
    Endpoint::new(name.to_owned(), affinity::hash(name.as_bytes()))
}

fn endpoints(names: &str) -> Vec<Endpoint<String>> {
    names.split_whitespace().map(endpoint).collect()
}

fn rng() -> fastrand::Rng {
    fastrand::Rng::with_seed(11)
}

fn pool_of(settings: Settings, endpoints: Vec<Endpoint<String>>) -> Pool<String> {
    let mut pool = Pool::new(settings);
    pool.update(endpoints, NOW, &mut rng());
    pool
}

fn pool(algorithm: Algorithm, names: &str) -> Pool<String> {
    pool_of(Settings { algorithm, ..Settings::default() }, endpoints(names))
}

fn pick(pool: &mut Pool<String>, now: Duration, rng: &mut fastrand::Rng) -> (Ticket, String) {
    let ticket = pool.pick(&Request::default(), now, rng).expect("there is room");
    (ticket, pool.key(ticket).expect("it is in flight").clone())
}

fn in_flight(pool: &Pool<String>, now: Duration) -> BTreeMap<String, (Condition, u32)> {
    pool.endpoints(now).map(|status| (status.key.clone(), (status.condition, status.in_flight))).collect()
}

/// Sends requests to all until this one has one.
fn pick_at(pool: &mut Pool<String>, name: &str, now: Duration) -> Ticket {
    for seed in 0..1000 {
        let (ticket, key) = pick(pool, now, &mut fastrand::Rng::with_seed(seed));
        if key == name {
            return ticket;
        }
        pool.failed(ticket, Failure::ClientError, now);
    }
    panic!("{name} was never picked");
}

#[test]
fn what_stays_keeps_its_counts_and_what_goes_is_drained() {
    let mut pool = pool(Algorithm::LeastConnection, "a b c");
    let tickets: BTreeMap<_, _> =
        (0..3).map(|_| pick(&mut pool, NOW, &mut rng())).map(|(ticket, key)| (key, ticket)).collect();
    assert_eq!(tickets.len(), 3);
    pool.update(endpoints("d c a"), NOW, &mut rng());
    let serving = |count| (Condition::Serving, count);
    let expected = [("a", serving(1)), ("b", (Condition::Draining, 1)), ("c", serving(1)), ("d", serving(0))];
    assert_eq!(in_flight(&pool, NOW), expected.map(|(key, state)| (key.to_owned(), state)).into());
    for (key, ticket) in &tickets {
        assert_eq!(pool.key(*ticket), Some(key));
    }
    // It comes back with the request that it has kept.
    pool.update(endpoints("b"), NOW, &mut rng());
    assert_eq!(in_flight(&pool, NOW)["b"], serving(1));
    for ticket in tickets.values() {
        pool.first_byte(*ticket, NOW);
        assert!(pool.end(*ticket, NOW));
        assert!(!pool.end(*ticket, NOW) && !pool.failed(*ticket, Failure::Reset, NOW), "a request ends once");
        assert_eq!(pool.key(*ticket), None);
    }
    assert_eq!(in_flight(&pool, NOW), [("b".to_owned(), serving(0))].into());
}

#[test]
fn why_there_is_no_endpoint() {
    let pick = |pool: &mut Pool<String>| pool.pick(&Request::default(), NOW, &mut rng()).map(drop);
    assert_eq!(pick(&mut pool(Algorithm::RoundRobin, "")), Err(NoEndpoint::Empty));
    let unwanted = vec![Endpoint { weight: 0, ..endpoint("a") }];
    assert_eq!(pick(&mut pool_of(Settings::default(), unwanted)), Err(NoEndpoint::Empty));
    let narrow = vec![Endpoint { most_in_flight: 1, ..endpoint("a") }];
    let mut narrow = pool_of(Settings::default(), narrow);
    assert_eq!((pick(&mut narrow), pick(&mut narrow)), (Ok(()), Err(NoEndpoint::Full)));
}

fn check(pool: &mut Pool<String>, name: &str, passed: bool, times: usize) {
    for _ in 0..times {
        pool.checked(&name.to_owned(), passed, NOW);
    }
}

#[test]
fn where_all_are_unhealthy_all_are_asked() {
    let mut pool = pool(Algorithm::RoundRobin, "a b");
    for name in ["a", "b"] {
        check(&mut pool, name, false, 3);
    }
    assert_eq!(pool.load(NOW).available, 0);
    assert_ne!(pick(&mut pool, NOW, &mut rng()).1, pick(&mut pool, NOW, &mut rng()).1);
    // One of them is back: all go there, and it begins slowly only in comparison with others.
    check(&mut pool, "b", true, 2);
    assert!((0..10).all(|_| pick(&mut pool, NOW, &mut rng()).1 == "b"));
    assert!(pool.endpoints(NOW).any(|status| status.key == "b" && status.weight < 0.2));
    // Without checks both are.
    pool.forget_checks();
    assert_eq!(pool.load(NOW).available, 2);
}

#[test]
fn a_retry_goes_elsewhere_if_there_is_an_elsewhere() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnection, Algorithm::LeastResponseTime] {
        for affinity in [None, Some(7)] {
            let mut pool = pool(algorithm, "a b c");
            let mut tried: Vec<Ticket> = Vec::new();
            let mut keys = Vec::new();
            for seed in 0..4 {
                let request = Request { affinity, tried: &tried };
                let ticket = pool.pick(&request, NOW, &mut fastrand::Rng::with_seed(seed)).expect("there is room");
                keys.extend(pool.key(ticket).cloned());
                pool.failed(ticket, Failure::Connect, NOW);
                tried.push(ticket);
            }
            let fourth = keys.pop();
            keys.sort();
            assert_eq!(keys, ["a", "b", "c"], "{algorithm:?} {affinity:?}");
            assert!(fourth.is_some());
        }
    }
}

#[test]
fn gateways_do_not_go_round_in_step() {
    let first = |seed| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut pool = Pool::new(Settings::default());
        pool.update(endpoints("a b c d e f g h i j"), NOW, &mut rng);
        pick(&mut pool, NOW, &mut rng).1
    };
    let mut firsts: BTreeMap<String, u32> = BTreeMap::new();
    (0..1000).for_each(|seed| *firsts.entry(first(seed)).or_default() += 1);
    assert!(firsts.len() == 10 && firsts.values().all(|count| (60..=200).contains(count)), "{firsts:?}");
}

#[test]
fn no_idle_endpoint_is_forgotten_for_long() {
    let mut pool = pool(Algorithm::LeastConnection, "a b c d e f g h i j");
    let (mut last, mut longest, mut rng): (BTreeMap<String, u32>, _, _) = (BTreeMap::new(), 0, rng());
    for number in 0..2000 {
        let (ticket, key) = pick(&mut pool, NOW, &mut rng);
        pool.failed(ticket, Failure::ClientError, NOW);
        longest = longest.max(number - last.insert(key, number).unwrap_or(number));
    }
    // By chance alone it would be some 80 picks.
    assert!(longest < 50, "{longest}");
}
