//! What holds for every plan, tried on random fleets and requests.

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::Index;

use super::random::{Weather, candidates, cases, obeyed, snapshots};
use super::rules::{Change, broken, changes};
use super::*;
use crate::placement::Verdict;

/// Plans until one changes nothing. A handover takes a pass or two, and each step of rebalancing as many.
fn settle(mut snapshot: Snapshot) -> (Snapshot, Vec<Plan>) {
    let mut plans: Vec<Plan> = Vec::new();
    for _ in 0..PASSES {
        let next = plan(&snapshot);
        snapshot = obeyed(&snapshot, &next);
        let same = |last: &Plan| last.assignments == next.assignments && last.rebalanced == next.rebalanced;
        if plans.last().is_some_and(same) {
            return (snapshot, plans);
        }
        plans.push(next);
    }
    panic!("no end after {PASSES} passes: {:#?}", plans.iter().map(|plan| both(plan)).collect::<Vec<_>>());
}

const PASSES: usize = 20;

fn nothing() -> Vec<String> {
    vec![]
}

fn held(snapshot: &Snapshot) -> Vec<(String, i32)> {
    snapshot.candidates.iter().map(|candidate| (candidate.name.clone(), candidate.held.desired)).collect()
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn every_plan_keeps_the_rules(snapshot in snapshots(12, Weather::Stormy)) {
        prop_assert_eq!(broken(&snapshot, &plan(&snapshot)), nothing());
    }

    #[test]
    fn every_plan_of_a_quiet_fleet_keeps_the_rules(snapshot in snapshots(12, Weather::Calm)) {
        prop_assert_eq!(broken(&snapshot, &plan(&snapshot)), nothing());
    }

    #[test]
    fn the_order_of_the_clusters_does_not_matter(
        snapshot in snapshots(12, Weather::Stormy),
        swaps in prop::collection::vec((any::<Index>(), any::<Index>()), 12),
    ) {
        let mut shuffled = snapshot.clone();
        for (a, b) in swaps {
            let length = shuffled.candidates.len();
            shuffled.candidates.swap(a.index(length), b.index(length));
        }
        prop_assert_eq!(plan(&snapshot), plan(&snapshot));
        prop_assert_eq!(plan(&snapshot), plan(&shuffled));
    }

    #[test]
    fn nothing_moves_that_need_not(snapshot in snapshots(12, Weather::Calm)) {
        let plan = plan(&snapshot);
        let had: i32 = snapshot.candidates.iter().map(|candidate| candidate.held.desired).sum();
        let group = snapshot.request.placement.gang.as_ref().map_or(1, |gang| gang.group_size);
        for change in changes(&snapshot, &plan) {
            let more = change.desired - change.candidate.held.desired;
            let grows = snapshot.request.replicas / group * group >= had;
            prop_assert!(if grows { more >= 0 } else { more <= 0 }, "{}: {:?}", change.candidate.name, both(&plan));
        }
    }

    #[test]
    fn a_plan_that_was_obeyed_is_final(snapshot in snapshots(12, Weather::Stormy)) {
        let (settled, plans) = settle(snapshot);
        let last = plans.last().expect("one plan at least");
        let heard = settled.candidates.iter().all(|candidate| candidate.contact.is_usable());
        if heard && last.unplaced == 0 {
            prop_assert!(last.assignments.iter().all(|assignment| assignment.retained == 0), "{:?}", both(last));
        }
        prop_assert_eq!(broken(&settled, last), nothing());
    }

    #[test]
    fn a_new_cluster_moves_nothing_of_a_settled_fleet(
        snapshot in snapshots(11, Weather::Stormy),
        mut new in candidates(Weather::Calm),
    ) {
        let (mut settled, plans) = settle(snapshot);
        let last = plans.last().expect("one plan at least");
        // Rebalancing asks for moves, and so does what has no place yet, is where it must not be, or waits to go back. And
        // the larger fleet may have lost less than half of itself.
        let waits = |change: &Change<'_>| change.desired > 0 && matches!(change.verdict, Verdict::GivesUp(_));
        let moves = settled.request.placement.rebalance.is_some() || last.unplaced > 0 || last.suspicion.is_some();
        let owes = last.assignments.iter().any(|assignment| assignment.displaced.is_some());
        if moves || owes || changes(&settled, last).iter().any(waits) {
            return Ok(());
        }
        let before = held(&settled);
        new.name = "new".to_owned();
        new.held = Held::default();
        settled.candidates.push(new);
        let with_new = plan(&settled);
        for (name, desired) in before {
            let now = with_new.assignment(&name).map_or(0, |assignment| assignment.desired);
            prop_assert_eq!(now, desired, "{}: {:?}", name, both(&with_new));
        }
    }

    #[test]
    fn time_alone_changes_nothing_before_the_plan_says_to_look_again(
        mut snapshot in snapshots(12, Weather::Stormy),
        seconds in 1_i64..4000,
    ) {
        // What is measured changes with every look, and so does where rebalancing moves to.
        snapshot.request.placement.rebalance = None;
        snapshot.candidates.iter_mut().for_each(|candidate| candidate.load = None);
        let (mut settled, plans) = settle(snapshot);
        let last = plans.last().expect("one plan at least");
        settled.now += SignedDuration::from_secs(seconds);
        let later = plan(&settled);
        let due = last.look_again.is_some_and(|again| again <= settled.now);
        prop_assert!(due || both(&later) == both(last), "{:?} then {:?}", last, later);
    }
}
