mod number;
mod properties;
mod zero;

use jiff::Timestamp;
use skyfleet_api::model_deployment::{Autoscaling, AutoscalingStatus};

use crate::autoscaling::{Answer, Question, decide};
use crate::load::Load;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// Ten in flight for each replica, one to a hundred of them.
fn spec() -> Autoscaling {
    Autoscaling {
        min_replicas: 1,
        max_replicas: 100,
        target_in_flight: Some(10),
        target_queued: None,
        scale_down_seconds: 300,
        idle_seconds: 900,
    }
}

fn load(second: i64, reporting: i32, in_flight: f64, queued: f64) -> Load {
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
