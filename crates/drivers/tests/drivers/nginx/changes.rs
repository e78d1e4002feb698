//! Changes that go wrong.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use skyfleet_drivers::nginx::Nginx;
use skyfleet_drivers::{Driver as _, DriverError, Retry, ShownState, reconcile};
use skyfleet_gateway::config::Config;
use tokio::time::timeout;

use super::Running;
use super::raw::to_server;
use crate::balancer::{Balancer as _, Restarts as _};
use crate::client::get;
use crate::conformance::none_failed;
use crate::load::Load;
use crate::replica::Replica;
use crate::routes::{HOST, route, to};

/// What is live, and all that lies beside it.
fn files(running: &Running) -> (PathBuf, Vec<String>) {
    let folder = &running.settings.folder;
    let names = fs::read_dir(folder.join("generations")).unwrap().map(|entry| entry.unwrap().file_name());
    (fs::read_link(folder.join("live")).unwrap(), names.map(|name| name.into_string().unwrap()).collect())
}

async fn fails(running: &Running, config: &Config) -> DriverError {
    let driver = running.driver();
    reconcile(&driver, &driver.plan(config).wanted).await.unwrap_err()
}

fn edit(running: &Running, from: &str, to: &str) {
    let path = &running.settings.configuration;
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nginx_refuses_changes_nothing() {
    // Whatever route there is, it does not go with this.
    let running = Running::with("proxy_temp_file_write_size 4k;", "").await;
    let replica = Replica::start("a");
    running.settle(&Config::default()).await;
    let before = files(&running);
    let error = fails(&running, &to(&[&replica])).await;
    assert!(matches!(error, DriverError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("proxy_temp_file_write_size"), "{error}");
    assert_eq!(error.retry(), Retry::AfterChange);
    assert_eq!(files(&running), before);
    assert_eq!(running.apply(&Config::default()).await.steps, 0);
    assert_eq!(get(running.address(), HOST, "/").await.body, "of the user");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_nginx_refuses_takes_no_other_with_it() {
    let running = Running::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let further = |replica| route("further", "further.example.com", &[(replica, 1)]);
    let with_further = |replica| Config { routes: vec![further(replica), to(&[replica]).routes.remove(0)] };
    running.settle(&with_further(&a)).await;
    let text = fs::read_to_string(running.live("http.conf")).unwrap();
    let name = text.lines().find(|line| line.ends_with("# ml/further")).unwrap().split(' ').nth(1).unwrap().to_owned();
    running.settle(&to(&[&a])).await;
    // The user takes the very name of one of ours.
    let own = format!("upstream {name} {{ server 127.0.0.1:1; }}\n    server {{");
    edit(&running, "server {", &own);
    running.reload().await;
    let load = Load::start(running.address(), HOST, "/", 2);
    let done = running.apply(&with_further(&b)).await;
    assert_eq!(done.after.pools["ml/further"][&b.address.to_string()].state, ShownState::Down);
    assert_eq!(running.apply(&with_further(&b)).await.steps, 0);
    load.is_answered_by(&["b"]).await;
    assert_eq!(get(running.address(), "further.example.com", "/").await.status, 503);
    edit(&running, &own, "server {");
    running.settle(&with_further(&a)).await;
    load.is_answered_by(&["a"]).await;
    assert_eq!(get(running.address(), "further.example.com", "/").await.server(), Some("a"));
    none_failed::<Running>("a route is refused", &load.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_of_the_user_is_said_to_be_theirs() {
    let running = Running::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    running.settle(&to(&[&a])).await;
    let before = files(&running);
    let absolute = format!("include {};", running.live("http*.conf").display());
    for (from, into, said) in [
        ("events {", "event {", "unknown directive \"event\""),
        ("include skyfleet/server*.conf;", "# gone", "does not include skyfleet/server.conf"),
        ("include skyfleet/http*.conf;", "# gone", "does not include skyfleet/http.conf"),
        ("include skyfleet/http*.conf;", &absolute, "with no path before"),
    ] {
        edit(&running, from, into);
        let error = fails(&running, &to(&[&b])).await;
        assert!(matches!(error, DriverError::BrokenWithout { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(files(&running), before);
        assert_eq!(get(running.address(), HOST, "/").await.server(), Some("a"));
        edit(&running, into, from);
    }
    running.settle(&to(&[&b])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_loaded_is_taken_back() {
    let mut running = Running::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    running.settle(&to(&[&a])).await;
    let live = files(&running).0;
    let mut settings = running.settings.clone();
    (settings.reload, settings.reload_timeout) = (vec!["true".to_owned()], Duration::from_millis(500));
    let driver = Nginx::new(settings);
    let error = reconcile(&driver, &driver.plan(&to(&[&b])).wanted).await.unwrap_err();
    assert!(matches!(error, DriverError::Refused { .. }), "{error}");
    assert_eq!(files(&running).0, live);
    running.kill().await;
    // Nobody is there to reload: what is live is what the next start has.
    let error = fails(&running, &to(&[&b])).await;
    assert!(matches!(error, DriverError::Unreachable { .. }) && error.to_string().contains("reload"), "{error}");
    running.start_again().await;
    assert_eq!(get(running.address(), HOST, "/").await.server(), Some("b"));
    assert_eq!(running.apply(&to(&[&b])).await.steps, 0);
}

/// The driver is gone at any moment, also within a step.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_goes_on() {
    let running = Running::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let both = [to(&[&a]), to(&[&b])];
    running.settle(&both[0]).await;
    let load = Load::start(running.address(), HOST, "/", 2);
    for round in 0..12 {
        let config = &both[round % 2];
        let driver = running.driver();
        let wanted = driver.plan(config).wanted;
        let moment = Duration::from_millis(4 * round as u64 * round as u64 / 3);
        let _ = timeout(moment, reconcile(&driver, &wanted)).await;
        running.settle(config).await;
        load.is_answered_by(&[["a", "b"][round % 2]]).await;
    }
    running.settle(&both[0]).await;
    assert_eq!(files(&running).1.len(), 1, "what is not needed is gone");
    none_failed::<Running>("the driver is killed", &load.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_found_takes_nobody_down() {
    let running = Running::start().await;
    let replica = Replica::start("a");
    let mut route = to_server("no-such-name.invalid", 80);
    route.backends.extend(to_server("localhost", replica.address.port()).backends);
    let config = Config { routes: vec![route] };
    running.settle(&config).await;
    assert_eq!(get(running.address(), HOST, "/").await.server(), Some("a"));
    let pool = &running.apply(&config).await.after.pools["ml/llama"];
    assert_eq!(pool["no-such-name.invalid:80"].state, ShownState::Down);
    assert_eq!(pool[&format!("localhost:{}", replica.address.port())].state, ShownState::Serving);
}
