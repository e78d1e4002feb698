//! From what the hub says of routes, and clusters of their pods, to what a router is to do. The gateway goes by it, the agents of other load
//! balancers do, and the operator tells by it what they do.

mod fleet;
pub(crate) mod member_client;
pub(crate) mod own_cluster;
mod pods;
mod routes;
mod secrets;
pub(crate) mod slices;
pub(crate) mod watch;

#[cfg(test)]
pub(crate) use fleet::Clusters;
pub(crate) use fleet::{Fleet, Replicas, is_inside};
pub(crate) use routes::{Taken, config, is_served_by_any, taken};
pub(crate) use secrets::wanted as wanted_secrets;
pub(crate) use slices::Known;
