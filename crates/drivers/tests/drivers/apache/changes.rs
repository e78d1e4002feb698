//! What a change costs, and what a bad one does.

use std::time::Duration;

use http_body_util::BodyExt as _;
use skyfleet_drivers::apache::{Apache, Settings};
use skyfleet_drivers::{Driver, DriverError, Retry, ShownState, reconcile};
use skyfleet_gateway::config::{Config, HealthConfig, TlsSettings, UpstreamTls};
use tokio::time::{Instant, sleep};

use super::server::Server;
use crate::balancer::{Balancer, LONG, Restarts};
use crate::client::{Asked, Client, PAUSE, get};
use crate::load::Load;
use crate::replica::{PIECES, Replica};
use crate::routes::{HOST, route, to};

/// While members only come, change and go, not even a kept connection ends: Apache does not read its files again.
#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go_without_a_restart() {
    let server = Server::start().await;
    let [a, b, c] = ["a", "b", "c"].map(Replica::start);
    server.settle(&to(&[&a])).await;
    let (load, before) = (Load::start(server.address(), HOST, "/", 4), server.restarts());
    for _ in 0..3 {
        server.settle(&to(&[&a, &b])).await;
        load.is_answered_by(&["a", "b"]).await;
        server.settle(&Config { routes: vec![route("llama", HOST, &[(&b, 5), (&c, 1)])] }).await;
        load.is_answered_by(&["b", "c"]).await;
        server.settle(&to(&[&a])).await;
        load.is_answered_by(&["a"]).await;
    }
    let outcome = load.stop().await;
    assert_eq!((outcome.failed, outcome.raced), (vec![], 0));
    assert_eq!(server.restarts(), before);
}

/// The driver, and then Apache too, ends after any step of a change of members; not even a kept connection ends by the driver alone.
#[tokio::test(flavor = "multi_thread")]
async fn members_change_whenever_somebody_ends() {
    let mut server = Server::start().await;
    let [a, b, c] = ["a", "b", "c"].map(Replica::start);
    let [from, to] =
        [[(&a, 1), (&b, 1)], [(&b, 2), (&c, 1)]].map(|to| Config { routes: vec![route("llama", HOST, &to)] });
    server.settle(&from).await;
    let (load, restarts) = (Load::start(server.address(), HOST, "/", 4), server.restarts());
    let mut steps = 0;
    for count in 0.. {
        // Each time there is one step less: members that have gone are still there.
        let all = first_steps(&server, &to, count).await;
        steps = steps.max(all);
        server.settle(&to).await;
        load.is_answered_by(&["b", "c"]).await;
        server.settle(&from).await;
        load.is_answered_by(&["a", "b"]).await;
        if count >= all {
            break;
        }
    }
    let outcome = load.stop().await;
    assert_eq!((outcome.failed, outcome.raced, server.restarts()), (vec![], 0, restarts));
    assert!(steps >= 4, "{steps} steps");
    for count in 0..=steps {
        first_steps(&server, &to, count).await;
        server.kill().await;
        server.start_again().await;
        assert!(get(server.address(), HOST, "/").await.server().is_some(), "after {count} of {steps} steps");
        server.settle(&to).await;
        server.kill().await;
        server.start_again().await;
        let load = Load::start(server.address(), HOST, "/", 2);
        load.is_answered_by(&["b", "c"]).await;
        assert_eq!(load.stop().await.failed, Vec::<String>::new());
        server.settle(&from).await;
    }
}

async fn first_steps(server: &Server, to: &Config, count: usize) -> usize {
    let driver = server.driver();
    let wanted = driver.plan(to).wanted;
    let steps = driver.steps(&driver.read().await.unwrap(), &wanted);
    for step in steps.iter().take(count) {
        driver.perform(step).await.unwrap();
    }
    steps.len()
}

/// A stream goes on although Apache reads its files again.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_lets_streams_end() {
    let (server, replica) = (Server::start().await, Replica::start("a"));
    server.settle(&to(&[&replica])).await;
    let restarts = server.restarts();
    let asked = Asked { host: HOST, path: "/stream", header: None };
    let mut stream = Client::new(server.address()).send(asked).await.unwrap().into_body();
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    server.settle(&Config { routes: vec![route("other", HOST, &[(&replica, 1)])] }).await;
    assert_eq!(server.restarts(), restarts + 1);
    let rest = stream.collect().await.expect("the rest of the stream").to_bytes();
    let text = String::from_utf8([first, rest].concat()).unwrap();
    assert_eq!(text.matches("data: ").count(), PIECES, "{text}");
}

/// Members that have gone take places until Apache reads its files again, which it does by itself once all are taken.
#[tokio::test(flavor = "multi_thread")]
async fn places_that_are_used_up_are_made_anew() {
    let server = Server::start().await;
    let all: Vec<_> = (0..20).map(|_| Replica::start("one")).collect();
    server.settle(&to(&[&all[0]])).await;
    let before = server.restarts();
    for replica in &all[1..] {
        server.settle(&to(&[replica])).await;
    }
    assert_eq!(server.restarts(), before + 1);
    let last = all[19].address.to_string();
    let done = server.apply(&to(&[&all[19]])).await;
    assert_eq!(done.after.pools["ml/llama"].keys().collect::<Vec<_>>(), [&last]);
    assert_eq!(get(server.address(), HOST, "/").await.server(), Some("one"));
}

/// What Apache refuses changes nothing, neither now nor when it starts again, and what comes after it is taken.
#[tokio::test(flavor = "multi_thread")]
async fn what_apache_refuses_changes_nothing() {
    let mut server = Server::start().await;
    let replica = Replica::start("a");
    server.settle(&to(&[&replica])).await;
    // Something that only Apache finds: an authority of the system that is not there.
    let driver = Apache::new(Settings { authorities: "/nowhere/ca.pem".into(), ..server.settings() });
    let mut bad = to(&[&replica]);
    bad.routes[0].tls = Some(UpstreamTls::Spoken(TlsSettings::default()));
    let managed = server.settings().directory.join("managed.conf");
    let before = std::fs::read(&managed).unwrap();
    let error = reconcile(&driver, &driver.plan(&bad).wanted).await.unwrap_err();
    assert_eq!(error.retry(), Retry::AfterChange);
    assert!(matches!(&error, DriverError::Refused { said, .. } if said.contains("/nowhere/ca.pem")), "{error}");
    assert_eq!(std::fs::read(&managed).unwrap(), before);
    // What the user has broken is nothing of routes.
    let own = managed.ancestors().nth(2).unwrap().join("apache2.conf");
    let text = std::fs::read_to_string(&own).unwrap();
    std::fs::write(&own, format!("{text}Nonsense\n")).unwrap();
    let good = server.driver().plan(&Config { routes: vec![route("other", HOST, &[(&replica, 1)])] }).wanted;
    let error = reconcile(&server.driver(), &good).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later, "{error}");
    assert_eq!(std::fs::read(&managed).unwrap(), before);
    std::fs::write(&own, text).unwrap();
    // A driver that ends while Apache tests leaves a file behind.
    std::fs::write(server.settings().directory.join("candidate.conf"), "Nonsense").unwrap();
    server.kill().await;
    server.start_again().await;
    assert_eq!(get(server.address(), HOST, "/").await.server(), Some("a"));
    server.settle(&Config { routes: vec![route("other", HOST, &[(&replica, 1)])] }).await;
    assert_eq!(get(server.address(), HOST, "/").await.server(), Some("a"));
}

/// What a user has written is there as it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_the_users_is_not_touched() {
    let (server, replica) = (Server::start().await, Replica::start("a"));
    let before = server.own_files();
    server.settle(&to(&[&replica])).await;
    assert_eq!(get(server.address(), "other.org", "/page").await.body, "of the user");
    server.settle(&Config::default()).await;
    assert_eq!(get(server.address(), HOST, "/page").await.body, "of the user");
    assert_eq!(server.own_files(), before);
}

/// Checks find who does not answer, before a request does, and who is back.
#[tokio::test(flavor = "multi_thread")]
async fn checks_tell_who_is_down() {
    let server = Server::start().await;
    let (a, mut b) = (Replica::start("a"), Replica::start("b"));
    let checked = |replicas: &[&Replica]| {
        let mut config = to(replicas);
        let (interval, timeout) = (Duration::from_millis(100), Duration::from_secs(2));
        let path = Some("/health".to_owned());
        config.routes[0].health = Some(HealthConfig { path, interval, timeout, rise: 1, fall: 2 });
        config
    };
    server.settle(&checked(&[&a])).await;
    // One that comes while Apache runs is checked as well.
    let config = checked(&[&a, &b]);
    server.settle(&config).await;
    b.crash().await;
    becomes(&server, &config, &b, ShownState::Down).await;
    b.come_back();
    becomes(&server, &config, &b, ShownState::Serving).await;
    assert_eq!((a.count(), b.count()), (0, 0));
}

async fn becomes(server: &Server, config: &Config, replica: &Replica, state: ShownState) {
    let began = Instant::now();
    loop {
        let shown = server.apply(config).await.after.pools["ml/llama"][&replica.address.to_string()];
        if shown.state == state {
            return;
        }
        assert!(began.elapsed() < LONG, "{shown:?}");
        sleep(PAUSE).await;
    }
}

/// Clients that ask all the time lose no connection either as Apache reads its files again: they have let go of those they kept.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_end_no_connection_that_is_used() {
    let (server, replica) = (Server::start().await, Replica::start("a"));
    let one = to(&[&replica]);
    let mut two = one.clone();
    two.routes.push(route("further", "further.example.com", &[(&replica, 1)]));
    server.settle(&one).await;
    let (load, before) = (Load::start(server.address(), HOST, "/", 4), server.restarts());
    for _ in 0..3 {
        server.settle(&two).await;
        load.is_answered_by(&["a"]).await;
        server.settle(&one).await;
        load.is_answered_by(&["a"]).await;
    }
    assert_eq!(server.restarts(), before + 6);
    let outcome = load.stop().await;
    println!("6 restarts: {} answered, {} kept connections ended", outcome.total(), outcome.raced);
    assert_eq!(outcome.failed, Vec::<String>::new());
    // A driver that ends in between leaves nothing that stays.
    let closing = server.settings().directory.join("closing");
    std::fs::write(&closing, "").unwrap();
    assert!(server.apply(&one).await.steps > 0 && !closing.exists());
}

/// Whatever answers at the place of the balancer-manager, before the managed part is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_shows_nothing_to_others_is_set_up_as_well() {
    let closed = "  <Location />\n    Require all denied\n  </Location>\n";
    let (server, replica) = (Server::start_with(|_| closed.to_owned()).await, Replica::start("a"));
    let done = server.apply(&to(&[&replica])).await;
    assert!(done.steps > 0 && done.after.pools.contains_key("ml/llama"), "{done:?}");
}
