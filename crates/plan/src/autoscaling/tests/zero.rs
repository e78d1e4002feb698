//! To zero and back.

use skyfleet_api::model_deployment::Autoscaling;

use super::{Model, load, spec};
use crate::load::Load;

#[test]
fn without_a_window_they_go_at_once_but_for_the_last() {
    let mut model = Model::of(10);
    model.spec = Autoscaling { min_replicas: 0, scale_down_seconds: 0, ..spec() };
    assert_eq!(model.with(20.0), 2);
    model.ready = 2;
    assert_eq!(model.with(0.0), 1);
    assert_eq!(model.over(890, 0.0), 1);
    assert_eq!(model.over(10, 0.0), 0);
}

#[test]
fn a_shortened_window_does_not_make_the_past_idle() {
    let mut model = Model::of(10);
    model.spec = Autoscaling { min_replicas: 0, scale_down_seconds: 86_400, ..spec() };
    model.over(5000, 50.0);
    model.spec.scale_down_seconds = 0;
    assert_eq!(model.over(10, 0.0), 1);
    assert_eq!(model.over(890, 0.0), 1);
    assert_eq!(model.over(10, 0.0), 0);
}

#[test]
fn the_last_goes_after_idleness_and_comes_back_with_a_request() {
    let mut model = Model::of(1);
    model.spec.min_replicas = 0;
    model.with(0.0);
    assert_eq!(model.why(), "0 in flight and 0 queued on 1 replica: nothing to do, the last goes after 900 s of that");
    assert_eq!(model.over(890, 0.0), 1);
    assert_eq!(model.over(10, 0.0), 0);
    assert_eq!(model.why(), "0 in flight and 0 queued on 1 replica: idle, until a request comes");
    let before = model.status.clone();
    for _ in 0..100 {
        model.second += 3600;
        let answer = model.ask(&[]);
        assert_eq!((Some(answer.status), answer.look_again), (before.clone(), None));
    }
    model.requested = Some(model.second - 901);
    assert_eq!(model.pass(&[]), 0, "that one was given up");
    model.requested = Some(model.second - 2);
    assert_eq!(model.pass(&[]), 1);
    assert_eq!(model.why(), "requested");
    // However long it takes to start.
    model.second += 5000;
    assert_eq!(model.pass(&[]), 1);
    assert_eq!(model.why(), "no fresh report of the load, so the number stays");
    model.ready = 1;
    model.with(0.0);
    assert_eq!(model.over(890, 0.0), 1);
    assert_eq!(model.over(10, 0.0), 0);
}

#[test]
fn idleness_counts_from_when_all_went_idle() {
    let mut model = Model::of(5);
    model.spec.min_replicas = 0;
    model.with(0.0);
    assert_eq!(model.over(290, 0.0), 5);
    assert_eq!(model.over(10, 0.0), 1);
    assert_eq!(model.over(590, 0.0), 1);
    assert_eq!(model.over(10, 0.0), 0);
}

#[test]
fn a_request_while_the_last_was_idle_keeps_it() {
    let mut model = Model::of(1);
    model.spec.min_replicas = 0;
    model.with(0.0);
    model.requested = Some(500);
    assert_eq!(model.over(1390, 0.0), 1);
    assert_eq!(model.over(10, 0.0), 0);
}

#[test]
fn only_what_is_surely_idle_goes_to_zero() {
    type Change = fn(&mut Load);
    let changes: [(&str, Change, i32); 6] = [
        ("nothing", |_| {}, 0),
        ("its queue is not reported", |load| load.queued = None, 0),
        ("something is in flight", |load| load.in_flight = Some(0.1), 1),
        ("something is queued", |load| load.queued = Some(1.0), 1),
        ("something was answered", |load| load.requests = Some(1.0), 1),
        ("one does not report", |load| load.reporting = 1, 1),
    ];
    for (what, change, wanted) in changes {
        let mut model = Model::of(2);
        model.spec.min_replicas = 0;
        for _ in 0..200 {
            let mut load = load(model.second, model.ready, 0.0, 0.0);
            change(&mut load);
            model.pass(&[&load]);
            model.second += 10;
        }
        assert_eq!(model.status.unwrap().replicas, wanted, "{what}");
    }
}

#[test]
fn an_empty_queue_is_not_idleness_where_requests_in_flight_are_not_counted() {
    let mut model = Model::of(2);
    model.spec = Autoscaling { min_replicas: 0, target_in_flight: None, target_queued: Some(5), ..spec() };
    for _ in 0..200 {
        let counts = load(model.second, 1, 0.0, 0.0);
        let does_not = Load { in_flight: None, ..counts.clone() };
        model.pass(&[&counts, &does_not]);
        model.second += 10;
    }
    assert_eq!(model.status.unwrap().replicas, 1);
}

#[test]
fn the_last_comes_back_when_it_is_asked_on_its_way_out() {
    let mut model = Model { ready: 1, ..Model::of(0) };
    model.spec = Autoscaling { min_replicas: 0, target_in_flight: None, target_queued: Some(5), ..spec() };
    assert_eq!(model.with(0.0), 0);
    assert_eq!(model.with(1.0), 1);
}
