//! Skyfleet.
fn main() {}
