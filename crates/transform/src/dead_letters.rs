//! Records that could not be transformed.

use std::io::Write;

use serde::Serialize;

use crate::{RowLimits, TransformError};

/// Of a record that is larger, only the beginning is kept.
const MOST_KEPT: usize = 64 * 1024;

/// Where they go: JSON Lines, one a record.
pub(crate) struct DeadLetters<'a> {
    object: &'a str,
    out: &'a mut dyn Write,
    limits: RowLimits,
    /// Whether their content must not be told, since it would be hidden in rows that can be transformed.
    hides: bool,
    pub(crate) count: u64,
    /// Rows that could be read, so far.
    pub(crate) accepted: u64,
}

#[derive(Serialize)]
struct DeadLetter<'a> {
    object: &'a str,
    record: u64,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_hex: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl<'a> DeadLetters<'a> {
    pub(crate) fn new(object: &'a str, out: &'a mut dyn Write, limits: RowLimits, hides: bool) -> Self {
        Self { object, out, limits, hides, count: 0, accepted: 0 }
    }

    /// A record, counted from 1, became none.
    ///
    /// # Errors
    /// It cannot be written down, or there are too many.
    pub(crate) fn add(&mut self, record: u64, reason: &str, bytes: &[u8]) -> Result<(), TransformError> {
        self.count += 1;
        // A reason quotes what it is about.
        let reason = if self.hides { "it does not fit the columns (not told why: columns are masked)" } else { reason };
        let kept = &bytes[..bytes.len().min(MOST_KEPT)];
        let text = std::str::from_utf8(kept).ok();
        let letter = DeadLetter {
            object: self.object,
            record,
            reason,
            data: text.filter(|_| !self.hides).map(str::trim_end),
            data_hex: (text.is_none() && !self.hides).then(|| hex::encode(kept)),
            truncated: !self.hides && kept.len() < bytes.len(),
        };
        let mut line = serde_json::to_vec(&letter).map_err(|error| TransformError::Internal(error.to_string()))?;
        line.push(b'\n');
        self.out.write_all(&line).map_err(TransformError::Write)?;
        let read = self.count + self.accepted;
        if self.limits.exceeds_already(self.count, read) {
            let reason = format!("record {record}: {reason}");
            return Err(TransformError::TooManyRejected { rejected: self.count, read, reason });
        }
        Ok(())
    }
}
