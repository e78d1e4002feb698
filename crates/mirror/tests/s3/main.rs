//! The engine against a real S3 server.
#![allow(clippy::unwrap_used)]

mod connection;
mod faults;
mod faulty;
mod fetching;
mod identities;
mod keys;
mod limits;
mod live;
mod mirroring;
mod support;
mod syncing;
mod uploading;
