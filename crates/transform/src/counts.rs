//! What was done with an object.

use serde::{Deserialize, Serialize};

/// What became of the rows of an object. Where no row was looked at, all are zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Rows that were read, those that became dead letters included.
    pub rows_read: u64,
    /// Rows that became dead letters.
    pub rejected: u64,
    /// Rows in and out of each step, in their order.
    pub steps: Vec<StepCount>,
    /// Rows that were written.
    pub rows_written: u64,
}

/// Rows in and out of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCount {
    /// Rows that came to it.
    pub rows_in: u64,
    /// Rows that it let through.
    pub rows_out: u64,
}

impl Outcome {
    /// Adds what became of another object, transformed by the same steps.
    pub fn add(&mut self, other: &Self) {
        self.rows_read += other.rows_read;
        self.rejected += other.rejected;
        self.rows_written += other.rows_written;
        self.steps.resize(self.steps.len().max(other.steps.len()), StepCount::default());
        for (step, other) in self.steps.iter_mut().zip(&other.steps) {
            step.rows_in += other.rows_in;
            step.rows_out += other.rows_out;
        }
    }
}
