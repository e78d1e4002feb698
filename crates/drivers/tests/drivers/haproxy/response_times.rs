//! Who gets how much where servers differ, beside the built-in gateway.

use std::time::Duration;

use skyfleet_drivers::Driver as _;
use skyfleet_gateway::config::{Algorithm, Config};
use tokio::time::{Instant, sleep};

use super::running::Running;
use crate::balancer::{Balancer, LONG};
use crate::gateway;
use crate::load::{Load, ask};
use crate::replica::Replica;
use crate::routes::{HOST, to};

/// What becomes of requests for so long, once what was measured has had the same time to count. Two of four servers are fast, one takes
/// twice as long as they do, and one ten times.
async fn shared_out<B: Balancer>(algorithm: Algorithm, during: Duration) {
    let balancer = B::start().await;
    let times = [("a", 20), ("b", 20), ("twice", 40), ("ten times", 200)];
    let replicas = times.map(|(name, milliseconds)| Replica::slow(name, Duration::from_millis(milliseconds)));
    let mut config: Config = to(&replicas.each_ref());
    config.routes[0].algorithm = algorithm;
    balancer.settle(&config).await;
    let load = Load::start(balancer.address(), HOST, "/", 8);
    sleep(during).await;
    let (before, began) = (load.so_far(), Instant::now());
    sleep(during).await;
    let seconds = began.elapsed().as_secs_f64();
    let mut outcome = load.stop().await;
    for (name, count) in &mut outcome.answered {
        *count -= before.answered.get(name).copied().unwrap_or_default();
    }
    assert_eq!(outcome.failed, Vec::<String>::new());
    #[allow(clippy::cast_precision_loss, reason = "some thousand requests")]
    let rate = outcome.total() as f64 / seconds;
    let shares = times.map(|(name, _)| format!("{name}: {:.1} %", 100.0 * outcome.share(name)));
    println!("{} {algorithm:?}: {rate:.0} answers/s, {}", balancer.driver().name(), shares.join(", "));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_how_much_is_printed() {
    let during = Duration::from_secs(2);
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnection, Algorithm::LeastResponseTime] {
        tokio::join!(shared_out::<gateway::Running>(algorithm, during), shared_out::<Running>(algorithm, during));
    }
}

/// Of one client no server ever has another request: only the time tells them apart, and the agent tells the time.
#[tokio::test(flavor = "multi_thread")]
async fn the_agent_tells_who_is_slow() {
    let balancer = Running::start().await;
    let (fast, slow) = (Replica::start("fast"), Replica::slow("slow", Duration::from_millis(50)));
    let mut config = to(&[&fast, &slow]);
    config.routes[0].algorithm = Algorithm::LeastResponseTime;
    balancer.settle(&config).await;
    let (mut share, began) = (1.0, Instant::now());
    while share > 0.2 {
        let outcome = ask(balancer.address(), HOST, "/", 1, 60).await;
        assert_eq!(outcome.failed, Vec::<String>::new());
        share = outcome.share("slow");
        assert!(began.elapsed() < LONG, "{share}");
    }
    // That weights change is none of the driver's business.
    assert_eq!(balancer.apply(&config).await.steps, 0);
}

/// HAProxy takes who was added while it runs for down until the agent says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_serves_too() {
    let balancer = Running::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let by_time = |config: Config| {
        let mut config = config;
        config.routes[0].algorithm = Algorithm::LeastResponseTime;
        config
    };
    balancer.settle(&by_time(to(&[&a]))).await;
    let load = Load::start(balancer.address(), HOST, "/", 2);
    load.is_answered_by(&["a"]).await;
    balancer.settle(&by_time(to(&[&a, &b]))).await;
    load.is_answered_by(&["a", "b"]).await;
    assert_eq!(load.stop().await.failed, Vec::<String>::new());
}
