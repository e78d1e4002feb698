//! What a reload costs.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Running;
use crate::balancer::Balancer as _;
use crate::client::PAUSE;
use crate::load::Load;
use crate::replica::Replica;
use crate::routes::{HOST, to};

/// Servers come and go for some time, while clients keep their connections.
pub async fn measure(clients: usize, time: Duration) {
    let running = Running::start().await;
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
        "{reloads} reloads, {clients} clients that ask again {PAUSE:?} after an answer: {} answered, {} of {} kept \
         connections ended while a request was on its way, failed: {:?}",
        outcome.total(),
        outcome.raced,
        reloads * clients,
        outcome.failed
    );
    assert_eq!(outcome.failed, Vec::<String>::new());
    assert!(outcome.raced <= reloads * clients, "a connection ends once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_ends_kept_connections_and_nothing_else() {
    measure(8, Duration::from_secs(4)).await;
}
