//! Clusters that are not reached.

use skyfleet_api::model_deployment::RolloutPhase;

use super::simulation::{Fleet, named, rollout};
use super::{FLEET, canary};

#[test]
fn a_lost_cluster_is_passed_over_and_changes_when_it_is_back() {
    let mut fleet = Fleet::changing(&FLEET, rollout(vec![named(&["c"]), named(&["a", "b"])]), "new");
    fleet.pass();
    fleet.run(55);
    fleet.lose("b");
    fleet.run(30);
    let message = "wave 2 of 3 waits until it was ready for 30 s; not reached, and not waited for: b";
    assert_eq!(fleet.message(), message);
    fleet.run(100);
    assert_eq!((fleet.phase(), fleet.with("new").len()), (RolloutPhase::Complete, 4));
    assert_eq!(fleet.member("b").running.as_deref(), Some("old"), "nobody has told it yet");
    fleet.heal("b");
    fleet.run(30);
    assert_eq!(fleet.member("b").running.as_deref(), Some("new"));
}

#[test]
fn a_canary_that_is_not_heard_proves_nothing() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "new");
    fleet.lose("c");
    fleet.pass();
    fleet.run(5000);
    assert_eq!((fleet.phase(), fleet.with("new")), (RolloutPhase::Progressing, vec!["c"]));
    assert_eq!(fleet.message(), "wave 1 of 3 waits until one that has the change is reached: c");
    assert_eq!(fleet.pass().look_again, None);
    // Back after the wave's deadline, it has its own.
    fleet.heal("c");
    fleet.run(200);
    assert_eq!(fleet.phase(), RolloutPhase::Complete);
}

#[test]
fn a_lost_canary_whose_replicas_went_elsewhere_is_passed_over() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "new");
    fleet.lose("c");
    fleet.pass();
    fleet.run(100);
    fleet.member("c").replicas = 0;
    fleet.run(5);
    assert_eq!(fleet.with("new"), ["a", "b"]);
}

#[test]
fn a_returned_cluster_that_does_not_get_ready_fails_by_its_own_deadline() {
    let mut fleet = Fleet::changing(&FLEET, rollout(vec![named(&["a", "b"])]), "new");
    fleet.member("a").broken = true;
    fleet.lose("b");
    fleet.pass();
    fleet.run(200);
    fleet.heal("b");
    fleet.member("b").broken = true;
    fleet.member("a").broken = false;
    fleet.run(295);
    assert_eq!(fleet.phase(), RolloutPhase::Progressing);
    fleet.run(5);
    assert_eq!(fleet.phase(), RolloutPhase::RolledBack);
    assert_eq!(fleet.message(), "wave 1 of 2 failed: not ready after 300 s: b; back to old");
}
