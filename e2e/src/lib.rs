//! The lab: real Kubernetes clusters on one Linux machine, for the demo and for the end-to-end tests.
//!
//! Each cluster is etcd, API server, controller manager and scheduler, and with pods also containerd, kubelet and
//! kube-proxy, in a network namespace and a cgroup of its own. Where Docker and kind are there, kind makes the clusters
//! instead ([`Backend`]). See [`Lab`].

mod addresses;
pub mod artifacts;
mod backend;
pub mod browser;
mod certificates;
mod cgroup;
mod cluster;
mod command;
mod control_plane;
mod error;
pub mod fleet;
mod forwarding;
pub mod image;
pub mod install;
mod kernel_settings;
mod kind;
mod lab;
mod mounts;
mod namespaces;
mod network;
mod node;
pub mod object_store;
mod spec;
mod state;
mod status;
mod teardown;
pub mod token_server;
pub mod tools;

pub use backend::Backend;
pub use cluster::Cluster;
pub use error::LabError;
pub use lab::Lab;
pub use spec::{ClusterSpec, LabSpec};
pub use state::labs;
pub use status::{ClusterStatus, Power};
pub use teardown::remove;
