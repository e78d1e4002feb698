//! The lab: real Kubernetes clusters on one Linux machine, for the demo and for the end-to-end tests.

pub mod image;
