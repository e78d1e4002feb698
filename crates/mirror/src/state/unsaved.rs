//! When to keep what a pass has done so far: pure.

/// What a crash would have to copy again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unsaved {
    objects: u64,
    bytes: u64,
    adopted: u64,
}

impl Unsaved {
    /// One more object was copied.
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }

    /// One more object is known that others have copied: it costs no copy to learn it again.
    pub(super) fn adopt(&mut self) {
        self.adopted += 1;
    }

    pub(super) fn is_nothing(self) -> bool {
        self.objects == 0 && self.adopted == 0
    }

    /// Whether saving is worth its cost: some pages of what is remembered are written, and the index of all.
    pub(super) fn is_due(self) -> bool {
        const OBJECT_OVERHEAD: u64 = 64 * 1024;
        const ADOPTION: u64 = 1024;
        const ENOUGH: u64 = 64 * 1024 * 1024;
        self.bytes + self.objects * OBJECT_OVERHEAD + self.adopted * ADOPTION >= ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use super::Unsaved;

    #[test]
    fn the_state_is_kept_often_enough_and_not_too_often() {
        const MIB: u64 = 1024 * 1024;
        let unsaved = |objects, bytes, adopted| Unsaved { objects, bytes, adopted };
        assert!(!unsaved(1, 1, 0).is_due());
        assert!(unsaved(1, 64 * MIB, 0).is_due());
        assert!(unsaved(1024, 0, 0).is_due());
        assert!(!unsaved(1000, 1, 1000).is_due());
        assert!(unsaved(0, 0, 65_536).is_due() && !unsaved(0, 0, 1).is_nothing());
    }
}
