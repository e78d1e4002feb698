//! Least connection: the fewest requests in flight for the weight. A gateway sees only its own requests, and mostly several
//! endpoints are equal. Then two of the equals are drawn, and the one goes that was picked longer ago: two random choices are what
//! keeps gateways that know nothing of each other from all choosing the same (Mitzenmacher, "The Power of Two Choices in Randomized
//! Load Balancing", 2001).

use std::cmp::Ordering;

/// An endpoint that may be picked.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its place.
    pub index: usize,
    /// Requests in flight, with the one that is to come, by weight. See [`load`].
    pub load: f64,
    /// The number of the pick that chose it last: smaller is longer ago.
    pub picked: u64,
}

/// Requests in flight by weight, with the one that is to come: without it, idle endpoints of any weights would be equal.
#[must_use]
pub fn load(in_flight: u32, weight: f64) -> f64 {
    (f64::from(in_flight) + 1.0) / weight
}

/// The place of the endpoint with the least load; `None` where there is none.
pub fn pick(candidates: impl Iterator<Item = Candidate>, rng: &mut fastrand::Rng) -> Option<usize> {
    // A reservoir of two among those that are equal.
    let mut drawn: Option<[Candidate; 2]> = None;
    let mut equals = 0;
    for candidate in candidates {
        match &mut drawn {
            Some([first, _]) if candidate.load > first.load => {}
            Some([first, second]) if candidate.load.total_cmp(&first.load).is_eq() => {
                equals += 1;
                match if equals == 2 { 1 } else { rng.usize(..equals) } {
                    0 => *first = candidate,
                    1 => *second = candidate,
                    _ => {}
                }
            }
            _ => (drawn, equals) = (Some([candidate; 2]), 1),
        }
    }
    let [first, second] = drawn?;
    let is_second = match second.picked.cmp(&first.picked) {
        Ordering::Less => true,
        Ordering::Equal => rng.bool(),
        Ordering::Greater => false,
    };
    Some(if is_second { second.index } else { first.index })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(endpoints: &[(u32, f64)], picked: &[u64], rng: &mut fastrand::Rng) -> Option<usize> {
        let candidates = endpoints.iter().zip(picked).enumerate();
        pick(
            candidates.map(|(index, ((in_flight, weight), picked))| Candidate {
                index,
                load: load(*in_flight, *weight),
                picked: *picked,
            }),
            rng,
        )
    }

    #[test]
    fn the_fewest_in_flight_by_weight() {
        for (endpoints, expected) in [
            (&[(3, 1.0), (2, 1.0), (4, 1.0)][..], Some(1)),
            (&[(0, 1.0), (0, 2.0)], Some(1)),
            (&[(1, 1.0), (4, 3.0)], Some(1)),
            (&[(1, 1.0), (6, 3.0)], Some(0)),
            (&[], None),
        ] {
            let picked = vec![0; endpoints.len()];
            assert_eq!(choose(endpoints, &picked, &mut fastrand::Rng::with_seed(1)), expected, "{endpoints:?}");
        }
    }

    #[test]
    fn among_equals_none_is_favoured_and_none_forgotten() {
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut picked, mut counts) = ([0; 10], [0_u32; 10]);
        for number in 1..=10_000 {
            let index = choose(&[(0, 1.0); 10], &picked, &mut rng).expect("there are some");
            picked[index] = number;
            counts[index] += 1;
        }
        assert!(counts.iter().all(|count| (900..=1100).contains(count)), "{counts:?}");
    }

    #[test]
    fn many_gateways_do_not_begin_with_the_same() {
        let mut firsts = [0_u32; 10];
        for seed in 0..1000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            firsts[choose(&[(0, 1.0); 10], &[0; 10], &mut rng).expect("there are some")] += 1;
        }
        assert!(firsts.iter().all(|count| (60..=140).contains(count)), "{firsts:?}");
    }
}
