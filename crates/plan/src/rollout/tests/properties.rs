//! What holds for every answer, on simulated fleets to which anything may happen.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use skyfleet_api::model_deployment::{FailurePolicy, Rollout, RolloutPhase};

use super::events::{NAMES, event, happen, spec};
use super::simulation::{Fleet, Member, STARTUP};
use crate::rollout::waves::Waves;
use crate::rollout::{Answer, ClusterState};

/// What is known of the fleet before a pass, to judge the answer by.
struct Before {
    phase: Option<RolloutPhase>,
    wave: i32,
    stable: Option<String>,
    same_target: bool,
    /// Members that hold replicas and have the target.
    having: BTreeSet<String>,
    /// Of those, the ones that are reached, and whether all of them are ready.
    heard: usize,
    ready: bool,
}

impl Before {
    fn of(fleet: &Fleet) -> Self {
        let has = |member: &&Member| member.replicas > 0 && member.assigned.as_deref() == Some(fleet.target.as_str());
        let heard: Vec<_> = fleet.members.iter().filter(has).filter(|member| member.reachable).collect();
        Self {
            phase: fleet.status.as_ref().map(|status| status.phase),
            wave: fleet.status.as_ref().map_or(0, |status| status.wave),
            stable: fleet.status.as_ref().and_then(|status| status.stable_revision.clone()),
            same_target: fleet.status.as_ref().is_some_and(|status| status.target_revision == fleet.target),
            having: fleet.members.iter().filter(has).map(|member| member.name.clone()).collect(),
            heard: heard.len(),
            ready: heard.iter().all(|member| fleet.is_updated(member)),
        }
    }
}

/// The wave of each member, as it was before the pass.
fn reached(fleet: &Fleet, before: &Before, name: &str, wave: i32) -> bool {
    let held = fleet.members.iter().filter(|member| member.replicas > 0);
    let held: Vec<_> = held
        .map(|member| ClusterState {
            name: &member.name,
            replicas: member.replicas,
            revision: before.having.contains(&member.name).then_some(fleet.target.as_str()),
            updated: false,
            reachable: true,
            reachable_since: None,
            load: None,
        })
        .collect();
    let held: Vec<_> = held.iter().collect();
    let cluster = held.iter().find(|cluster| cluster.name == name).expect("it holds replicas");
    Waves::of(&fleet.spec.waves, &held, &fleet.target).reached(cluster, wave)
}

/// A pass, and whether the answer may be. `ready_since` is kept here, apart from the status: since when all that have the
/// target are ready, as far as passes have seen.
fn checked(fleet: &mut Fleet, ready_since: &mut Option<Timestamp>) -> Result<Answer, TestCaseError> {
    let before = Before::of(fleet);
    let answer = fleet.pass();
    let (status, target) = (&answer.status, fleet.target.clone());
    let revisions: BTreeSet<&str> = answer.revisions.values().map(String::as_str).collect();
    let allowed: BTreeSet<&str> = [Some(target.as_str()), before.stable.as_deref()].into_iter().flatten().collect();
    prop_assert!(revisions.is_subset(&allowed), "{revisions:?} of {allowed:?}");
    prop_assert!(answer.look_again.is_none_or(|time| time > fleet.now));
    match status.phase {
        RolloutPhase::Complete => {
            prop_assert_eq!(status.stable_revision.as_deref(), Some(target.as_str()));
            prop_assert!(answer.revisions.values().all(|revision| *revision == target));
        }
        RolloutPhase::RolledBack => {
            prop_assert!(answer.revisions.values().all(|revision| Some(revision) == before.stable.as_ref()));
        }
        RolloutPhase::Progressing | RolloutPhase::Paused => {}
    }
    let staged = before.stable.as_ref().is_some_and(|stable| *stable != target);
    let began = before.phase != Some(RolloutPhase::Complete) || !before.same_target;
    if !staged || !began {
        *ready_since = None;
        return Ok(answer);
    }
    let under_way = before.same_target && before.wave > 0;
    *ready_since = (under_way && before.heard > 0 && before.ready).then(|| ready_since.unwrap_or(fleet.now));
    let through = !under_way
        || before.having.is_empty()
        || ready_since.is_some_and(|since| {
            fleet.now.duration_since(since) >= SignedDuration::from_secs(fleet.spec.soak_seconds.into())
        });
    // Who gets the target now is in a wave that had begun, or in the next, when the one before is through.
    let next: Vec<_> = answer
        .revisions
        .iter()
        .filter(|(name, revision)| **revision == target && !(under_way && before.having.contains(*name)))
        .map(|(name, _)| name)
        .filter(|name| !reached(fleet, &before, name, before.wave) || !under_way)
        .collect();
    prop_assert!(next.is_empty() || through, "{next:?} began, and nobody was through");
    prop_assert!(next.is_empty() || !fleet.spec.paused || status.phase == RolloutPhase::Complete);
    if status.phase != RolloutPhase::Complete {
        for name in &next {
            prop_assert!(reached(fleet, &before, name, status.wave), "{name} began before its wave");
            // A wave of which nobody is reached is passed by those that are ready already.
            let silent = !fleet.member(name).reachable;
            prop_assert!(silent || !reached(fleet, &before, name, status.wave - 1), "two waves began at once");
        }
    }
    if !under_way || !next.is_empty() {
        let after = Before::of(fleet);
        *ready_since = (after.heard > 0 && after.ready).then_some(fleet.now);
    }
    Ok(answer)
}

/// Nothing is decided between two passes that a wait was asked for.
fn look_again_is_soon_enough(fleet: &Fleet, answer: &Answer) -> Result<(), TestCaseError> {
    let far = answer.look_again.unwrap_or(fleet.now + SignedDuration::from_hours(1000));
    for share in [1, 50, 99] {
        let between = fleet.now + (far.duration_since(fleet.now) * share) / 100;
        let then = fleet.ask_at(between);
        prop_assert_eq!((&then.status, &then.revisions), (&answer.status, &answer.revisions));
    }
    Ok(())
}

fn fleet(spec: Rollout) -> Fleet {
    Fleet::changing(&NAMES, spec, "old")
}

proptest! {
    #[test]
    fn whatever_happens(spec in spec(), events in prop::collection::vec(event(), 1..80)) {
        let mut fleet = fleet(spec);
        let mut ready_since = None;
        for event in &events {
            happen(&mut fleet, event);
            let answer = checked(&mut fleet, &mut ready_since)?;
            if fleet.spec.max_error_percent.is_none() {
                look_again_is_soon_enough(&fleet, &answer)?;
            }
        }
    }

    #[test]
    fn it_ends_when_calm_returns(spec in spec(), events in prop::collection::vec(event(), 0..60), lost in 0..3usize) {
        let mut fleet = fleet(spec);
        for event in &events {
            happen(&mut fleet, event);
            fleet.pass();
        }
        (fleet.spec.paused, fleet.spec.on_failure) = (false, FailurePolicy::Rollback);
        for (index, name) in NAMES.iter().enumerate() {
            fleet.member(name).broken = false;
            fleet.member(name).replicas = 1;
            if index >= lost { fleet.heal(name) } else { fleet.lose(name) }
        }
        let first = fleet.status.as_ref().is_none_or(|status| status.stable_revision.is_none());
        // Five waves at most, each with its deadline, its soak, and a stale report to wait out; and the way back.
        for _ in 0..200 {
            fleet.tick(15);
            fleet.pass();
        }
        let phase = fleet.phase();
        let waits = fleet.message().contains("until one that has the change is reached");
        match fleet.target.as_str() {
            "old" | "good" | "better" => prop_assert!(
                phase == RolloutPhase::Complete || phase == RolloutPhase::RolledBack || waits, "{}", fleet.message()
            ),
            "stuck" | "stuck-2" if !first => prop_assert!(phase == RolloutPhase::RolledBack || waits, "{}", fleet.message()),
            _ => {}
        }
        if phase == RolloutPhase::RolledBack || phase == RolloutPhase::Complete {
            for member in fleet.members.iter().filter(|member| member.reachable) {
                prop_assert_eq!(&member.running, &member.assigned);
            }
            let status = fleet.status.clone();
            for _ in 0..10 {
                fleet.tick(100);
                fleet.pass();
            }
            prop_assert_eq!(fleet.status, status);
        }
    }

    #[test]
    fn a_healthy_fleet_completes(spec in spec()) {
        let mut fleet = fleet(Rollout { max_error_percent: spec.max_error_percent.map(|max| max + 1), ..spec });
        "good".clone_into(&mut fleet.target);
        let mut ready_since = None;
        let bound = 5 + STARTUP + i64::from(fleet.spec.soak_seconds) + 5;
        for _ in 0..=(1 + fleet.spec.waves.len()) * usize::try_from(bound / 5 + 1).unwrap() {
            checked(&mut fleet, &mut ready_since)?;
            fleet.tick(5);
        }
        prop_assert_eq!(fleet.phase(), RolloutPhase::Complete, "{}", fleet.message());
    }

    #[test]
    fn a_bad_revision_gets_no_further_than_the_first_wave(spec in spec(), stuck in any::<bool>()) {
        let mut fleet = fleet(Rollout { max_error_percent: Some(5), on_failure: FailurePolicy::Rollback, ..spec });
        if stuck { "stuck" } else { "faulty" }.clone_into(&mut fleet.target);
        fleet.pass();
        let canaries: Vec<String> = fleet.with(&fleet.target).into_iter().map(str::to_owned).collect();
        for _ in 0..100 {
            fleet.tick(5);
            fleet.pass();
            prop_assert!(fleet.with(&fleet.target).iter().all(|name| canaries.iter().any(|canary| canary == name)));
        }
        prop_assert_eq!((fleet.phase(), fleet.with("old").len()), (RolloutPhase::RolledBack, NAMES.len()));
    }
}
