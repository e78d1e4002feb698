//! A small embedding server: BERT sentence embeddings on the CPU behind the API that OpenAI's clients speak.
//!
//! It is what the first `ModelDeployment` of Skyfleet's examples runs: a real model, few enough parts to read in one sitting.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
pub mod args;
pub mod embedder;
pub mod faults;
pub mod metrics;
pub mod pooling;
pub mod server;
