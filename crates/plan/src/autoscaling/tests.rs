use jiff::Timestamp;
use skyfleet_api::model_deployment::{Autoscaling, AutoscalingStatus};

use super::{Answer, Question, decide};
use crate::load::Load;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// Ten in flight for each replica, one to a hundred of them.
pub(super) fn spec() -> Autoscaling {
    Autoscaling {
        min_replicas: 1,
        max_replicas: 100,
        target_in_flight: Some(10),
        target_queued: None,
        scale_down_seconds: 300,
        idle_seconds: 900,
    }
}

pub(super) fn load(second: i64, reporting: i32, in_flight: f64, queued: f64) -> Load {
    Load {
        observed: at(second),
        reporting,
        in_flight: Some(in_flight),
        queued: Some(queued),
        time_to_first_token: None,
        requests: Some(0.0),
        error_ratio: None,
    }
}

/// A model over time: what is decided is ready at once, unless a test says otherwise.
struct Model {
    spec: Autoscaling,
    status: Option<AutoscalingStatus>,
    ready: i32,
    placeable: Option<i32>,
    requested: Option<i64>,
    second: i64,
}

impl Model {
    fn of(replicas: i32) -> Self {
        let status = AutoscalingStatus { replicas, ..AutoscalingStatus::default() };
        Self { spec: spec(), status: Some(status), ready: replicas, placeable: None, requested: None, second: 0 }
    }

    fn ask(&self, loads: &[&Load]) -> Answer {
        decide(&Question {
            spec: &self.spec,
            status: self.status.as_ref(),
            start: 3,
            ready: self.ready,
            loads,
            placeable: self.placeable,
            requested: self.requested.map(at),
            now: at(self.second),
        })
    }

    /// Decides with these reports, and again, which must change nothing.
    fn pass(&mut self, loads: &[&Load]) -> i32 {
        let answer = self.ask(loads);
        self.status = Some(answer.status.clone());
        assert_eq!(self.ask(loads), answer, "a second pass at the same time");
        answer.status.replicas
    }

    /// Decides with so many in flight, reported by all that are ready.
    fn with(&mut self, in_flight: f64) -> i32 {
        self.pass(&[&load(self.second, self.ready, in_flight, 0.0)])
    }

    /// The same for a while, every ten seconds, each time ready at once.
    fn over(&mut self, seconds: i64, in_flight: f64) -> i32 {
        for _ in 0..seconds / 10 {
            self.second += 10;
            self.ready = self.with(in_flight);
        }
        self.ready
    }

    fn why(&self) -> &str {
        &self.status.as_ref().unwrap().why
    }
}

#[test]
fn the_formula() {
    for (replicas, ready, reporting, in_flight, wanted, why) in [
        (4, 4, 4, 40.0, 4, "40 in flight and 0 queued on 4 replicas: 4 needed"),
        // Within 10 % nothing moves.
        (4, 4, 4, 44.0, 4, "44 in flight and 0 queued on 4 replicas: 4 needed"),
        (4, 4, 4, 44.1, 5, "44 in flight and 0 queued on 4 replicas: 5 needed"),
        (4, 4, 4, 36.0, 4, "36 in flight and 0 queued on 4 replicas: 4 needed"),
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
fn the_last_comes_back_when_it_is_asked_on_its_way_out() {
    let mut model = Model { ready: 1, ..Model::of(0) };
    model.spec = Autoscaling { min_replicas: 0, target_in_flight: None, target_queued: Some(5), ..spec() };
    assert_eq!(model.with(0.0), 0);
    assert_eq!(model.with(1.0), 1);
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
