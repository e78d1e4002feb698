//! A load balancer that runs as a user would have set it up, for tests.

use std::net::SocketAddr;
use std::time::Duration;

use skyfleet_drivers::{Driver, Reconciled, ShownState, reconcile};
use skyfleet_gateway::config::Config;
use tokio::time::{sleep, timeout};

/// A load balancer on this machine, with a user's own configuration around what the driver manages. Requests that no route takes are
/// answered with 404 by that. It ends with this value.
pub trait Balancer: Sized {
    type Driver: Driver;
    /// Whether clients may see a connection that they kept end while their next request is on its way, as the configuration is changed.
    const CLOSES_KEPT_CONNECTIONS: bool = false;

    async fn start() -> Self;

    /// A driver that knows nothing but how the load balancer is set up.
    fn driver(&self) -> Self::Driver;

    /// Where it takes requests.
    fn address(&self) -> SocketAddr;

    /// Does a reconciliation that must go well.
    async fn apply(&self, config: &Config) -> Reconciled {
        let driver = self.driver();
        let wanted = driver.plan(config).wanted;
        timeout(LONG, reconcile(&driver, &wanted)).await.expect("reconciled in time").unwrap()
    }

    /// Has it become what it is to be, and all that drains be gone.
    async fn settle(&self, config: &Config) {
        let began = tokio::time::Instant::now();
        loop {
            let done = self.apply(config).await;
            let mut servers = done.after.pools.values().flat_map(|pool| pool.values());
            if done.steps == 0 && servers.all(|server| server.state != ShownState::Draining) {
                return;
            }
            assert!(began.elapsed() < LONG, "never settled: {done:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// One that keeps what it has in files.
pub trait Restarts: Balancer {
    /// Ends it and all of its processes with SIGKILL.
    async fn kill(&mut self);

    /// Starts it by its files, and waits until it answers.
    async fn start_again(&mut self);
}

/// One that a person can change behind the driver's back.
pub trait Meddled: Balancer {
    /// Changes something of what the driver manages, and says what.
    async fn meddle(&self, how: usize) -> Option<&'static str>;
}

/// How long anything may take until a test has failed: much longer than it does.
pub const LONG: Duration = Duration::from_mins(1);
