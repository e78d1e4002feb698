//! Checks of the custom resources that need no cluster.

mod definitions;
mod examples;
mod full;
mod reference;
