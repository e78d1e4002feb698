//! JSON Lines: a record ends with its line.

use std::ops::Range;

/// Bytes of the first look for the end of a line, and of each of the others at most.
const FIRST_LOOK: u64 = 64 * 1024;
const LONGEST_LOOK: u64 = 8 * 1024 * 1024;

/// Looks for the first record that begins at a place or after it: where the piece begins that is cut there.
#[derive(Debug, Clone)]
pub struct RecordStart {
    /// The byte to be looked at next; where the record begins once it is found.
    at: u64,
    size: u64,
    look: u64,
    is_found: bool,
}

impl RecordStart {
    /// Of an object of so many bytes.
    #[must_use]
    pub fn after(place: u64, size: u64) -> Self {
        let is_found = place == 0 || place >= size;
        // A record that begins just there has the end of a line before it.
        let at = if is_found { place.min(size) } else { place - 1 };
        Self { at, size, look: FIRST_LOOK, is_found }
    }

    /// The bytes to be looked at next, by [`Self::look_at`]; none when it is found.
    #[must_use]
    pub fn wanted(&self) -> Option<Range<u64>> {
        (!self.is_found).then(|| self.at..self.size.min(self.at + self.look))
    }

    /// The bytes that were wanted, from their start on.
    pub fn look_at(&mut self, bytes: &[u8]) {
        let newline = memchr::memchr(b'\n', bytes);
        self.at += newline.map_or(bytes.len(), |newline| newline + 1) as u64;
        self.is_found = newline.is_some() || self.at >= self.size;
        self.look = (self.look * 4).min(LONGEST_LOOK);
    }

    /// Where it begins, or where the object ends when none does.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.at
    }
}

/// Counts the lines that hold anything.
#[derive(Debug, Clone, Default)]
pub struct LineCount {
    ended: u64,
    /// Whether the line that has not ended holds something.
    holds: bool,
}

impl LineCount {
    /// More bytes.
    pub fn see(&mut self, bytes: &[u8]) {
        let mut from = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let holds = self.holds || !bytes[from..newline].trim_ascii_start().is_empty();
            self.ended += u64::from(holds);
            self.holds = false;
            from = newline + 1;
        }
        self.holds |= !bytes[from..].trim_ascii_start().is_empty();
    }

    /// How many there are.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.ended + u64::from(self.holds)
    }
}
