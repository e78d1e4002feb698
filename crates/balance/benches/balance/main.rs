//! What balancing brings, and what it costs. `make bench-balance` runs it; each figure is one line of JSON.
//!
//! What it brings comes from the simulation, which has no clock: the same seed gives the same figures, however fast the machine is. `ratio` is to
//! the peer, which is another algorithm in the same world. What a pick costs is measured here, on one thread.

mod picks;

use std::time::Duration;

use skyfleet_balance::pool::{Algorithm, Settings};
use skyfleet_balance::simulation::{Report, Scenario, run};
use skyfleet_balance::{Failure, ejection};

const SEEDS: u64 = 5;

fn main() {
    let usual = Settings::default();
    let heterogeneous = Scenario::heterogeneous(300.0);
    let loaded = Scenario::heterogeneous(1000.0);
    let within_1s = |report: &Report| report.within(Duration::from_secs(1));
    compare("published.within_1s", "share", &Scenario::published(), &usual, within_1s);
    compare("published.p99", "ms", &Scenario::published(), &usual, |report| report.percentile(0.99));
    compare("heterogeneous.p50", "ms", &heterogeneous, &usual, |report| report.percentile(0.5));
    compare("heterogeneous.p99", "ms", &heterogeneous, &usual, |report| report.percentile(0.99));
    compare("heterogeneous_loaded.p99", "ms", &loaded, &usual, |report| report.percentile(0.99));
    compare("streams.p95", "ms", &Scenario::streams(), &usual, |report| report.percentile(0.95));
    compare("streams.p99", "ms", &Scenario::streams(), &usual, |report| report.percentile(0.99));
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    let failures = |report: &Report| report.failures() as f64;
    let never = Settings { ejection: ejection::Settings { consecutive: 0, ..usual.ejection }, ..usual.clone() };
    let failing = Scenario::broken(Duration::from_millis(5), Failure::ServerError);
    let hanging = Scenario::broken(Duration::from_secs(10), Failure::Timeout);
    compare("failing.failures", "requests", &failing, &usual, failures);
    compare("failing_without_ejection.failures", "requests", &failing, &never, failures);
    compare("hanging.failures", "requests", &hanging, &usual, failures);
    for choices in [2, 3, 5, usize::MAX] {
        draws(&heterogeneous, choices);
    }
    for gateways in [1, 4, 32, 200] {
        herd(gateways);
    }
    picks::measure();
}

/// Least connection and least response time beside round robin: the means over some seeds.
fn compare(bench: &str, unit: &str, scenario: &Scenario, settings: &Settings, figure: impl Fn(&Report) -> f64) {
    let mean = |algorithm| {
        let settings = Settings { algorithm, ..settings.clone() };
        #[allow(clippy::cast_precision_loss, reason = "a few")]
        let seeds = SEEDS as f64;
        (1..=SEEDS).map(|seed| figure(&run(scenario, &settings, seed))).sum::<f64>() / seeds
    };
    let peer = mean(Algorithm::RoundRobin);
    for (name, algorithm) in
        [("least_connection", Algorithm::LeastConnection), ("least_response_time", Algorithm::LeastResponseTime)]
    {
        let value = mean(algorithm);
        let ratio = value / peer;
        print(&format!(
            r#"{{"bench":"balance/{bench}.{name}","value":{value:.4},"unit":"{unit}","peer":"round robin","peerValue":{peer:.4},"ratio":{ratio:.3}}}"#
        ));
    }
}

/// What it brings to compare more endpoints for each request, and what it costs: the least that one of ten equals got in ten seconds,
/// from two hundred gateways.
fn draws(heterogeneous: &Scenario, choices: usize) {
    let settings = Settings { algorithm: Algorithm::LeastResponseTime, choices, ..Settings::default() };
    let runs = |scenario| -> Vec<Report> { (1..=SEEDS).map(|seed| run(scenario, &settings, seed)).collect() };
    #[allow(clippy::cast_precision_loss, reason = "a few")]
    let p99 = runs(heterogeneous).iter().map(|report| report.percentile(0.99)).sum::<f64>() / SEEDS as f64;
    let least = |report: &Report| report.shares(0..10, Duration::from_secs(50), 10).0;
    let least = runs(&Scenario::newcomer(200)).iter().map(least).fold(f64::INFINITY, f64::min);
    let choices = choices.min(heterogeneous.replicas.len());
    for (bench, value, unit) in [("p99", p99, "ms"), ("least_in_10s", least, "fair shares")] {
        print(&format!(
            r#"{{"bench":"balance/choices.{bench}","value":{value:.3},"unit":"{unit}","peer":null,"ratio":null,"choices":{choices}}}"#
        ));
    }
}

/// The most that any of equal replicas got in one second, by its fair share, when one came that nobody knew.
fn herd(gateways: usize) {
    let settings = Settings { algorithm: Algorithm::LeastResponseTime, ..Settings::default() };
    let reports = (1..=SEEDS).map(|seed| run(&Scenario::newcomer(gateways), &settings, seed));
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for report in reports {
        let (_, old) = report.shares(0..9, Duration::from_secs(2), 1);
        let (_, newcomer) = report.shares(9..10, Duration::from_secs(20), 1);
        let (starved, _) = report.shares(0..10, Duration::from_secs(50), 10);
        (least, most) = (least.min(starved), most.max(old).max(newcomer));
    }
    for (bench, value) in [("most_in_1s", most), ("least_in_10s", least)] {
        print(&format!(
            r#"{{"bench":"balance/newcomer.{bench}","value":{value:.3},"unit":"fair shares","peer":null,"ratio":null,"gateways":{gateways}}}"#
        ));
    }
}

#[allow(clippy::print_stdout, reason = "the output of a benchmark")]
fn print(line: &str) {
    println!("{line}");
}
