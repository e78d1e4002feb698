//! What a reload costs.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Running;
use crate::balancer::Balancer as _;
use crate::client::PAUSE;
use crate::load::Load;
use crate::replica::Replica;
use crate::routes::{HOST, to};

/// Servers come and go for some time, while clients keep their connections. `closing` is how long these are told to close before a reload.
/// Returns how many requests were lost, and how many reloads there were.
pub async fn measure(clients: usize, time: Duration, closing: Duration) -> (usize, usize) {
    let mut running = Running::start().await;
    running.settings.closing = closing;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let both = [to(&[&a, &b]), to(&[&a])];
    running.settle(&both[0]).await;
    let load = Load::start(running.address(), HOST, "/", clients);
    load.is_answered_by(&["a", "b"]).await;
    let (began, mut reloads) = (Instant::now(), 0);
    while began.elapsed() < time {
        reloads += 1;
        running.apply(&both[reloads % 2]).await;
        // Clients connect anew after a reload: the next one finds them as it found them before.
        let enough = load.so_far().total() + 10 * clients;
        while load.so_far().total() < enough {
            sleep(PAUSE).await;
        }
    }
    let outcome = load.stop().await;
    println!(
        "{reloads} reloads {closing:?} after clients are told to close, {clients} clients that ask again {PAUSE:?} after an \
         answer: {} answered, {} sent over kept connections that ended, failed: {:?}",
        outcome.total(),
        outcome.raced,
        outcome.failed
    );
    assert_eq!(outcome.failed, Vec::<String>::new());
    assert!(outcome.raced <= reloads * clients, "a connection ends once");
    (outcome.raced, reloads)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_ends_kept_connections_and_nothing_else() {
    for closing in [Duration::ZERO, Duration::from_millis(200)] {
        measure(8, Duration::from_secs(3), closing).await;
    }
}
