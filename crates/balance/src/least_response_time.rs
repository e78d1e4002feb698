//! Least response time: the cost of an endpoint is the time to first byte that is to be expected of it, times the requests that would
//! then be in flight, by weight. The estimate is in [`response_time`](crate::response_time).
//!
//! Of how many endpoints the cheapest goes is a choice between two evils. Of two drawn at random (Mitzenmacher 2001) an endpoint gets
//! at most twice its share, but where two of ten are slow, each 45th request draws just these two, and that is the P99. The cheapest
//! of all is the best answer of a gateway that is alone, but many gateways that see the same fast endpoint all rush there. Of three, an
//! endpoint gets at most three times its share, and two slow ones are never alone. In the [simulation](crate::simulation), with two,
//! three, five and all of ten replicas compared, the P99 was 1.5, 1.1, 1.0 and 0.9 s where three were slow; and where two hundred
//! gateways shared out ten equal ones, the one that got least had 0.91, 0.87, 0.86 and 0.52 of its share for ten seconds. So three are
//! drawn, by weight.

/// Endpoints that are drawn for each pick, unless asked otherwise.
pub const CHOICES: usize = 3;
/// More are not drawn; who wants more looks at all of them.
const MOST_CHOICES: usize = 8;
/// Draws for each choice. Where these meet too few that may be picked, all are looked at.
const DRAWS: usize = 8;

/// An endpoint as it was drawn.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its weight as a share of the largest one in the pool, from 0 to 1: how likely a draw of it counts.
    pub chance: f64,
    /// What a request to it would cost. See [`cost`].
    pub cost: f64,
}

/// What a request would cost, in seconds: `response_time` seconds as estimated, or `waiting` seconds if a request waits for its first
/// byte even longer than that, which no estimate knows yet.
#[must_use]
pub fn cost(response_time: f64, waiting: f64, in_flight: u32, weight: f64) -> f64 {
    response_time.max(waiting) * (f64::from(in_flight) + 1.0) / weight
}

/// The place of the cheapest endpoint of `choices` that are drawn among `count`, or of all if that many are asked for. `candidate`
/// tells of each place, or `None` where it may not be picked. `None` where none may.
pub fn pick(
    count: usize,
    choices: usize,
    candidate: impl Fn(usize) -> Option<Candidate>,
    rng: &mut fastrand::Rng,
) -> Option<usize> {
    if choices >= count || choices > MOST_CHOICES {
        return cheapest(count, candidate, rng);
    }
    let mut drawn = [usize::MAX; MOST_CHOICES];
    let mut found = 0;
    let mut best: Option<(usize, f64)> = None;
    for _ in 0..choices * DRAWS {
        let index = rng.usize(..count);
        if drawn.contains(&index) {
            continue;
        }
        let Some(Candidate { chance, cost }) = candidate(index) else { continue };
        if chance < 1.0 && rng.f64() >= chance {
            continue;
        }
        // The first of equals: which that is, is random.
        if best.is_none_or(|(_, least)| cost < least) {
            best = Some((index, cost));
        }
        if let Some(place) = drawn.get_mut(found) {
            *place = index;
        }
        found += 1;
        if found == choices {
            return best.map(|(index, _)| index);
        }
    }
    cheapest(count, candidate, rng)
}

fn cheapest(count: usize, candidate: impl Fn(usize) -> Option<Candidate>, rng: &mut fastrand::Rng) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    let mut equals = 0;
    for index in 0..count {
        let Some(Candidate { cost, .. }) = candidate(index) else { continue };
        match best {
            Some((_, least)) if cost > least => {}
            Some((_, least)) if cost.total_cmp(&least).is_eq() => {
                equals += 1;
                if rng.usize(..equals) == 0 {
                    best = Some((index, cost));
                }
            }
            _ => (best, equals) = (Some((index, cost)), 1),
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(costs: &[Option<f64>], choices: usize) -> Vec<u32> {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut counts = vec![0; costs.len()];
        let candidate = |index: usize| costs[index].map(|cost| Candidate { chance: 1.0, cost });
        for _ in 0..10_000 {
            if let Some(index) = pick(costs.len(), choices, candidate, &mut rng) {
                counts[index] += 1;
            }
        }
        counts
    }

    #[test]
    fn what_a_request_costs() {
        for (cost, expected) in [
            (cost(0.2, 0.0, 0, 1.0), 0.2),
            (cost(0.2, 0.1, 3, 1.0), 0.8),
            (cost(0.2, 0.0, 3, 2.0), 0.4),
            // It hangs: nothing was measured, and yet it costs.
            (cost(0.2, 30.0, 1, 1.0), 60.0),
        ] {
            assert!((cost - expected).abs() < 1e-9, "{cost} is not {expected}");
        }
    }

    #[test]
    fn the_cheapest_of_those_drawn() {
        assert_eq!(counts(&[Some(3.0), None, Some(1.0), Some(2.0)], 9), [0, 0, 10_000, 0]);
        assert_eq!(counts(&[None, None, None, None], 2), [0; 4]);
        assert_eq!(counts(&[], 3), [0; 0]);
        assert_eq!(counts(&[None, None, None, Some(1.0), None, None], 2)[3], 10_000);
        // The two slow ones are never alone among three, and the fast one has no more than three times its share.
        let counts = counts(&[[Some(1.0); 1].as_slice(), &[Some(2.0); 7], &[Some(9.0); 2]].concat(), 3);
        assert_eq!(&counts[8..], [0, 0]);
        assert!((2800..=3200).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn ties_do_not_favour_the_first() {
        for choices in [2, 3, 10] {
            let counts = counts(&[Some(1.0); 10], choices);
            assert!(counts.iter().all(|count| (900..=1100).contains(count)), "{choices} {counts:?}");
        }
    }

    #[test]
    fn draws_go_by_weight() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut light = 0;
        for _ in 0..10_000 {
            let chance = |index: usize| if index == 0 { 0.1 } else { 1.0 };
            let picked = pick(10, 3, |index| Some(Candidate { chance: chance(index), cost: 1.0 }), &mut rng);
            light += u32::from(picked == Some(0));
        }
        // A tenth of the weight of the others has about a tenth of their share.
        assert!((80..=140).contains(&light), "{light}");
    }
}
