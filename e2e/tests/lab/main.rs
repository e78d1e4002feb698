//! Everything that needs real parts: helm, API servers, nodes with containers.
#![allow(clippy::unwrap_used)]

mod charts;
mod clouds;
mod control_planes;
mod crash;
mod credentials;
mod custom_resources;
mod embeddings;
mod encrypted;
mod fleet;
mod gateway_in_pods;
mod gateway_process;
mod hub;
mod images;
mod installed_charts;
mod jobs;
mod leftovers;
mod loading;
mod nodes;
mod operator_process;
mod paced;
mod placement;
mod reaching;
mod refusals;
mod reports;
mod resumed;
mod routing;
mod sharding;
mod stores;
mod streaming;
mod streams;
mod support;
mod transforming;
mod versions;
