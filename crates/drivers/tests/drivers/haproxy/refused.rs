//! What HAProxy refuses changes nothing.

use std::collections::BTreeMap;
use std::fs::{read_to_string, write};

use skyfleet_drivers::haproxy::{HAProxy, Settings};
use skyfleet_drivers::{Driver, DriverError, reconcile};
use skyfleet_gateway::config::Config;

use super::running::Running;
use crate::balancer::Balancer;
use crate::load::Load;
use crate::replica::Replica;
use crate::routes::{HOST, route, to};

/// The files of the driver with what they have.
fn files(settings: &Settings) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(&settings.folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), read_to_string(path).unwrap())).collect()
}

/// A change that needs a new process, and comes to nothing.
async fn is_refused(balancer: &Running, settings: Settings, config: &Config) -> String {
    let before = files(&settings);
    let driver = HAProxy::new(settings.clone());
    let error = reconcile(&driver, &driver.plan(config).wanted).await.unwrap_err();
    assert!(matches!(error, DriverError::Refused { .. }), "{error}");
    assert_eq!(files(&balancer.settings), before);
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_refused_leaves_all_as_it_was() {
    let balancer = Running::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let from = to(&[&a]);
    balancer.settle(&from).await;
    let mut further = from.clone();
    further.routes.push(route("further", "further.example.com", &[(&b, 1)]));
    let load = Load::start(balancer.address(), HOST, "/", 2);
    load.is_answered_by(&["a"]).await;

    // The test finds it.
    let own = balancer.own();
    let good = read_to_string(&own).unwrap();
    write(&own, format!("{good}nonsense here\n")).unwrap();
    let error = is_refused(&balancer, balancer.settings.clone(), &further).await;
    assert!(error.contains("unknown keyword 'nonsense'"), "{error}");
    // The test does not, and the reload fails.
    let blind = Settings { test: vec!["/bin/true".to_owned()], ..balancer.settings.clone() };
    let error = is_refused(&balancer, blind, &further).await;
    assert!(error.contains("the reload failed"), "{error}");

    load.is_answered_by(&["a"]).await;

    // What needs no new process is done all the same, but for the file.
    let driver = balancer.driver();
    let error = reconcile(&driver, &driver.plan(&to(&[&b])).wanted).await.unwrap_err();
    assert!(matches!(error, DriverError::Refused { .. }), "{error}");
    load.is_answered_by(&["b"]).await;

    write(&own, good).unwrap();
    balancer.settle(&further).await;
    load.is_answered_by(&["a"]).await;
    assert_eq!(crate::client::get(balancer.address(), "further.example.com", "/").await.server(), Some("b"));
    let outcome = load.stop().await;
    assert_eq!((outcome.failed, outcome.raced), (Vec::new(), 0));
}
