mod events;
mod failures;
mod order;
mod properties;
mod silence;
mod simulation;

use skyfleet_api::model_deployment::Rollout;

use simulation::{named, percent, rollout};

const FLEET: [&str; 4] = ["a", "b", "c", "d"];

/// One canary, then half of the fleet, then the rest.
fn canary() -> Rollout {
    rollout(vec![named(&["c"]), percent(50)])
}
