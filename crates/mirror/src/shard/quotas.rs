use super::Sharding;

/// A target that holds up to so many percent of its quota keeps all of it: else every new object would move others.
const TOLERATED_PERCENT: u128 = 110;

/// What the targets hold before anything moves, in objects or bytes.
#[derive(Debug, Clone)]
pub(crate) struct Survey {
    total: u64,
    /// Of each target.
    held: Vec<u64>,
}

impl Survey {
    pub(crate) fn of(targets: usize) -> Self {
        Self { total: 0, held: vec![0; targets] }
    }

    /// An object of the source, and the targets that hold it: the first one counts.
    pub(crate) fn add(&mut self, measure: u64, holders: &[usize]) {
        self.total = self.total.saturating_add(measure);
        if let Some(held) = holders.first().and_then(|owner| self.held.get_mut(*owner)) {
            *held = held.saturating_add(measure);
        }
    }
}

/// Gives every target as much as its weight says. What a target holds stays there up to its quota, so that only what one holds
/// beyond it moves, and only to those that have too little.
#[derive(Debug, Clone)]
pub(crate) struct Quotas {
    /// What each target may keep still of what it holds.
    kept: Vec<u64>,
    /// What each target is to get beside that.
    room: Vec<i128>,
}

impl Quotas {
    pub(crate) fn new(sharding: &Sharding, survey: &Survey) -> Self {
        let weights = || sharding.shards.iter().map(|shard| u128::from(shard.weight.get()));
        let all = weights().sum::<u128>().max(1);
        let (mut kept, mut room) = (Vec::new(), Vec::new());
        for (weight, held) in weights().zip(survey.held.iter().copied()) {
            let quota = (u128::from(survey.total) * weight).div_ceil(all);
            let is_tolerated = u128::from(held) * 100 <= quota * TOLERATED_PERCENT;
            let keeps = if is_tolerated { held } else { u64::try_from(quota).unwrap_or(u64::MAX) };
            kept.push(keeps);
            room.push(i128::try_from(quota).unwrap_or(i128::MAX) - i128::from(keeps));
        }
        Self { kept, room }
    }

    /// The target that is to hold an object, which these hold by now. To be asked in the order in which they were surveyed.
    pub(crate) fn assign(&mut self, measure: u64, holders: &[usize]) -> usize {
        if let Some(owner) = holders.first()
            && let Some(kept) = self.kept.get_mut(*owner)
            && (*kept > 0 || measure == 0)
        {
            *kept = kept.saturating_sub(measure);
            return *owner;
        }
        // One that got it in a pass that was stopped before the owner gave it up.
        let other = holders.iter().skip(1).find(|holder| self.room.get(**holder).is_some_and(|room| *room > 0));
        let most = || (0..self.room.len()).rev().max_by_key(|index| self.room[*index]).unwrap_or_default();
        let target = other.copied().unwrap_or_else(most);
        if let Some(room) = self.room.get_mut(target) {
            *room -= i128::from(measure);
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::{Quotas, Survey};
    use crate::{Shard, ShardBy, Sharding};

    fn sharding(weights: &[u32]) -> Sharding {
        let shard =
            |weight: &u32| Shard { name: String::new(), weight: NonZeroU32::new(*weight).unwrap(), target: None };
        Sharding { by: ShardBy::Size, shards: weights.iter().map(shard).collect(), piece_size: None }
    }

    /// Where objects of these sizes go that are held so far by these.
    fn assigned(weights: &[u32], objects: &[(u64, Option<usize>)]) -> Vec<usize> {
        let mut survey = Survey::of(weights.len());
        for (size, owner) in objects {
            survey.add(*size, owner.as_slice());
        }
        let mut quotas = Quotas::new(&sharding(weights), &survey);
        objects.iter().map(|(size, owner)| quotas.assign(*size, owner.as_slice())).collect()
    }

    fn held(targets: usize, objects: &[(u64, Option<usize>)], assigned: &[usize]) -> Vec<u64> {
        let mut held = vec![0; targets];
        objects.iter().zip(assigned).for_each(|((size, _), target)| held[*target] += size);
        held
    }

    #[test]
    fn all_get_as_many_by_their_weights() {
        let objects = vec![(1, None); 1000];
        let assigned = assigned(&[1, 2, 2], &objects);
        assert_eq!(held(3, &objects, &assigned), [200, 400, 400]);
    }

    #[test]
    fn what_was_assigned_before_counts_for_an_unfinished_move() {
        let mut survey = Survey::of(2);
        (0..4).for_each(|_| survey.add(1, &[0, 1]));
        let mut quotas = Quotas::new(&sharding(&[1, 1]), &survey);
        let assigned: Vec<_> = (0..4).map(|_| quotas.assign(1, &[0, 1])).collect();
        assert_eq!(assigned, [0, 0, 1, 1]);
    }

    #[test]
    fn a_little_more_than_its_quota_moves_nothing() {
        let objects: Vec<_> = (0..100).map(|key| (1, Some(usize::from(key >= 54)))).collect();
        assert!(objects.iter().zip(assigned(&[1, 1], &objects)).all(|((_, owner), target)| *owner == Some(target)));
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_its_quota_and_one_object(
            weights in prop::collection::vec(1..9_u32, 1..6), sizes in prop::collection::vec(0..1_000_u64, 0..200),
        ) {
            let objects: Vec<_> = sizes.iter().map(|size| (*size, None)).collect();
            let (total, all): (u64, u32) = (sizes.iter().sum(), weights.iter().sum());
            for (held, weight) in held(weights.len(), &objects, &assigned(&weights, &objects)).into_iter().zip(&weights) {
                let quota = (total * u64::from(*weight)).div_ceil(u64::from(all));
                prop_assert!(held < quota + 1_000, "{held} of {quota}");
            }
        }

        #[test]
        fn a_target_that_comes_gets_no_more_than_its_share_and_nothing_else_moves(
            targets in 1..6_usize, sizes in prop::collection::vec(1..1_000_u64, 1..200),
        ) {
            let weights = vec![1; targets];
            let new: Vec<_> = sizes.iter().map(|size| (*size, None)).collect();
            let before = assigned(&weights, &new);
            let objects: Vec<_> = sizes.iter().zip(&before).map(|(size, owner)| (*size, Some(*owner))).collect();
            let after = assigned(&vec![1; targets + 1], &objects);
            prop_assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == targets));
            let moved: u64 = sizes.iter().zip(&after).filter(|(_, target)| **target == targets).map(|(size, _)| size).sum();
            let share = sizes.iter().sum::<u64>().div_ceil(targets as u64 + 1);
            // Objects are whole: of each of the others, one may be more than what it had to give.
            prop_assert!(moved <= share + 1_000 * targets as u64, "{moved} of {share}");
        }

        #[test]
        fn what_is_settled_stays(
            weights in prop::collection::vec(1..9_u32, 1..6), sizes in prop::collection::vec(1..1_000_u64, 0..200),
        ) {
            let new: Vec<_> = sizes.iter().map(|size| (*size, None)).collect();
            let first = assigned(&weights, &new);
            let objects: Vec<_> = sizes.iter().zip(&first).map(|(size, owner)| (*size, Some(*owner))).collect();
            // What moves once, since few large objects do not fit any quota, does not move back.
            let second = assigned(&weights, &objects);
            let objects: Vec<_> = sizes.iter().zip(&second).map(|(size, owner)| (*size, Some(*owner))).collect();
            let third = assigned(&weights, &objects);
            prop_assert_eq!(second, third);
        }
    }
}
