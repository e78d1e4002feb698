//! When to keep what a pass has done so far: pure.

/// What a crash would have to copy again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unsaved {
    objects: u64,
    bytes: u64,
}

impl Unsaved {
    /// One more object was copied.
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }

    pub(super) fn is_nothing(self) -> bool {
        self.objects == 0
    }

    /// Whether saving is worth its cost: some pages of what is remembered are written, and the index of all.
    pub(super) fn is_due(self) -> bool {
        const OBJECT_OVERHEAD: u64 = 64 * 1024;
        const ENOUGH: u64 = 64 * 1024 * 1024;
        self.bytes + self.objects * OBJECT_OVERHEAD >= ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use super::Unsaved;

    #[test]
    fn the_state_is_kept_often_enough_and_not_too_often() {
        const MIB: u64 = 1024 * 1024;
        assert!(!Unsaved { objects: 1, bytes: 1 }.is_due());
        assert!(Unsaved { objects: 1, bytes: 64 * MIB }.is_due());
        assert!(Unsaved { objects: 1024, bytes: 0 }.is_due());
        assert!(!Unsaved { objects: 1000, bytes: 1 }.is_due());
    }
}
