use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Six requests a minute, two at once; 600 tokens a minute, 100 at once.
const LIMITS: Limits =
    Limits { requests: Some(Limit { per_minute: 6, burst: 2 }), tokens: Some(Limit { per_minute: 600, burst: 100 }) };

fn refused(exceeded: Exceeded, seconds: u64) -> Result<(), RateLimited> {
    Err(RateLimited { exceeded, retry_after: at(seconds) })
}

#[test]
fn requests_and_tokens_are_limited_for_each_client() {
    let mut limiter = RateLimiter::new(LIMITS, 10);
    let mut reserve = |client: &str, tokens, now| limiter.reserve(&client.to_owned(), tokens, at(now)).map(drop);
    for (client, tokens, now, expected) in [
        ("a", 10, 0, Ok(())),
        ("a", 10, 0, Ok(())),
        ("a", 10, 0, refused(Exceeded::Requests, 10)),
        ("b", 90, 0, Ok(())),
        ("b", 90, 0, refused(Exceeded::Tokens, 8)),
        ("b", 90, 7, refused(Exceeded::Tokens, 1)),
        ("b", 90, 8, Ok(())),
        ("a", 10, 9, refused(Exceeded::Requests, 1)),
        ("a", 10, 10, Ok(())),
    ] {
        assert_eq!(reserve(client, tokens, now), expected, "{client} at {now}");
    }
}

#[test]
fn what_was_really_used_is_settled() {
    let mut limiter = RateLimiter::new(Limits { requests: None, ..LIMITS }, 10);
    let key = "a".to_owned();
    let wait = |limiter: &RateLimiter<String>, now| {
        limiter.clone().reserve(&key, 100, now).map_or_else(|refused| refused.retry_after, |_| Duration::ZERO)
    };
    let reservation = limiter.reserve(&key, 100, at(0)).expect("nothing was used yet");
    assert_eq!(wait(&limiter, at(0)), at(10));
    limiter.settle(&key, reservation, 40, at(0));
    assert_eq!(wait(&limiter, at(0)), at(4));
    let reservation = limiter.reserve(&key, 100, at(4)).expect("they have come back");
    limiter.settle(&key, reservation, 1000, at(4));
    assert_eq!(wait(&limiter, at(4)), at(100), "it is owed");
    let reservation = limiter.reserve(&key, 100, at(200)).expect("it was paid back");
    limiter.cancel(&key, reservation, at(200));
    assert_eq!(wait(&limiter, at(200)), Duration::ZERO);
}

#[test]
fn a_cancelled_request_was_none() {
    let mut limiter = RateLimiter::new(LIMITS, 10);
    for _ in 0..10 {
        let reservation = limiter.reserve(&"a", 100, at(0)).expect("nothing was used yet");
        limiter.cancel(&"a", reservation, at(0));
    }
}

#[test]
fn what_is_kept_is_bounded_and_who_owes_most_is_remembered() {
    let mut limiter = RateLimiter::new(LIMITS, 100);
    let debtor = limiter.reserve(&u64::MAX, 100, at(0)).expect("nothing was used yet");
    limiter.settle(&u64::MAX, debtor, 10_000, at(0));
    for client in 0..10_000_u64 {
        assert!(limiter.reserve(&client, 1, Duration::from_millis(client)).is_ok());
        assert!(limiter.len() <= 100);
    }
    assert!(limiter.reserve(&u64::MAX, 100, at(10)).is_err());
    // Nobody owes anything any more.
    assert!(limiter.reserve(&1, 1, at(5000)).is_ok());
    limiter.make_room(at(6000));
    assert!(limiter.is_empty());
}

proptest! {
    /// Nobody uses more than a minute brings, beside a burst and what was not estimated well.
    #[test]
    fn what_is_used_is_bounded(
        requests in prop::collection::vec((0..5000_u64, 1..100_u64, 0..100_u64, 0..20_000_u64), 1..200)
    ) {
        let limits = Limits { requests: None, tokens: Some(Limit { per_minute: 600, burst: 100 }) };
        let mut limiter = RateLimiter::new(limits, 10);
        let mut open: Vec<(u64, u64, Reservation)> = Vec::new();
        let (mut now, mut used_in_all) = (0, 0);
        for (gap, tokens, used, takes) in requests {
            now += gap;
            let (due, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(|(due, ..)| *due <= now);
            open = rest;
            for (_, used, reservation) in due {
                limiter.settle(&"a", reservation, used, Duration::from_millis(now));
            }
            if let Ok(reservation) = limiter.reserve(&"a", tokens, Duration::from_millis(now)) {
                let used = used.min(tokens);
                used_in_all += used;
                open.push((now + takes, used, reservation));
            }
            prop_assert!(used_in_all <= 100 + now / 100 + 1, "{used_in_all} by {now} ms");
        }
    }
}
