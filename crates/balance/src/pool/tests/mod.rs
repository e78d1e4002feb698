//! The pool in worlds small enough to say what must happen, and, in `properties`, in random ones.

mod properties;

use std::collections::{BTreeMap, VecDeque};

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
fn who_fails_again_and_again_is_ejected_but_never_all() {
    let mut pool = pool(Algorithm::RoundRobin, "a b c d");
    for _ in 0..200 {
        let (ticket, _) = pick(&mut pool, NOW, &mut rng());
        pool.failed(ticket, Failure::ServerError, NOW);
    }
    let ejected =
        |pool: &Pool<String>, now| pool.endpoints(now).filter(|status| status.condition == Condition::Ejected).count();
    assert_eq!(ejected(&pool, NOW), 2);
    let later = NOW + Duration::from_secs(30);
    assert_eq!(ejected(&pool, later), 0);
    let slow = pool.endpoints(later).filter(|status| status.weight < 0.2).count();
    assert_eq!(slow, 2, "who is back begins slowly");
}

#[test]
fn what_works_in_between_is_not_ejected() {
    for refused in [false, true] {
        let mut pool = pool(Algorithm::RoundRobin, "a b");
        for turn in 0..40 {
            let ticket = pick_at(&mut pool, "a", NOW);
            match (turn % 4, refused) {
                (0, false) => {
                    pool.first_byte(ticket, NOW);
                    pool.end(ticket, NOW)
                }
                (0, true) => pool.failed(ticket, Failure::ClientError, NOW),
                _ => pool.failed(ticket, Failure::ServerError, NOW),
            };
        }
        assert_eq!(pool.load(NOW).available, 2);
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

#[test]
fn a_new_endpoint_begins_slowly_and_with_the_median() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnection, Algorithm::LeastResponseTime] {
        let mut pool = pool(algorithm, "a b c d");
        let mut rng = rng();
        let mut share = |pool: &mut Pool<String>, now: Duration| {
            // Twenty requests are in flight at any time.
            let mut open: VecDeque<Ticket> = VecDeque::new();
            let mut count = 0;
            for _ in 0..1000 {
                let (ticket, key) = pick(pool, now, &mut rng);
                pool.first_byte(ticket, now);
                open.push_back(ticket);
                count += u32::from(key == "new");
                if open.len() > 20 {
                    open.pop_front().map(|ticket| pool.end(ticket, now));
                }
            }
            for ticket in open {
                pool.end(ticket, now);
            }
            count
        };
        share(&mut pool, NOW);
        pool.update(endpoints("new a b c d"), NOW, &mut self::rng());
        let mut share = |now| share(&mut pool, now);
        let (begins, half, whole) =
            (share(NOW), share(NOW + Duration::from_secs(15)), share(NOW + Duration::from_secs(30)));
        assert!(
            begins <= 60 && (80..=150).contains(&half) && (160..=240).contains(&whole),
            "{algorithm:?} {begins} {half} {whole}"
        );
    }
}

#[test]
fn a_pool_that_nobody_asks_is_not_slow_for_ever() {
    let mut pool = pool(Algorithm::LeastResponseTime, "a b");
    let after = |seconds| NOW + Duration::from_secs(seconds);
    let response_time = |pool: &Pool<String>, seconds| pool.load(after(seconds)).response_time;
    assert_eq!(response_time(&pool, 0), None);
    let (ticket, _) = pick(&mut pool, NOW, &mut rng());
    assert_eq!(response_time(&pool, 3), Some(Duration::from_secs(3)), "the first one waits");
    pool.first_byte(ticket, after(5));
    pool.end(ticket, after(5));
    let (ticket, _) = pick(&mut pool, after(5), &mut rng());
    pool.first_byte(ticket, after(10));
    assert_eq!(response_time(&pool, 69), Some(Duration::from_secs(5)));
    assert_eq!(response_time(&pool, 70), None);
}

/// Answers all requests after so many milliseconds, but for this endpoint, which takes another time.
fn shares(pool: &mut Pool<String>, millis: u64, special: (&str, Option<u64>), seconds: u64) -> BTreeMap<String, u32> {
    let mut rng = rng();
    let mut shares = BTreeMap::new();
    let mut open: Vec<(Option<Duration>, Ticket)> = Vec::new();
    for tick in 0..seconds * 50 {
        let now = NOW + Duration::from_millis(tick * 20);
        open.retain(|(due, ticket)| {
            let ends = due.is_some_and(|due| due <= now);
            if ends {
                pool.first_byte(*ticket, now);
                pool.end(*ticket, now);
            }
            !ends
        });
        let (ticket, key) = pick(pool, now, &mut rng);
        let takes = if key == special.0 { special.1 } else { Some(millis) };
        open.push((takes.map(|takes| now + Duration::from_millis(takes)), ticket));
        *shares.entry(key).or_default() += 1;
    }
    shares
}

#[test]
fn least_response_time_leaves_what_is_slow_and_what_hangs() {
    let slow = shares(&mut pool(Algorithm::LeastResponseTime, "a b c d"), 100, ("a", Some(1000)), 60);
    assert!((1..100).contains(&slow["a"]) && slow["b"] > 800, "of 3000: {slow:?}");
    let hanging = shares(&mut pool(Algorithm::LeastResponseTime, "a b c d"), 100, ("a", None), 60);
    assert!((1..10).contains(&hanging["a"]), "of 3000: {hanging:?}");
}

#[test]
fn who_fails_at_once_is_not_the_fastest() {
    let ejection = ejection::Settings { consecutive: 0, ..ejection::Settings::default() };
    let settings = Settings { algorithm: Algorithm::LeastResponseTime, ejection, ..Settings::default() };
    for failure in [Failure::ServerError, Failure::Connect, Failure::Overloaded] {
        let mut pool = pool_of(settings.clone(), endpoints("a b c d"));
        let mut rng = rng();
        let mut failed = 0;
        for tick in 0..3000_u64 {
            let now = NOW + Duration::from_millis(tick * 20);
            let (ticket, key) = pick(&mut pool, now, &mut rng);
            if key == "a" {
                failed += 1;
                pool.failed(ticket, failure, now);
            } else {
                pool.first_byte(ticket, now + Duration::from_millis(19));
                pool.end(ticket, now + Duration::from_millis(19));
            }
        }
        assert!((1..60).contains(&failed), "{failure:?} {failed} of 3000");
    }
}

#[test]
fn what_says_nothing_of_an_endpoint_leaves_it_as_it_is() {
    let mut pool = pool(Algorithm::LeastResponseTime, "a b");
    let ticket = pick_at(&mut pool, "a", NOW);
    pool.first_byte(ticket, NOW + Duration::from_millis(500));
    pool.end(ticket, NOW + Duration::from_millis(500));
    let now = NOW + Duration::from_secs(2);
    let before = pool.endpoints(now).find(|status| status.key == "a").and_then(|status| status.response_time);
    for failure in [Failure::ClientError, Failure::Cancelled] {
        for _ in 0..10 {
            let ticket = pick_at(&mut pool, "a", now);
            pool.failed(ticket, failure, now);
        }
        let status = pool.endpoints(now).find(|status| status.key == "a").expect("it is there");
        assert_eq!((status.response_time, status.condition), (before, Condition::Serving));
    }
}
