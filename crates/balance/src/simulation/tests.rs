//! The figures that the project claims, with seeds.

use super::*;
use crate::ejection;
use crate::pool::Algorithm;

const SECOND: Duration = Duration::from_secs(1);

fn report(scenario: &Scenario, algorithm: Algorithm, seed: u64) -> Report {
    run(scenario, &Settings { algorithm, ..Settings::default() }, seed)
}

/// Round robin, least connection, least response time.
fn all(scenario: &Scenario, seed: u64, figure: impl Fn(&Report) -> f64) -> [f64; 3] {
    [Algorithm::RoundRobin, Algorithm::LeastConnection, Algorithm::LeastResponseTime]
        .map(|algorithm| figure(&report(scenario, algorithm, seed)))
}

#[test]
fn the_published_experiment_comes_out_as_published() {
    for seed in 1..=3 {
        let [turns, connections, times] = all(&Scenario::published(), seed, |report| report.within(SECOND));
        assert!((0.945..0.965).contains(&turns), "{turns}");
        assert!((0.99..0.999).contains(&connections), "{connections}");
        assert!(times >= 0.999, "{times}");
    }
}

#[test]
fn least_response_time_has_a_third_of_the_p99_of_round_robin() {
    for seed in 1..=3 {
        let [turns, connections, times] = all(&Scenario::heterogeneous(300.0), seed, |report| report.percentile(0.99));
        assert!(times * 3.0 < turns, "{times} {turns}");
        assert!(times < connections && connections < turns, "{times} {connections} {turns}");
    }
}

#[test]
fn streams_begin_sooner_though_they_hold_their_places() {
    for seed in 1..=3 {
        let [turns, connections, times] = all(&Scenario::streams(), seed, |report| report.percentile(0.95));
        assert!(times * 1.5 < connections.min(turns), "{times} {connections} {turns}");
    }
}

/// An endpoint that fails at once has nothing in flight, and is the best for who looks at that alone.
#[test]
fn what_fails_fast_is_no_black_hole() {
    let broken = Scenario::broken(Duration::from_millis(5), Failure::ServerError);
    let failures = |consecutive| {
        [Algorithm::RoundRobin, Algorithm::LeastConnection, Algorithm::LeastResponseTime].map(|algorithm| {
            let ejection = ejection::Settings { consecutive, ..ejection::Settings::default() };
            run(&broken, &Settings { algorithm, ejection, ..Settings::default() }, 1).failures()
        })
    };
    let [turns, connections, times] = failures(0);
    assert!(connections > turns * 3 && times < turns / 10, "{turns} {connections} {times}");
    let ejecting = failures(5);
    assert!(ejecting.iter().all(|failures| *failures < turns / 10), "{turns} {ejecting:?}");
}

#[test]
fn what_hangs_is_left_before_anything_has_failed() {
    let hanging = Scenario::broken(Duration::from_secs(10), Failure::Timeout);
    #[allow(clippy::cast_precision_loss)]
    let [turns, connections, times] = all(&hanging, 1, |report| report.failures() as f64);
    assert!(times * 5.0 < turns && times * 2.0 < connections, "{turns} {connections} {times}");
}

/// However many gateways there are, and however little each of them knows.
#[test]
fn none_of_equals_is_rushed_and_none_starves() {
    for gateways in [1, 4, 32, 200] {
        let report = report(&Scenario::newcomer(gateways), Algorithm::LeastResponseTime, 1);
        let old = report.shares(0..9, 2 * SECOND, 1);
        let (_, newcomer) = report.shares(9..10, 20 * SECOND, 1);
        assert!(old.1 < 1.75 && newcomer < 1.75, "{gateways}: {old:?} {newcomer}");
        let (least, most) = report.shares(0..10, 50 * SECOND, 10);
        assert!(least > 0.7 && most < 1.3, "{gateways}: {least} {most}");
    }
}

#[test]
fn a_seed_has_one_outcome() {
    let figures = || {
        let report = report(&Scenario::streams(), Algorithm::LeastResponseTime, 9);
        (report.answers(), report.percentile(0.5), report.percentile(1.0))
    };
    assert_eq!(figures(), figures());
}
