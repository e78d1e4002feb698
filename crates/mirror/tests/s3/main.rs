//! The engine against a real S3 server.
#![allow(clippy::unwrap_used)]

mod changed;
mod conditions;
mod connection;
mod datasets;
mod faults;
mod faulty;
mod fetching;
mod identities;
mod keys;
mod limits;
mod live;
mod mirroring;
mod parallel;
mod pinned;
mod provenance;
mod ranges;
mod remembering;
mod rows;
mod server_copies;
mod sharding;
mod slow;
mod streaming;
mod support;
mod tags;
mod transforming;
mod uploading;
mod versions;
mod versity;
mod working;
