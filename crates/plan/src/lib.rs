//! What decides: pure functions from what is known to what shall be. No client, no async, no clock.
//!
//! * [`autoscaling`]: how many replicas the load asks for.
//! * [`capacity`]: how much room there is, node by node, less what was decided.
//! * [`chain`]: which flows of data stand on others.
//! * [`failover`]: when contact counts as lost, and when the hub had better doubt itself.
//! * [`load`]: what replicas report of their work.
//! * [`nearest`]: which member clusters are near the data that is to be mirrored.
//! * [`placement`]: which member cluster gets how many replicas, and why the others get none.
//! * [`question`]: from the custom resources to what placement is asked.
//! * [`revision`]: what of a ModelDeployment a rollout brings out.
//! * [`rollout`]: in which order a change reaches the clusters.
//! * [`schedule`]: when the next pass over a DatasetReplica starts.
//! * [`workload`]: the objects a member cluster shall hold for its share of a ModelDeployment.

pub mod autoscaling;
pub mod capacity;
pub mod chain;
pub mod failover;
pub mod load;
pub mod nearest;
pub mod placement;
pub mod question;
pub mod revision;
pub mod rollout;
pub mod schedule;
mod time;
pub mod workload;
