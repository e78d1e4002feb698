//! The CRC of one content followed by another, from those of the two: pure.
//!
//! To append zeros multiplies a CRC's polynomial by a power of x, modulo that of the CRC, and the power is found by squaring (as in
//! zlib's `crc32_combine` since 1.2.12). `crc_fast::checksum_combine` squares matrices instead, which takes fifty times as long: for
//! each part of a large object as long as the checksums of 4 MiB.

/// A CRC whose bits are reflected, and whose register begins and ends with all of them flipped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crc {
    /// Reflected: the coefficient of x⁰ is the highest bit of `width`.
    polynomial: u64,
    width: u32,
}

impl Crc {
    pub(super) const NVME_64: Self = Self { polynomial: 0x9A6C_9329_AC4B_C9B5, width: 64 };
    pub(super) const ISO_HDLC_32: Self = Self { polynomial: 0xEDB8_8320, width: 32 };
    pub(super) const ISCSI_32: Self = Self { polynomial: 0x82F6_3B78, width: 32 };

    /// The CRC of a content with the CRC `first`, and behind it one of `bytes` bytes with the CRC `second`.
    pub(super) fn join(self, first: u64, second: u64, bytes: u64) -> u64 {
        // That of nothing. For small objects the product would take as long as their checksum.
        if first == 0 {
            return second;
        }
        self.product(first, self.of_zeros(bytes)) ^ second
    }

    /// x to the eighth power for each byte.
    fn of_zeros(self, mut bytes: u64) -> u64 {
        let (mut product, mut power) = (self.x_to(0), self.x_to(8));
        while bytes > 0 {
            if bytes & 1 == 1 {
                product = self.product(product, power);
            }
            power = self.product(power, power);
            bytes >>= 1;
        }
        product
    }

    /// For an exponent below the width.
    fn x_to(self, exponent: u32) -> u64 {
        1 << (self.width - 1 - exponent)
    }

    fn product(self, one: u64, mut other: u64) -> u64 {
        let mut product = 0;
        for exponent in 0..self.width {
            if one & self.x_to(exponent) != 0 {
                product ^= other;
            }
            let overflows = other & 1 == 1;
            other >>= 1;
            if overflows {
                other ^= self.polynomial;
            }
        }
        product
    }
}

#[cfg(test)]
mod tests {
    use super::Crc;
    use crc_fast::{CrcAlgorithm, checksum, checksum_combine};
    use proptest::prelude::*;

    const ALL: [(Crc, CrcAlgorithm); 3] = [
        (Crc::NVME_64, CrcAlgorithm::Crc64Nvme),
        (Crc::ISO_HDLC_32, CrcAlgorithm::Crc32IsoHdlc),
        (Crc::ISCSI_32, CrcAlgorithm::Crc32Iscsi),
    ];

    proptest! {
        #[test]
        fn two_contents_have_the_crc_of_both(
            one in prop::collection::vec(any::<u8>(), 0..300),
            other in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            for (crc, algorithm) in ALL {
                let joined = crc.join(checksum(algorithm, &one), checksum(algorithm, &other), other.len() as u64);
                prop_assert_eq!(joined, checksum(algorithm, &[one.as_slice(), &other].concat()));
            }
        }

        #[test]
        fn they_are_joined_as_by_the_library(first in any::<u64>(), second in any::<u64>(), bytes in any::<u64>()) {
            for (crc, algorithm) in ALL {
                let mask = u64::MAX >> (64 - crc.width);
                let (first, second) = (first & mask, second & mask);
                prop_assert_eq!(crc.join(first, second, bytes), checksum_combine(algorithm, first, second, bytes));
            }
        }
    }
}
