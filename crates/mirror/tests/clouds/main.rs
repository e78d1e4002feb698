//! Azure Blob Storage and Google Cloud Storage, against Azurite and fake-gcs-server.
#![allow(clippy::unwrap_used)]

mod errors;
mod identities;
mod keys;
mod pairs;
mod place;
mod queues;
mod ranges;
mod reading;
mod resuming;
mod support;
mod tags;
mod versions;
mod writing;
