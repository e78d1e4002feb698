//! What decides: pure functions from what is known to what shall be. No client, no async, no clock.
//!
//! * [`autoscaling`]: how many replicas the load asks for.
//! * [`load`]: what replicas report of their work.
//! * [`placement`]: which member cluster gets how many replicas, and why the others get none.
//! * [`rollout`]: in which order a change reaches the clusters.
//! * [`workload`]: the objects a member cluster shall hold for its share of a ModelDeployment.

pub mod autoscaling;
pub mod load;
pub mod placement;
pub mod rollout;
mod time;
pub mod workload;
