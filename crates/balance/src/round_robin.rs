//! Smooth weighted round robin, as nginx does it since 1.3.1 (2012): each gains its weight, the richest is picked and pays the sum
//! of all weights. In a cycle of so many picks as the weights sum to, each is picked as often as its weight says, and a heavy one is
//! not picked in a burst but in between the others.

/// Whose turn it is, of endpoints with a turn and a weight; weights of zero or below have none. `None` where nobody has one.
///
/// Those left out (full, ejected) neither gain nor pay. Weights may change between picks: no endpoint is then more than about one
/// pick ahead or behind of what its weights summed to.
pub fn pick<'a, I>(candidates: impl Iterator<Item = (I, &'a mut i64, i64)>) -> Option<I> {
    let mut total = 0_i64;
    let mut richest: Option<(I, &mut i64)> = None;
    for (id, turn, weight) in candidates.filter(|(_, _, weight)| *weight > 0) {
        *turn = turn.saturating_add(weight);
        total = total.saturating_add(weight);
        if richest.as_ref().is_none_or(|(_, most)| *turn > **most) {
            richest = Some((id, turn));
        }
    }
    let (id, turn) = richest?;
    *turn = turn.saturating_sub(total);
    Some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(turns: &mut [i64], weights: &[i64]) -> Option<usize> {
        pick(turns.iter_mut().zip(weights).enumerate().map(|(index, (turn, weight))| (index, turn, *weight)))
    }

    fn picks(weights: &[i64], times: usize) -> Vec<usize> {
        let mut turns = vec![0; weights.len()];
        (0..times).filter_map(|_| next(&mut turns, weights)).collect()
    }

    #[test]
    fn a_heavy_endpoint_is_picked_in_between_the_others() {
        for (weights, expected) in [
            (&[5, 1, 1][..], &[0, 0, 1, 0, 2, 0, 0][..]),
            (&[1, 1, 1], &[0, 1, 2]),
            (&[2, 0, 1], &[0, 2, 0]),
            (&[0, -1], &[]),
            (&[], &[]),
        ] {
            assert_eq!(picks(weights, expected.len().max(1)), expected, "{weights:?}");
        }
    }

    fn count(picks: &[usize], endpoint: usize) -> i64 {
        picks.iter().filter(|picked| **picked == endpoint).count().try_into().expect("a small number")
    }

    proptest! {
        #[test]
        fn shares_of_each_cycle_are_exact(weights in prop::collection::vec(0..20_i64, 1..8)) {
            let cycle: i64 = weights.iter().sum();
            let cycle = usize::try_from(cycle).expect("small");
            for picks in picks(&weights, cycle * 3).chunks(cycle.max(1)) {
                for (endpoint, weight) in weights.iter().enumerate() {
                    prop_assert_eq!(count(picks, endpoint), *weight);
                }
            }
        }

        #[test]
        fn changed_weights_are_followed_at_once(
            before in prop::collection::vec(1..20_i64, 5), after in prop::collection::vec(1..20_i64, 5), at in 0..100_usize
        ) {
            let mut turns = vec![0; 5];
            for _ in 0..at {
                next(&mut turns, &before);
            }
            let cycle: i64 = after.iter().sum();
            let picks: Vec<_> = (0..cycle * 10).filter_map(|_| next(&mut turns, &after)).collect();
            // What was owed from before is paid in units of the new cycle.
            let owed = before.iter().sum::<i64>() / cycle + 2;
            for (endpoint, weight) in after.iter().enumerate() {
                prop_assert!((count(&picks, endpoint) - weight * 10).abs() <= owed, "{picks:?}");
            }
        }
    }
}
