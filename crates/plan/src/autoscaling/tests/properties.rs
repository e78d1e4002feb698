//! What holds for every answer.

use jiff::Timestamp;
use proptest::prelude::*;
use skyfleet_api::model_deployment::{Autoscaling, AutoscalingStatus};

use super::{at, load};
use crate::autoscaling::{Answer, Question, decide};
use crate::load::Load;

fn spec() -> impl Strategy<Value = Autoscaling> {
    let targets = prop_oneof![
        (1..20).prop_map(|target| (Some(target), None)),
        (1..20).prop_map(|target| (None, Some(target))),
        (1..20, 1..20).prop_map(|(one, other)| (Some(one), Some(other))),
    ];
    (0..5i32, 0..60i32, targets, 0..600, 10..1200).prop_map(|(min, more, targets, scale_down, idle)| Autoscaling {
        min_replicas: min,
        max_replicas: (min + more).max(1),
        target_in_flight: targets.0,
        target_queued: targets.1,
        scale_down_seconds: scale_down,
        idle_seconds: idle,
    })
}

/// What a moment brings: seconds since the last, in flight, queued, who reports, who is ready.
#[derive(Clone, Debug)]
struct Moment {
    seconds: i64,
    in_flight: f64,
    queued: f64,
    silent: i32,
    starting: i32,
    age: i64,
    placeable: Option<i32>,
    requested: bool,
}

fn moment() -> impl Strategy<Value = Moment> {
    let load = (prop_oneof![Just(0.0), 0.0..500.0], prop_oneof![2 => Just(0.0), 1 => 0.0..200.0]);
    let replicas = (prop_oneof![4 => Just(0), 1 => 0..10], prop_oneof![3 => Just(0), 1 => 0..10]);
    let rest = (prop_oneof![9 => 0..60i64, 1 => 61..99i64], prop::option::weighted(0.2, 0..60), any::<bool>());
    (1..120i64, load, replicas, rest).prop_map(|(seconds, load, replicas, (age, placeable, requested))| Moment {
        seconds,
        in_flight: load.0,
        queued: load.1,
        silent: replicas.0,
        starting: replicas.1,
        age,
        placeable,
        requested,
    })
}

/// A question at `second`, with `replicas` decided so far.
fn ask(
    spec: &Autoscaling,
    status: Option<&AutoscalingStatus>,
    moment: &Moment,
    second: i64,
    last: Option<i64>,
) -> Answer {
    let ready = (status.map_or(3, |status| status.replicas) - moment.starting).max(0);
    let reporting = (ready - moment.silent).max(0);
    let first = load(second - moment.age, reporting - reporting / 2, moment.in_flight / 2.0, moment.queued);
    let other = load(second - moment.age, reporting / 2, moment.in_flight / 2.0, 0.0);
    let loads: [&Load; 2] = [&first, &other];
    let requested = last.map(at);
    decide(&Question {
        spec,
        status,
        start: 3,
        ready,
        loads: &loads,
        placeable: moment.placeable,
        requested,
        now: at(second),
    })
}

/// As an API server keeps it.
fn kept(status: &AutoscalingStatus) -> AutoscalingStatus {
    serde_json::from_str(&serde_json::to_string(status).unwrap()).unwrap()
}

fn load_or_none(most: f64) -> impl Strategy<Value = f64> {
    prop_oneof![1 => Just(0.0), 4 => 0.0..most]
}

proptest! {
    #[test]
    fn whatever_comes(spec in spec(), other in spec(), moments in prop::collection::vec(moment(), 1..60)) {
        let mut status: Option<AutoscalingStatus> = None;
        let (mut second, mut requested) = (0, None);
        for (index, moment) in moments.iter().enumerate() {
            let spec = if index < 30 { &spec } else { &other };
            second += moment.seconds;
            requested = if moment.requested { Some(second) } else { requested };
            let answer = ask(spec, status.as_ref(), moment, second, requested);
            let (before, now) = (status.as_ref().map_or(3, |status| status.replicas), answer.status.replicas);
            prop_assert!((spec.min_replicas..=spec.max_replicas).contains(&now));
            if now > before.max(spec.min_replicas) {
                prop_assert!(moment.placeable.is_none_or(|most| now <= most), "{now} of {:?}", moment.placeable);
                prop_assert!(now <= (2 * before).max(before + 4));
            }
            prop_assert!(answer.look_again.is_none_or(|time| time > at(second)));
            status = Some(kept(&answer.status));
            // The same moment once more: what is ready has not changed yet.
            let starting = moment.starting + now - before;
            let unchanged = Moment { starting, ..moment.clone() };
            if before - moment.starting >= 0 {
                let again = ask(spec, status.as_ref(), &unchanged, second, requested);
                prop_assert_eq!(again, answer);
            }
        }
    }

    #[test]
    fn more_load_never_means_fewer(
        spec in spec(),
        past in prop::collection::vec(moment(), 0..10),
        moment in moment(),
        more in (0.0..200.0, 0.0..200.0),
    ) {
        let mut status: Option<AutoscalingStatus> = None;
        let mut second = 0;
        for moment in &past {
            second += moment.seconds;
            status = Some(ask(&spec, status.as_ref(), moment, second, None).status);
        }
        second += moment.seconds;
        let greater = Moment { in_flight: moment.in_flight + more.0, queued: moment.queued + more.1, ..moment.clone() };
        let less = ask(&spec, status.as_ref(), &moment, second, None).status.replicas;
        let more = ask(&spec, status.as_ref(), &greater, second, None).status.replicas;
        prop_assert!(less <= more, "{less} then {more}");
    }

    /// In a window in which so many were wanted at some time, no fewer remain.
    #[test]
    fn none_goes_before_its_time(spec in spec(), moments in prop::collection::vec(moment(), 1..80)) {
        let mut status: Option<AutoscalingStatus> = None;
        let mut second = 0;
        let mut wanted: Vec<(i64, f64)> = vec![];
        for moment in &moments {
            second += moment.seconds;
            let before = status.as_ref().map_or(3, |status| status.replicas);
            let reported = moment.age <= 60 && before - moment.starting - moment.silent > 0;
            let needs = [(spec.target_in_flight, moment.in_flight), (spec.target_queued, moment.queued)];
            let needs = needs.iter().filter_map(|(target, load)| Some(load / f64::from((*target)?)));
            wanted.push((second, if reported { needs.fold(0.0, f64::max) } else { f64::from(before) }));
            let after = ask(&spec, status.as_ref(), moment, second, None).status;
            if after.replicas < before.min(spec.max_replicas) {
                let window = second - i64::from(spec.scale_down_seconds);
                let most = wanted.iter().filter(|(second, _)| *second >= window).map(|(_, wanted)| *wanted);
                let most = most.fold(0.0, f64::max);
                let most = most.min(f64::from(spec.max_replicas));
                prop_assert!(f64::from(after.replicas) >= most, "{} of {most}", after.replicas);
                prop_assert!(wanted.iter().any(|(second, _)| *second <= window), "it has been watched for a window");
            }
            if after.replicas == 0 && before > 0 {
                let window = second - i64::from(spec.idle_seconds);
                prop_assert!(wanted.iter().all(|(second, wanted)| *second < window || *wanted <= 0.0));
            }
            status = Some(after);
        }
    }

    #[test]
    fn a_constant_load_settles(
        spec in spec(),
        start in 0..60,
        in_flight in load_or_none(700.0),
        queued in load_or_none(300.0),
        startup in 0..200i64,
    ) {
        let mut status = AutoscalingStatus { replicas: start, ..AutoscalingStatus::default() };
        let (mut second, mut ready, mut started) = (0, start.max(1), vec![]);
        let (mut changes, mut last_change): (Vec<i32>, Timestamp) = (vec![], at(0));
        let span = 20 * startup.max(10) + 3 * i64::from(spec.scale_down_seconds) + i64::from(spec.idle_seconds) + 100;
        while second < 2 * span {
            second += 10;
            let all = load(second, ready, in_flight, queued);
            let question = Question {
                spec: &spec,
                status: Some(&status),
                start: 0,
                ready,
                loads: &[&all],
                placeable: None,
                requested: None,
                now: at(second),
            };
            let answer = decide(&question);
            if answer.status.replicas != status.replicas {
                changes.push(answer.status.replicas - status.replicas);
                started.push((second + startup, answer.status.replicas));
            }
            if answer.status != status {
                last_change = at(second);
            }
            status = answer.status;
            ready = ready.min(status.replicas);
            for (_, replicas) in started.extract_if(.., |(when, _)| *when <= second) {
                ready = replicas.min(status.replicas);
            }
        }
        prop_assert!(last_change <= at(span), "settled {} after {span}", last_change.duration_since(at(0)));
        // Up, or down, but not to and fro. (The bounds may first move it the other way.)
        let turns = changes.windows(2).skip(1).filter(|pair| pair[0].signum() != pair[1].signum()).count();
        prop_assert!(turns == 0, "{changes:?}");
        // No more than 10 % off, as far as the bounds and whole replicas let it be so.
        let needs = [(spec.target_in_flight, in_flight), (spec.target_queued, queued)];
        let need = needs.iter().filter_map(|(target, load)| Some(load / f64::from((*target)?))).fold(0.0, f64::max);
        let replicas = f64::from(status.replicas);
        prop_assert!(need <= replicas * 1.1 || status.replicas == spec.max_replicas, "{need} on {replicas}");
        let most = (need / 0.9).ceil().max(1.0);
        prop_assert!(replicas <= most || status.replicas == spec.min_replicas, "{need} on {replicas}");
        prop_assert!(status.replicas > 0 || in_flight + queued <= 0.0);
    }
}
