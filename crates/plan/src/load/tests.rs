use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use skyfleet_api::model_deployment::Runtime;

use super::{History, Load, Reading, Report, Unreadable};
use crate::workload::metrics;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a small number of seconds")
}

fn reading(runtime: &Value) -> Reading {
    let runtime: Runtime = serde_json::from_value(runtime.clone()).expect("a Runtime");
    Reading::new(&metrics(&runtime).expect("there is something to look for")).expect("good names")
}

fn simple() -> Reading {
    let names = json!({"inFlight": "f", "queued": "q", "requests": "r", "errors": "e", "timeToFirstToken": "t"});
    reading(&json!({"image": "i", "port": 80, "metrics": names}))
}

fn reports(reading: &Reading, bodies: &[(&str, &str)]) -> BTreeMap<String, Report> {
    let read = |body: &str| Report::read(body.as_bytes(), reading).expect("a good body");
    bodies.iter().map(|(pod, body)| ((*pod).to_owned(), read(body))).collect()
}

/// The load after reports 15 s apart.
fn loads(reading: &Reading, rounds: &[&[(&str, &str)]]) -> Vec<Option<Load>> {
    let mut history = History::default();
    (0..).zip(rounds).map(|(round, bodies)| history.observe(reports(reading, bodies), at(round * 15))).collect()
}

fn last(reading: &Reading, rounds: &[&[(&str, &str)]]) -> Load {
    loads(reading, rounds).pop().flatten().expect("somebody reported")
}

/// What the program says once it had its first requests, after a time in which it had none.
fn first_load(runtime: &Value, body: &str) -> Load {
    last(&reading(runtime), &[&[("a", "")], &[("a", body)]])
}

#[test]
fn each_presets_own_metrics_are_understood() {
    let load = Load {
        observed: at(15),
        reporting: 1,
        in_flight: None,
        queued: None,
        time_to_first_token: None,
        requests: None,
        error_ratio: None,
    };
    let vllm = first_load(&json!({"preset": "vllm"}), include_str!("bodies/vllm.txt"));
    let expected = Load {
        in_flight: Some(11.0),
        queued: Some(2.0),
        time_to_first_token: Some(0.25),
        requests: Some(50.0),
        error_ratio: Some(0.04),
        ..load.clone()
    };
    assert_eq!(vllm, expected);
    let tei = first_load(&json!({"preset": "tei"}), include_str!("bodies/tei.txt"));
    let expected = Load {
        queued: Some(3.0),
        time_to_first_token: Some(0.05),
        requests: Some(40.0),
        error_ratio: Some(0.15),
        ..load.clone()
    };
    assert_eq!(tei, expected);
    let triton = first_load(&json!({"preset": "triton"}), include_str!("bodies/triton.txt"));
    let expected = Load {
        queued: Some(5.0),
        time_to_first_token: Some(0.25),
        requests: Some(100.0),
        error_ratio: Some(0.04),
        ..load.clone()
    };
    assert_eq!(triton, expected);
    let llama = first_load(&json!({"preset": "llamaCpp"}), include_str!("bodies/llama_cpp.txt"));
    assert_eq!(llama, Load { in_flight: Some(4.0), queued: Some(46.0), ..load });
}

#[test]
fn openmetrics_of_a_custom_server_are_understood() {
    let names = json!({
        "inFlight": "inference_requests_in_flight",
        "queued": "inference_requests_queued",
        "requests": "inference_requests",
        "errors": "inference_request_errors_total",
        "timeToFirstToken": "inference_request_duration_seconds",
    });
    let runtime = json!({"image": "i", "port": 8080, "metrics": names});
    let load = first_load(&runtime, include_str!("bodies/inference_server.txt"));
    assert_eq!((load.in_flight, load.queued, load.requests), (Some(1.0), Some(7.0), Some(20.0)));
    assert_eq!((load.time_to_first_token, load.error_ratio), (Some(0.2), Some(0.1)));
}

#[test]
fn gauges_are_added_up_over_label_sets_and_pods_and_need_no_report_before() {
    let bodies: &[(&str, &str)] = &[
        ("a", "f{m=\"1\"} 2\nf{m=\"2\"} 3\nq 0\n"),
        ("b", "f 4\nq NaN\n"),
        // Its program shows no gauge before the first request.
        ("c", "r 0\n"),
    ];
    let load = last(&simple(), &[bodies]);
    assert_eq!((load.reporting, load.in_flight, load.queued), (3, Some(9.0), Some(0.0)));
    assert_eq!((load.requests, load.error_ratio, load.time_to_first_token), (None, None, None));
    let load = last(&simple(), &[&[("a", "q -3\nf +Inf\n")]]);
    assert_eq!((load.in_flight, load.queued), (None, None), "what can be no count of requests is not there");
}

#[test]
fn counters_are_compared_within_each_pod() {
    let load = last(
        &simple(),
        &[
            &[("a", "r 100\ne 10\nt_sum 50\nt_count 100"), ("b", "r 5\n")],
            &[
                ("a", "r_total 999\nr 110\ne 11\nt_sum 52\nt_count 110"),
                ("b", "r 35\nt_sum 6\nt_count 10"),
                // New: what it counted may be from long ago.
                ("c", "r 1000\ne 1000\nt_sum 1000\nt_count 10"),
            ],
        ],
    );
    assert_eq!((load.reporting, load.requests), (3, Some(40.0)));
    assert_eq!(load.error_ratio, Some(1.0 / 40.0), "a pod that shows no errors has none");
    assert_eq!(load.time_to_first_token, Some(8.0 / 20.0));
}

#[test]
fn a_counter_that_went_back_counts_from_zero() {
    let before = "r{m=\"1\"} 100\nr{m=\"2\"} 7\ne 10\nt_sum 50\nt_count 100";
    let after = "r{m=\"1\"} 4\nr{m=\"2\"} 8\ne 1\nt_sum 3\nt_count 4";
    let load = last(&simple(), &[&[("a", before)], &[("a", after)]]);
    assert_eq!((load.requests, load.error_ratio), (Some(5.0), Some(0.2)));
    assert_eq!(load.time_to_first_token, Some(0.75));
}

#[test]
fn nothing_asked_nothing_reported_and_nothing_done_are_told_apart() {
    let all = loads(&simple(), &[&[("a", "r 5\ne 0\n")], &[], &[("a", "r 5\ne 0\n")], &[("a", "r 15\ne 0\n")]]);
    assert_eq!(all[1], None, "nobody reported");
    let idle = all[2].clone().expect("a report");
    assert_eq!((idle.requests, idle.error_ratio), (Some(0.0), None), "across a round without a report");
    let good = all[3].clone().expect("a report");
    assert_eq!((good.requests, good.error_ratio), (Some(10.0), Some(0.0)));
    let only = reading(&json!({"image": "i", "port": 80, "metrics": {"requests": "r"}}));
    let load = last(&only, &[&[("a", "r 1\ne 1\n")], &[("a", "r 2\ne 2\n")]]);
    assert_eq!((load.requests, load.error_ratio), (Some(1.0), None), "nobody asked for errors");
}

#[test]
fn a_report_that_is_too_old_is_none_to_compare_with() {
    let mut history = History::default();
    let reading = simple();
    let mut observe = |body, second| history.observe(reports(&reading, &[("a", body)]), at(second));
    observe("r 1\n", 0);
    assert_eq!(observe("r 5\n", 60).and_then(|load| load.requests), Some(4.0));
    assert_eq!(observe("r 9\n", 121).and_then(|load| load.requests), None);
}

#[test]
fn labels_choose_and_a_series_counts_once() {
    let names = json!({"requests": "r", "errors": "r{code=\"500\"} + r{code=\"500\",by=\"me\"} + e{code=\"503\"}"});
    let reading = reading(&json!({"image": "i", "port": 80, "metrics": names}));
    let body = "r{code=\"200\"} 16\nr{by=\"me\",code=\"500\"} 3\ne{code=\"503\"} 1\ne{code=\"504\"} 5\n";
    let load = last(&reading, &[&[("a", "")], &[("a", body)]]);
    assert_eq!((load.requests, load.error_ratio), (Some(19.0), Some(4.0 / 19.0)));
}

#[test]
fn a_body_that_is_none_is_refused() {
    let reading = simple();
    let read = |body: &[u8]| Report::read(body, &reading);
    assert_eq!(read(b"r 1\nf \xff"), Err(Unreadable::NotText));
    assert_eq!(read(b"<!doctype html>"), Err(Unreadable::NoSample(1)));
    assert_eq!(read(b"r many"), Err(Unreadable::Value(1)));
    let series: Vec<String> = (0..1001).map(|label| format!("r{{id=\"{label}\"}} 1\n")).collect();
    assert_eq!(read(series.concat().as_bytes()), Err(Unreadable::TooManySeries(1000)));
    assert_eq!(read(b"other 1\n").map(|report| report.says_nothing()), Ok(true));
    assert_eq!(read(b"r 1\n").map(|report| report.says_nothing()), Ok(false));
}

#[test]
fn sums_are_scaled_to_those_that_are_ready() {
    let load =
        last(&simple(), &[&[("a", "f 4\nr 1\n"), ("b", "f 2\nr 1\n")], &[("a", "f 4\nr 4\n"), ("b", "f 2\nr 4\n")]]);
    let scaled = load.scaled_to(3);
    assert_eq!((scaled.in_flight, scaled.requests, scaled.queued), (Some(9.0), Some(9.0), None));
    assert_eq!(scaled.reporting, 2);
    assert_eq!(load.scaled_to(1), load);
}

proptest! {
    #[test]
    fn no_body_is_too_odd(body in "([a-z{}\"\\\\=,# +0-9.é\\n]|r |r\\{a=\"b\"\\} |t_sum 1|# EOF){0,80}") {
        let mut history = History::default();
        let reading = simple();
        if let Ok(report) = Report::read(body.as_bytes(), &reading) {
            let load = history.observe(BTreeMap::from([("a".to_owned(), report)]), at(0)).expect("a report");
            prop_assert!(load.in_flight.is_none_or(f64::is_finite));
        }
    }

    #[test]
    fn however_counters_move_figures_stay_sane(rounds in prop::collection::vec((0_u32..50, 0_u32..50, 0_u32..50), 2..6)) {
        let reading = simple();
        let mut history = History::default();
        for (second, (requests, errors, count)) in (0..).zip(rounds) {
            let body = format!("r {requests}\ne {errors}\nt_sum {count}\nt_count {count}\n");
            let load = history.observe(reports(&reading, &[("a", &body)]), at(second)).expect("a report");
            prop_assert!(load.requests.is_none_or(|requests| requests >= 0.0));
            prop_assert!(load.error_ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
            prop_assert!(load.time_to_first_token.is_none_or(|mean| (mean - 1.0).abs() < 1e-9));
        }
    }
}
