//! What requests teach of endpoints: who is ejected, who is slow, and what says nothing.

use std::collections::{BTreeMap, VecDeque};

use super::*;

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
fn the_only_endpoint_is_picked_however_slow_its_start() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnection, Algorithm::LeastResponseTime] {
        let slow_start = SlowStart { minimum: 0.0, ..SlowStart::default() };
        let mut pool = pool_of(Settings { algorithm, slow_start, ..Settings::default() }, endpoints("a"));
        pool.update(endpoints("b"), NOW, &mut rng());
        assert_eq!(pick(&mut pool, NOW, &mut rng()).1, "b", "{algorithm:?}");
    }
}

#[test]
fn a_pool_that_nobody_asks_is_not_slow_for_ever() {
    let mut pool = pool(Algorithm::LeastResponseTime, "a b");
    let after = |seconds| NOW + Duration::from_secs(seconds);
    let response_time = |pool: &Pool<String>, seconds| pool.load(after(seconds)).response_time;
    assert_eq!(response_time(&pool, 0), None);
    let (ticket, _) = pick(&mut pool, NOW, &mut rng());
    assert_eq!(response_time(&pool, 3), None);
    assert_eq!(pool.load(after(3)).waiting, Some(Duration::from_secs(3)), "the first one waits");
    pool.first_byte(ticket, after(5));
    pool.end(ticket, after(5));
    assert_eq!(pool.load(after(5)).waiting, None);
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

#[test]
fn first_bytes_and_their_times_are_added_up() {
    let mut pool = pool(Algorithm::RoundRobin, "a");
    for (second, answers) in [(1, true), (3, true), (100, false)] {
        let (ticket, _) = pick(&mut pool, NOW, &mut rng());
        let later = NOW + Duration::from_secs(second);
        if answers {
            pool.first_byte(ticket, later);
            pool.first_byte(ticket, later + NOW);
            pool.end(ticket, later + NOW);
        } else {
            pool.failed(ticket, Failure::ServerError, later);
        }
    }
    pool.update(endpoints("a b"), NOW, &mut rng());
    let known: Vec<_> = pool.endpoints(NOW).map(|status| (status.answered, status.total_response_time)).collect();
    assert_eq!(known, [(2, Duration::from_secs(4)), (0, Duration::ZERO)]);
}
