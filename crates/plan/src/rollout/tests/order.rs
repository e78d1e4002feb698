//! In which order clusters get the change.

use skyfleet_api::model_deployment::{Rollout, RolloutPhase};

use super::simulation::{Fleet, named, percent, rollout};
use super::{FLEET, canary};
use crate::rollout::News;

#[test]
fn a_first_revision_is_everywhere_at_once() {
    let mut fleet = Fleet::new(&FLEET, Rollout { paused: true, ..canary() }, "first");
    fleet.pass();
    assert_eq!((fleet.phase(), fleet.with("first").len()), (RolloutPhase::Progressing, 4));
    assert_eq!(fleet.message(), "until ready: a, b, c and 1 more");
    fleet.run(25);
    assert_eq!((fleet.phase(), fleet.message()), (RolloutPhase::Complete, ""));
    assert_eq!(fleet.status.as_ref().unwrap().stable_revision.as_deref(), Some("first"));
    assert_eq!(fleet.news, [News::Began, News::Complete]);
}

#[test]
fn wave_after_wave() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "new");
    let mut seen = vec![];
    for second in (0..300).step_by(5) {
        fleet.pass();
        let now = (fleet.status.as_ref().unwrap().wave, fleet.with("new").join(""), fleet.phase());
        if seen.last().is_none_or(|(_, last)| *last != now) {
            seen.push((second, now));
        }
        fleet.tick(5);
    }
    // Five seconds until a member hears of it, 20 to get ready, 30 of soak.
    let wanted = [
        (0, (1, "c".to_owned(), RolloutPhase::Progressing)),
        (55, (2, "ac".to_owned(), RolloutPhase::Progressing)),
        (110, (3, "abcd".to_owned(), RolloutPhase::Progressing)),
        (165, (3, "abcd".to_owned(), RolloutPhase::Complete)),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(fleet.news, [News::Began, News::WaveDone(1), News::WaveDone(2), News::Complete]);
}

#[test]
fn what_is_settled_stays_the_same_bytes() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "old");
    let before = fleet.status.clone();
    for _ in 0..100 {
        fleet.tick(3600);
        let answer = fleet.pass();
        assert_eq!((answer.look_again, answer.news), (None, None));
        assert_eq!(fleet.status, before);
    }
}

#[test]
fn a_break_begins_the_soak_anew() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "new");
    fleet.pass();
    fleet.run(50);
    assert_eq!(fleet.message(), "wave 1 of 3 waits until it was ready for 30 s");
    fleet.member("c").broken = true;
    fleet.run(5);
    assert_eq!(fleet.message(), "wave 1 of 3 waits until ready: c");
    fleet.member("c").broken = false;
    fleet.run(30);
    assert_eq!(fleet.with("new"), ["c"]);
    fleet.run(5);
    assert_eq!(fleet.with("new"), ["a", "c"]);
}

#[test]
fn a_pause_holds_back_waves_and_the_deadline() {
    let mut fleet = Fleet::changing(&FLEET, Rollout { paused: true, ..canary() }, "new");
    fleet.pass();
    fleet.run(1000);
    assert_eq!((fleet.phase(), fleet.message()), (RolloutPhase::Paused, "paused before wave 1"));
    assert_eq!((fleet.with("old").len(), fleet.news.clone()), (4, vec![News::Paused]));
    fleet.spec.paused = false;
    fleet.run(10);
    fleet.spec.paused = true;
    fleet.member("c").broken = true;
    fleet.run(1000);
    assert_eq!((fleet.phase(), fleet.with("new")), (RolloutPhase::Paused, vec!["c"]));
    assert_eq!(fleet.message(), "paused; wave 1 of 3 waits until ready: c");
    // The wave has its whole deadline when the pause ends.
    fleet.spec.paused = false;
    fleet.run(300);
    assert_eq!(fleet.phase(), RolloutPhase::Progressing);
    fleet.run(5);
    assert_eq!(fleet.phase(), RolloutPhase::RolledBack);
}

#[test]
fn a_wave_that_is_through_in_a_pause_is_followed_by_the_next_when_it_ends() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "new");
    fleet.pass();
    fleet.spec.paused = true;
    fleet.run(600);
    assert_eq!(fleet.message(), "paused before wave 2");
    fleet.spec.paused = false;
    fleet.run(5);
    assert_eq!(fleet.with("new"), ["a", "c"]);
}

#[test]
fn a_change_in_mid_way_starts_anew_from_the_stable_revision() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "new");
    fleet.pass();
    fleet.run(60);
    assert_eq!(fleet.with("new"), ["a", "c"]);
    "newer".clone_into(&mut fleet.target);
    fleet.pass();
    assert_eq!((fleet.with("newer"), fleet.with("old")), (vec!["c"], vec!["a", "b", "d"]));
    assert_eq!(fleet.news, [News::Began, News::WaveDone(1), News::Began]);
    fleet.run(200);
    assert_eq!((fleet.phase(), fleet.with("newer").len()), (RolloutPhase::Complete, 4));
}

#[test]
fn back_to_the_stable_revision_is_at_once() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "stuck");
    fleet.pass();
    fleet.run(60);
    fleet.spec.paused = true;
    "old".clone_into(&mut fleet.target);
    fleet.pass();
    assert_eq!((fleet.phase(), fleet.with("old").len()), (RolloutPhase::Progressing, 4));
    fleet.run(30);
    assert_eq!(fleet.phase(), RolloutPhase::Complete);
    assert_eq!(fleet.news, [News::Began, News::Began, News::Complete]);
}

#[test]
fn a_cluster_with_its_first_replicas_gets_what_its_wave_has() {
    let mut fleet = Fleet::changing(&["a", "b", "c", "d", "e"], rollout(vec![named(&["b", "c"])]), "new");
    fleet.member("b").replicas = 0;
    fleet.member("e").replicas = 0;
    fleet.pass();
    fleet.run(20);
    fleet.member("b").replicas = 1;
    fleet.member("e").replicas = 1;
    fleet.run(5);
    assert_eq!((fleet.with("new"), fleet.with("old")), (vec!["b", "c"], vec!["a", "d", "e"]));
    // The wave waits for the one that joined, and gives it its time.
    fleet.member("b").broken = true;
    fleet.run(295);
    assert_eq!(fleet.phase(), RolloutPhase::Progressing);
    fleet.run(10);
    assert_eq!(fleet.phase(), RolloutPhase::RolledBack);
    fleet.member("e").replicas = 0;
    fleet.run(5);
    fleet.member("e").replicas = 1;
    fleet.run(5);
    assert_eq!(fleet.with("old").len(), 5, "after a rollback all are on the stable revision");
}

#[test]
fn who_has_begun_does_not_go_back_because_another_came() {
    let mut fleet = Fleet::changing(&["a", "b", "c", "d", "e"], rollout(vec![percent(40)]), "new");
    fleet.member("a").replicas = 0;
    fleet.pass();
    assert_eq!(fleet.with("new"), ["b", "c"]);
    fleet.member("a").replicas = 1;
    fleet.run(5);
    assert_eq!(fleet.with("new"), ["b", "c"]);
    // Of two clusters, 40 % is one.
    for gone in ["a", "d", "e"] {
        fleet.member(gone).replicas = 0;
    }
    fleet.run(5);
    assert_eq!(fleet.with("new"), ["b", "c"]);
}

#[test]
fn a_wave_without_clusters_asks_for_no_soak() {
    let mut fleet = Fleet::changing(&FLEET, rollout(vec![named(&["z"]), named(&["c"]), named(&["z"])]), "new");
    fleet.pass();
    fleet.run(50);
    assert_eq!(fleet.with("new"), ["c"]);
    fleet.run(5);
    assert_eq!((fleet.with("new").len(), fleet.status.as_ref().unwrap().wave), (4, 4));
    assert_eq!(fleet.news, [News::Began, News::WaveDone(3)]);
}

#[test]
fn waves_begin_with_the_first_replicas() {
    let mut fleet = Fleet::changing(&FLEET, canary(), "new");
    for member in &mut fleet.members {
        member.replicas = 0;
    }
    let answer = fleet.pass();
    assert_eq!((answer.status.phase, answer.status.waves), (RolloutPhase::Progressing, 0));
    assert_eq!((fleet.message(), answer.look_again), ("no cluster holds replicas yet", None));
    fleet.run(1000);
    // No canary: its wave is passed over, and two of the other three have half of the change.
    for name in ["a", "b", "d"] {
        fleet.member(name).replicas = 1;
    }
    fleet.run(5);
    assert_eq!(fleet.with("new"), ["a", "b"]);
    fleet.run(200);
    assert_eq!(fleet.phase(), RolloutPhase::Complete);
}
