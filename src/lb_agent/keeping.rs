//! Keeps a load balancer to what is wanted, as that changes and as people change the load balancer.

use std::sync::Arc;

use skyfleet_drivers::{Driver, reconcile};
use skyfleet_gateway::config::Config;
use tokio::sync::watch;
use tokio::time::sleep;

use super::LbAgentArgs;
use super::pause::{Outcome, Pauses};
use super::state::{State, drains};

/// Keeps it, as long as it is polled. Nothing is done until it is known what is wanted.
pub(super) async fn keep<D: Driver>(
    driver: &D,
    mut wanted: watch::Receiver<Option<Arc<Config>>>,
    args: &LbAgentArgs,
    state: &State,
) {
    // What the load balancer was brought to last.
    let mut reached: Option<Arc<Config>> = None;
    let mut pauses = Pauses::new(args.interval());
    loop {
        let now = wanted.borrow_and_update().clone();
        let Some(now) = now else {
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        let outcome = pass(driver, &now, reached.as_ref(), state).await;
        // After a failure a part of the change may be there, and what is undone of it is nobody's doing.
        reached = (!matches!(outcome, Outcome::Failed(_))).then_some(now);
        let wait = pauses.after(outcome);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
    }
}

async fn pass<D: Driver>(driver: &D, now: &Arc<Config>, reached: Option<&Arc<Config>>, state: &State) -> Outcome {
    let plan = driver.plan(now);
    state.planned(now.routes.len(), plan.lacks);
    match Box::pin(reconcile(driver, &plan.wanted)).await {
        Ok(done) => {
            let is_same = reached == Some(now);
            // What drained before is gone now, and nobody's doing.
            if done.steps > 0 && is_same && !state.drained() {
                tracing::warn!(server = driver.name(), steps = done.steps, "somebody has changed it by hand: repaired");
                state.repaired();
            } else if done.steps > 0 {
                tracing::info!(server = driver.name(), steps = done.steps, "changed");
            }
            let is_draining = drains(&done.after);
            state.reached(done.after);
            if is_draining { Outcome::Draining } else { Outcome::Settled }
        }
        Err(error) => {
            if state.failed(error.to_string()) {
                tracing::error!(%error, "the load balancer stays as it is");
            }
            Outcome::Failed(error.retry())
        }
    }
}
