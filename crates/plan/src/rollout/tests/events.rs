//! What may happen to a fleet while a change is under way.

use proptest::prelude::*;
use skyfleet_api::model_deployment::{FailurePolicy, Rollout, Wave};

use super::simulation::{Fleet, named, percent, rollout};

/// The members.
pub(super) const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// The revisions that may be asked for.
const TARGETS: [&str; 6] = ["old", "good", "better", "stuck", "stuck-2", "faulty"];

/// What may happen to a fleet.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Time(i64),
    Target(usize),
    Paused(bool),
    OnFailure(FailurePolicy),
    Lost(usize),
    Back(usize),
    Broken(usize, bool),
    Replicas(usize, i32),
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let member = 0..NAMES.len();
    prop_oneof![
        8 => (1..60i64).prop_map(Event::Time),
        1 => (0..TARGETS.len()).prop_map(Event::Target),
        1 => any::<bool>().prop_map(Event::Paused),
        1 => policy().prop_map(Event::OnFailure),
        1 => member.clone().prop_map(Event::Lost),
        1 => member.clone().prop_map(Event::Back),
        2 => (member.clone(), any::<bool>()).prop_map(|(member, broken)| Event::Broken(member, broken)),
        1 => (member, 0..3).prop_map(|(member, replicas)| Event::Replicas(member, replicas)),
    ]
}

fn policy() -> impl Strategy<Value = FailurePolicy> {
    prop_oneof![Just(FailurePolicy::Rollback), Just(FailurePolicy::Pause)]
}

fn wave() -> impl Strategy<Value = Wave> {
    prop_oneof![
        prop::sample::subsequence(NAMES.to_vec(), 1..3).prop_map(|names| named(&names)),
        (1..=100).prop_map(percent),
    ]
}

pub(super) fn spec() -> impl Strategy<Value = Rollout> {
    let gates = (0..90, 60..300, prop::option::of(0..20), policy());
    (prop::collection::vec(wave(), 0..4), gates).prop_map(|(waves, (soak, deadline, max, on_failure))| Rollout {
        soak_seconds: soak,
        progress_deadline_seconds: deadline,
        max_error_percent: max,
        on_failure,
        ..rollout(waves)
    })
}

pub(super) fn happen(fleet: &mut Fleet, event: &Event) {
    match event {
        Event::Time(seconds) => fleet.tick(*seconds),
        Event::Target(target) => TARGETS[*target].clone_into(&mut fleet.target),
        Event::Paused(paused) => fleet.spec.paused = *paused,
        Event::OnFailure(policy) => fleet.spec.on_failure = *policy,
        Event::Lost(member) => fleet.lose(NAMES[*member]),
        Event::Back(member) => fleet.heal(NAMES[*member]),
        Event::Broken(member, broken) => fleet.member(NAMES[*member]).broken = *broken,
        Event::Replicas(member, replicas) => fleet.member(NAMES[*member]).replicas = *replicas,
    }
}
