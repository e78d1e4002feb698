//! Decides what a stream of changes means: what notifications of a bucket say, which of its objects are to be looked at, and how far
//! each target is behind. Pure: no client, no async, no clock.
//!
//! - [`Notice::parse`] reads what Amazon S3, Azure Event Grid, Google Cloud Storage and plain webhooks send.
//! - [`Backlog`] keeps what was said until it is mirrored, in bounded memory.

mod backlog;
mod notice;

pub use backlog::{Backlog, LookOutcome, TargetOutcome};
pub use notice::{Change, InvalidNotice, Notice, Origin};
