//! Objects in, objects out, by what anyone may call.

#![allow(clippy::unwrap_used, missing_docs)]

mod dead_letters;
mod formats;
mod pieces;
mod pyarrow;
mod steps;
mod support;
