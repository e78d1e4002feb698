//! How many replicas a load asks for.

use skyfleet_api::model_deployment::Autoscaling;

use super::{Model, at, load, spec};
use crate::autoscaling::{Question, decide};
use crate::load::Load;

#[test]
fn the_formula() {
    for (replicas, ready, reporting, in_flight, wanted, why) in [
        (4, 4, 4, 40.0, 4, "40 in flight and 0 queued on 4 replicas: 4 needed"),
        // Within 10 % nothing moves.
        (4, 4, 4, 44.0, 4, "44 in flight and 0 queued on 4 replicas: 4 needed"),
        (4, 4, 4, 44.1, 5, "44 in flight and 0 queued on 4 replicas: 5 needed"),
        (4, 4, 4, 36.0, 4, "36 in flight and 0 queued on 4 replicas: 4 needed"),
        (20, 20, 20, 181.0, 20, "181 in flight and 0 queued on 20 replicas: 20 needed"),
        (4, 4, 4, 80.0, 8, "80 in flight and 0 queued on 4 replicas: 8 needed"),
        // At most double, or four more; then the new ones must be ready.
        (
            4,
            4,
            4,
            500.0,
            8,
            "500 in flight and 0 queued on 4 replicas: more are wanted, and follow when these are ready",
        ),
        (
            1,
            1,
            1,
            500.0,
            5,
            "500 in flight and 0 queued on 1 replica: more are wanted, and follow when these are ready",
        ),
        (
            8,
            4,
            4,
            500.0,
            8,
            "500 in flight and 0 queued on 4 replicas: more are wanted, and follow when these are ready",
        ),
        (
            8,
            6,
            6,
            500.0,
            12,
            "500 in flight and 0 queued on 6 replicas: more are wanted, and follow when these are ready",
        ),
        // Those that are not ready count as idle: 4 busy ones of 8 are no reason for more.
        (8, 4, 4, 60.0, 8, "60 in flight and 0 queued on 4 replicas: 8 needed"),
        // So do those that do not report.
        (8, 8, 4, 60.0, 8, "60 in flight and 0 queued on 4 replicas: 8 needed"),
        (90, 90, 90, 5000.0, 100, "5000 in flight and 0 queued on 90 replicas: maxReplicas is 100"),
        (1, 1, 1, 1.0, 1, "1 in flight and 0 queued on 1 replica: minReplicas is 1, and enough"),
    ] {
        let mut model = Model { ready, ..Model::of(replicas) };
        let decided = model.pass(&[&load(0, reporting, in_flight, 0.0)]);
        assert_eq!((decided, model.why()), (wanted, why), "{replicas} replicas, {in_flight} in flight");
    }
}

#[test]
fn clusters_add_up_and_of_two_targets_the_higher_counts() {
    let mut model = Model::of(6);
    model.spec.target_queued = Some(5);
    let (aws, gcp) = (load(0, 4, 40.0, 30.0), load(-60, 2, 20.0, 15.0));
    assert_eq!(model.pass(&[&aws, &gcp]), 9);
    assert_eq!(model.why(), "60 in flight and 45 queued on 6 replicas: 9 needed");
    // With the one that is stale, 6 are 4.
    let stale = load(-61, 2, 200.0, 150.0);
    let mut model = Model { spec: model.spec, ..Model::of(6) };
    assert_eq!(model.pass(&[&load(0, 4, 40.0, 30.0), &stale]), 6);
}

#[test]
fn without_a_report_the_number_stays() {
    for loads in [vec![], vec![load(-61, 4, 0.0, 0.0)], vec![load(0, 0, 0.0, 0.0)]] {
        let mut model = Model::of(4);
        model.second = 0;
        assert_eq!(model.pass(&loads.iter().collect::<Vec<_>>()), 4);
        assert_eq!(model.why(), "no fresh report of the load, so the number stays");
        assert_eq!(model.status.as_ref().unwrap().fewer_since, None);
    }
    // A target that nobody reports lets none go; the other can still ask for more.
    let mut model = Model::of(4);
    model.spec.target_queued = Some(5);
    let only_in_flight = |in_flight| Load { queued: None, ..load(0, 4, in_flight, 0.0) };
    assert_eq!(model.pass(&[&only_in_flight(1.0)]), 4);
    assert_eq!(model.why(), "1 in flight on 4 replicas: not every target is reported, so none go");
    assert_eq!(model.pass(&[&only_in_flight(60.0)]), 6);
}

#[test]
fn the_first_number_is_that_of_the_spec_within_the_bounds() {
    for (start, wanted) in [(0, 1), (3, 3), (200, 100)] {
        let spec = spec();
        let question = Question {
            spec: &spec,
            status: None,
            start,
            ready: 0,
            loads: &[],
            placeable: None,
            requested: None,
            now: at(0),
        };
        assert_eq!(decide(&question).status.replicas, wanted);
    }
}

#[test]
fn changed_bounds_hold_at_once() {
    let mut model = Model::of(10);
    model.spec.max_replicas = 4;
    assert_eq!(model.with(100.0), 4);
    model.spec = Autoscaling { min_replicas: 50, ..spec() };
    model.placeable = Some(20);
    assert_eq!(model.with(100.0), 50);
    assert_eq!(model.why(), "100 in flight and 0 queued on 10 replicas: minReplicas is 50, and enough");
}

#[test]
fn fewer_must_have_been_enough_for_the_whole_window() {
    let mut model = Model::of(10);
    assert_eq!(model.with(50.0), 10);
    assert_eq!(
        model.why(),
        "50 in flight and 0 queued on 10 replicas: fewer are enough, and some go after 300 s of that"
    );
    assert_eq!(model.over(290, 20.0), 10);
    // What remains is the most that was wanted in it.
    assert_eq!(model.over(10, 20.0), 5);
    assert_eq!(model.over(290, 20.0), 5);
    assert_eq!(model.over(10, 20.0), 2);
    // A moment in which all are needed begins it anew.
    let mut model = Model::of(10);
    model.over(290, 20.0);
    assert_eq!(model.over(10, 95.0), 10);
    assert_eq!(model.status.as_ref().unwrap().fewer_since, None);
    assert_eq!(model.over(300, 20.0), 10);
    assert_eq!(model.over(10, 20.0), 2);
}

#[test]
fn replicas_that_do_not_report_are_as_busy_as_they_shall_be() {
    let mut model = Model::of(10);
    // Six of ten report a load for two: with the other four that makes six.
    for _ in 0..=30 {
        model.pass(&[&load(model.second, 6, 20.0, 0.0)]);
        model.second += 10;
    }
    assert_eq!(model.status.unwrap().replicas, 6);
}

#[test]
fn it_looks_again_when_something_may_go() {
    for (replicas, in_flight, idle, requested, wanted) in [
        (5, 20.0, 900, None, 300),
        (5, 0.0, 900, None, 300),
        (1, 0.0, 900, None, 900),
        (1, 0.0, 10, None, 300),
        (1, 0.0, 900, Some(-1), 900),
        (1, 0.0, 900, Some(100), 1000),
    ] {
        let mut model = Model { requested, ..Model::of(replicas) };
        model.spec = Autoscaling { min_replicas: 0, idle_seconds: idle, ..spec() };
        let answer = model.ask(&[&load(0, replicas, in_flight, 0.0)]);
        assert_eq!(answer.look_again, Some(at(wanted)), "{replicas} replicas, {requested:?}");
    }
}

#[test]
fn what_is_no_number_was_not_reported() {
    for in_flight in [f64::NAN, f64::INFINITY, -1.0] {
        let mut model = Model::of(4);
        assert_eq!(model.with(in_flight), 4);
        assert_eq!(model.why(), "0 queued on 4 replicas: no fresh report of the load, so the number stays");
    }
}

#[test]
fn no_more_than_the_fleet_can_hold() {
    let mut model = Model { placeable: Some(6), ..Model::of(4) };
    assert_eq!(model.with(80.0), 6);
    assert_eq!(model.why(), "80 in flight and 0 queued on 4 replicas: more are wanted, the fleet can hold no more");
    // What is there stays.
    model.placeable = Some(2);
    assert_eq!(model.with(80.0), 6);
    let mut none = Model { placeable: Some(0), requested: Some(0), ..Model::of(0) };
    none.spec.min_replicas = 0;
    assert_eq!(none.pass(&[]), 0);
    assert_eq!(none.why(), "wanted, but the fleet can hold none");
}

#[test]
fn a_load_that_sways_writes_nothing() {
    let mut model = Model::of(10);
    model.with(100.0);
    let before = model.status.clone();
    for step in 1..1000 {
        model.second += 10;
        let answer = model.ask(&[&load(model.second, 10, 100.0 + 9.0 * f64::from(step).sin(), 0.0)]);
        assert_eq!((Some(&answer.status), answer.look_again), (before.as_ref(), None));
        model.status = Some(answer.status);
    }
}
