//! The engine against a real S3 server.
#![allow(clippy::unwrap_used)]

mod connection;
mod datasets;
mod faults;
mod faulty;
mod fetching;
mod identities;
mod keys;
mod limits;
mod remembering;
mod support;
mod syncing;
mod uploading;
