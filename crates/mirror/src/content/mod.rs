//! What names a content, and what is computed of it while it passes: pure.

pub(crate) mod checksum;
pub(crate) mod digest;
mod digesting;
mod digests;
mod hashing;
mod join;
mod whole;

pub(crate) use digesting::Digesting;
pub(crate) use digests::{Digests, Wanted, composite, crc32c, crc64nvme};
pub(crate) use hashing::Hashing;
pub(crate) use whole::Whole;

#[allow(clippy::cast_possible_truncation, reason = "the upper half of a 32-bit checksum is zero")]
fn truncated(crc: u64) -> u32 {
    crc as u32
}
