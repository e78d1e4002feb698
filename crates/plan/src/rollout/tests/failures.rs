//! What fails a wave, and what follows.

use skyfleet_api::model_deployment::{FailurePolicy, Rollout, RolloutPhase};

use super::simulation::Fleet;
use super::{FLEET, canary};
use crate::rollout::News;

#[test]
fn a_first_revision_that_never_gets_ready_has_nothing_to_go_back_to() {
    let mut fleet = Fleet::new(&FLEET, canary(), "stuck");
    let answer = fleet.pass();
    assert_eq!(answer.look_again.unwrap().duration_since(fleet.now).as_secs(), 300);
    fleet.run(400);
    assert_eq!((fleet.phase(), fleet.with("stuck").len()), (RolloutPhase::Progressing, 4));
    let overdue = "not ready after 300 s: a, b, c and 1 more; there is no earlier revision to go back to";
    assert_eq!(fleet.message(), overdue);
    // What replaces it is a first revision, too.
    "good".clone_into(&mut fleet.target);
    fleet.run(30);
    assert_eq!((fleet.phase(), fleet.with("good").len()), (RolloutPhase::Complete, 4));
}

#[test]
fn a_wave_is_held_up_by_an_earlier_one_that_breaks() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "new");
    fleet.pass();
    fleet.run(80);
    assert_eq!(fleet.with("new"), ["a", "c"]);
    fleet.member("c").broken = true;
    fleet.run(200);
    assert_eq!(fleet.with("new"), ["a", "c"]);
    fleet.run(100);
    assert_eq!((fleet.phase(), fleet.with("old").len()), (RolloutPhase::RolledBack, 4));
}

#[test]
fn past_the_deadline_all_go_back_until_the_target_changes() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "stuck");
    fleet.pass();
    fleet.run(295);
    assert_eq!((fleet.phase(), fleet.with("stuck")), (RolloutPhase::Progressing, vec!["c"]));
    fleet.run(5);
    assert_eq!((fleet.phase(), fleet.with("old").len()), (RolloutPhase::RolledBack, 4));
    assert_eq!(fleet.message(), "wave 1 of 3 failed: not ready after 300 s: c; back to old");
    assert_eq!(fleet.news, [News::Began, News::RolledBack]);
    let before = fleet.status.clone();
    fleet.run(10_000);
    assert_eq!(fleet.status, before, "it is not tried again");
    // A new target is tried, and so is the failed one after the spec had asked for another.
    for (target, begun, phase) in [
        ("new", vec!["c"], RolloutPhase::Progressing),
        ("stuck", vec!["c"], RolloutPhase::Progressing),
        ("old", vec!["a", "b", "c", "d"], RolloutPhase::Complete),
        ("stuck", vec!["c"], RolloutPhase::Progressing),
    ] {
        target.clone_into(&mut fleet.target);
        fleet.run(30);
        assert_eq!((fleet.with(target), fleet.phase()), (begun, phase), "{target}");
    }
}

#[test]
fn a_soak_longer_than_the_deadline_is_not_cut_off() {
    let spec = Rollout { soak_seconds: 600, ..canary() };
    let mut fleet = Fleet::changing(&FLEET, spec, "new");
    fleet.pass();
    fleet.run(620);
    assert_eq!(fleet.message(), "wave 1 of 3 waits until it was ready for 600 s");
    fleet.run(10);
    assert_eq!(fleet.with("new"), ["a", "c"]);
    // But one that breaks when the deadline is over has had its time.
    fleet.run(400);
    fleet.member("a").broken = true;
    fleet.run(5);
    assert_eq!(fleet.phase(), RolloutPhase::RolledBack);
}

#[test]
fn a_failure_can_stop_the_rollout_where_it_is() {
    let spec = Rollout { on_failure: FailurePolicy::Pause, ..canary() };
    let mut fleet = Fleet::changing(&FLEET, spec, "new");
    fleet.pass();
    fleet.member("c").broken = true;
    fleet.run(300);
    assert_eq!((fleet.phase(), fleet.with("new")), (RolloutPhase::Paused, vec!["c"]));
    assert_eq!(fleet.message(), "wave 1 of 3 failed: not ready after 300 s: c");
    assert_eq!(fleet.news, [News::Began, News::Paused]);
    // It does not go on by itself.
    fleet.member("c").broken = false;
    let before = fleet.status.clone();
    fleet.run(1000);
    assert_eq!(fleet.status, before);
    assert_eq!(fleet.pass().look_again, None);
    // Whoever sets paused and takes it back has looked.
    fleet.spec.paused = true;
    fleet.run(5);
    fleet.spec.paused = false;
    fleet.run(300);
    assert_eq!(fleet.phase(), RolloutPhase::Complete);
}

#[test]
fn whoever_asks_for_a_rollback_of_a_stopped_rollout_gets_it() {
    let spec = Rollout { on_failure: FailurePolicy::Pause, ..canary() };
    let mut fleet = Fleet::changing(&FLEET, spec, "stuck");
    fleet.pass();
    fleet.run(400);
    fleet.spec.on_failure = FailurePolicy::Rollback;
    fleet.run(5);
    assert_eq!((fleet.phase(), fleet.with("old").len()), (RolloutPhase::RolledBack, 4));
    assert_eq!(fleet.message(), "wave 1 of 3 failed: not ready after 300 s: c; back to old");
}

#[test]
fn requests_that_fail_take_the_change_back() {
    for paused in [false, true] {
        let spec = Rollout { max_error_percent: Some(5), soak_seconds: 600, ..canary() };
        let mut fleet = Fleet::changing(&FLEET, spec, "faulty");
        fleet.pass();
        fleet.spec.paused = paused;
        fleet.run(80);
        assert_eq!(
            fleet.message().trim_start_matches("paused; "),
            "wave 1 of 3 waits until no more than 5 % of the requests fail in c"
        );
        fleet.run(10);
        assert_eq!((fleet.phase(), fleet.with("old").len()), (RolloutPhase::RolledBack, 4), "{}", fleet.message());
        assert_eq!(fleet.message(), "wave 1 of 3 failed: 50.0 % of the requests in c failed, 5 % may; back to old");
    }
    let mut fleet = Fleet::changing(&FLEET, canary(), "faulty");
    fleet.pass();
    fleet.run(200);
    assert_eq!(fleet.phase(), RolloutPhase::Complete, "nobody asked for the gate");
}

#[test]
fn what_the_old_revision_failed_is_not_held_against_its_cure() {
    let spec = Rollout { max_error_percent: Some(5), ..canary() };
    let mut fleet = Fleet::new(&FLEET, spec, "faulty");
    fleet.pass();
    fleet.run(30);
    assert_eq!(fleet.phase(), RolloutPhase::Complete);
    "cure".clone_into(&mut fleet.target);
    fleet.pass();
    fleet.run(300);
    assert_eq!(fleet.phase(), RolloutPhase::Complete, "{}", fleet.message());
}

#[test]
fn a_failing_revision_does_not_slip_through_a_short_soak() {
    for report_every in [5, 40] {
        let spec = Rollout { max_error_percent: Some(5), soak_seconds: 0, ..canary() };
        let mut fleet = Fleet::changing(&FLEET, spec, "faulty");
        fleet.report_every = report_every;
        fleet.pass();
        fleet.run(200);
        assert_eq!((fleet.phase(), fleet.status.as_ref().unwrap().wave), (RolloutPhase::RolledBack, 1));
    }
}

#[test]
fn a_failure_in_a_pause_of_the_spec_stops_nothing_more() {
    let spec = Rollout { max_error_percent: Some(5), on_failure: FailurePolicy::Pause, ..canary() };
    let mut fleet = Fleet::changing(&FLEET, spec, "faulty");
    fleet.pass();
    fleet.spec.paused = true;
    fleet.run(200);
    assert_eq!((fleet.phase(), fleet.message()), (RolloutPhase::Paused, "paused; wave 1 of 3 does not pass its gates"));
    assert_eq!(fleet.news, [News::Began, News::Paused]);
    fleet.spec.paused = false;
    fleet.run(10);
    assert_eq!(fleet.message(), "wave 1 of 3 failed: 50.0 % of the requests in c failed, 5 % may");
}
