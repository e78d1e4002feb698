//! Benchmarks of Skyfleet: what they run against and how they say what they found. The programs are in `src/bin`.

pub mod figures;
pub mod member;
