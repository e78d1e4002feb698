use jiff::SignedDuration;
use serde_json::json;
use skyfleet_api::model_deployment::{Failback, MovePolicy};

use super::simulation::World;
use super::*;
use crate::placement::News;

const GRACE: i64 = 300;

fn four() -> Vec<Candidate> {
    ["aws-1", "azure-1", "gcp-1", "on-prem"].map(cluster).to_vec()
}

/// A world of four clusters, all replicas of which serve.
fn settled(replicas: i32) -> World {
    let mut world = World::new(replicas, four());
    run(&mut world, 60);
    assert_eq!(world.serving(), replicas);
    world
}

fn run(world: &mut World, seconds: i64) {
    for _ in 0..seconds / 5 {
        world.step(5);
    }
}

fn told(world: &World) -> Vec<i32> {
    (0..world.members.len()).map(|index| world.told(index)).collect()
}

#[test]
fn a_dead_cluster_s_replicas_are_made_elsewhere_after_the_grace_period_and_go_back_once_it_is_steady() {
    let mut world = settled(8);
    world.kill(0);
    run(&mut world, GRACE - 10);
    assert_eq!(told(&world), [2, 2, 2, 2], "silence alone moves nothing");
    run(&mut world, 20);
    assert_eq!(told(&world), [2, 3, 3, 2]);
    assert_eq!(both(&world.last), [("aws-1", 0, 2), ("azure-1", 3, 0), ("gcp-1", 3, 0), ("on-prem", 2, 0)]);
    run(&mut world, 60);
    assert_eq!(world.serving(), 8);

    world.bring_back(0);
    run(&mut world, 60);
    assert_eq!((told(&world), world.serving()), (vec![0, 3, 3, 2], 8), "its surplus goes");
    run(&mut world, 500);
    assert_eq!(told(&world), [0, 3, 3, 2], "not before it has proved steady");
    run(&mut world, 120);
    assert_eq!((told(&world), world.serving()), (vec![2, 2, 2, 2], 8));
    assert!(world.last.assignments.iter().all(|assignment| assignment.displaced.is_none()));
}

#[test]
fn a_cluster_that_was_only_cut_off_serves_on_and_gives_up_its_surplus_only_when_the_others_serve() {
    let mut world = settled(8);
    world.start = SignedDuration::from_mins(20);
    world.cut_off(0);
    run(&mut world, GRACE + 30);
    assert_eq!((told(&world), world.serving()), (vec![2, 3, 3, 2], 8));
    // It returns while the others still load: what serves stays, what only loads goes.
    world.bring_back(0);
    run(&mut world, 30);
    assert_eq!((told(&world), world.serving()), (vec![2, 2, 2, 2], 8));

    world.cut_off(0);
    run(&mut world, GRACE + 1300);
    assert_eq!((told(&world), world.serving()), (vec![2, 3, 3, 2], 10), "both serve while it is not heard");
    world.bring_back(0);
    run(&mut world, 10);
    assert_eq!((told(&world), world.serving()), (vec![0, 3, 3, 2], 8));
}

#[test]
fn three_of_four_lost_at_once_move_nothing_and_the_one_that_stays_lost_gets_its_time_anew() {
    let mut world = settled(8);
    for index in 0..3 {
        world.cut_off(index);
        world.step(20);
    }
    run(&mut world, 4 * 3600);
    assert_eq!((told(&world), world.serving()), (vec![2, 2, 2, 2], 8));
    let suspicion = world.last.suspicion.clone().expect("the hub suspects itself");
    assert!(suspicion.starts_with("3 of 4 clusters fell silent together"), "{suspicion}");
    world.bring_back(0);
    world.bring_back(1);
    run(&mut world, GRACE - 10);
    assert_eq!(told(&world), [2, 2, 2, 2]);
    run(&mut world, 30);
    assert_eq!(told(&world), [3, 3, 2, 2], "one is still lost, and by now it is that one's fault");
}

#[test]
fn without_room_elsewhere_nothing_is_given_up() {
    let mut world = settled(8);
    for candidate in &mut world.snapshot.candidates {
        full(candidate);
    }
    world.kill(0);
    run(&mut world, GRACE + 60);
    assert_eq!(both(&world.last)[0], ("aws-1", 2, 0));
    assert_eq!(world.last.unplaced, 0);
    named(&mut world.snapshot.candidates, "gcp-1").room =
        crate::capacity::Room { replicas: 1, preferred: 1, shortage: None };
    run(&mut world, 10);
    assert_eq!(both(&world.last)[0], ("aws-1", 1, 1), "as many as there is room for");
}

#[test]
fn replicas_that_do_not_serve_are_made_elsewhere_after_their_own_patience() {
    let mut world = settled(8);
    // Reachable, and its pods never get ready.
    world.snapshot.request.replicas = 9;
    world.start = SignedDuration::from_hours(100);
    world.step(5);
    assert_eq!(told(&world), [3, 2, 2, 2]);
    world.start = SignedDuration::from_secs(20);
    run(&mut world, 1700);
    assert_eq!(told(&world), [3, 2, 2, 2], "weights take their time");
    run(&mut world, 200);
    assert_eq!((told(&world), world.serving()), (vec![2, 3, 2, 2], 9));
    assert_eq!(world.last.assignments[0].displaced.as_ref().map(|displaced| displaced.replicas), Some(1));
}

#[test]
fn a_fault_of_the_model_moves_nothing() {
    let mut world = World::new(8, four());
    world.start = SignedDuration::from_hours(100);
    run(&mut world, 2 * 3600);
    assert_eq!(told(&world), [2, 2, 2, 2]);
}

#[test]
fn policies_that_say_never_are_obeyed() {
    let mut world = settled(8);
    world.snapshot.request.failover.policy = MovePolicy::Never;
    world.kill(0);
    run(&mut world, 3600);
    assert_eq!(told(&world), [2, 2, 2, 2]);

    let mut world = settled(8);
    world.snapshot.request.failover.failback = Failback { policy: MovePolicy::Never, after_seconds: 600 };
    world.kill(0);
    run(&mut world, GRACE + 60);
    world.bring_back(0);
    run(&mut world, 3600);
    assert_eq!(told(&world), [0, 3, 3, 2]);
    assert_eq!(world.last.assignment("aws-1"), None, "nothing is owed any more");
}

#[test]
fn a_cluster_that_comes_and_goes_gets_new_replicas_only_where_no_other_can_take_them() {
    let mut world = settled(8);
    for _ in 0..4 {
        world.cut_off(0);
        run(&mut world, 60);
        world.bring_back(0);
        run(&mut world, 60);
    }
    world.snapshot.request.replicas = 12;
    run(&mut world, 60);
    assert_eq!(told(&world), [2, 4, 3, 3]);
    for name in ["azure-1", "gcp-1", "on-prem"] {
        full(named(&mut world.snapshot.candidates, name));
    }
    world.snapshot.request.replicas = 14;
    run(&mut world, 60);
    assert_eq!(told(&world), [4, 4, 3, 3], "better there than nowhere");
}

#[test]
fn failovers_are_news_once() {
    let mut world = settled(8);
    world.kill(0);
    let mut news = Vec::new();
    for _ in 0..200 {
        world.step(5);
        news.append(&mut world.last.news);
    }
    assert_eq!(news.len(), 1, "{news:?}");
    assert!(matches!(&news[0], News::FailedOver(what) if what.starts_with("2 of aws-1's replicas")), "{news:?}");
}

#[test]
fn replicas_go_back_although_only_so_many_places_may_be_used() {
    let mut world = World::new(4, four());
    world.snapshot.request.placement.spread =
        serde_json::from_value(json!([{"by": "provider", "maxPlaces": 2}])).expect("bounds");
    run(&mut world, 60);
    assert_eq!(told(&world), [2, 2, 0, 0]);
    world.kill(0);
    run(&mut world, GRACE + 60);
    assert_eq!(both(&world.last), [("aws-1", 0, 2), ("azure-1", 2, 0), ("gcp-1", 2, 0)]);
    world.bring_back(0);
    run(&mut world, 900);
    assert_eq!((told(&world), world.serving()), (vec![2, 2, 0, 0], 4), "one place is left before the other is taken");
}

#[test]
fn what_a_lost_cluster_need_not_have_any_more_is_owed_to_nobody() {
    let mut world = settled(8);
    world.kill(0);
    run(&mut world, GRACE - 10);
    world.snapshot.request.replicas = 6;
    world.step(20);
    assert_eq!(both(&world.last)[0], ("aws-1", 0, 2), "the others have six already");
    assert!(world.last.assignments[0].displaced.is_none(), "none was made elsewhere");
    world.bring_back(0);
    run(&mut world, 1200);
    assert_eq!((told(&world), world.serving()), (vec![0, 2, 2, 2], 6), "nothing goes back");
}

#[test]
fn what_returns_is_counted_once() {
    let mut world = settled(8);
    world.snapshot.request.failover.failback.after_seconds = 0;
    world.start = SignedDuration::from_mins(20);
    world.cut_off(0);
    run(&mut world, GRACE + 30);
    assert_eq!(told(&world), [2, 3, 3, 2]);
    world.bring_back(0);
    run(&mut world, 60);
    assert_eq!((told(&world), world.serving()), (vec![2, 2, 2, 2], 8), "two, not two and two again");
}
