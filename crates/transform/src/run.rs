//! Transforms one object.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::datatypes::Schema;
use sha2::{Digest as _, Sha256};

use crate::dead_letters::DeadLetters;
use crate::output::Compressor;
use crate::steps::Steps;
use crate::{Format, InvalidTransform, Outcome, Source, Spec, Step, TransformError, input, output, steps};

/// Of how many rows more may be rejected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowLimits {
    /// The largest share of rows that may become dead letters, in percent.
    pub most_rejected_percent: u8,
}

impl RowLimits {
    /// Rows before the share of those that were rejected says something of all.
    const SAID_BY: u64 = 100_000;

    /// Whether so many of the rows that were read by now are too many, whatever follows.
    #[must_use]
    pub fn exceeds_already(self, rejected: u64, read: u64) -> bool {
        read >= Self::SAID_BY && self.exceeds(rejected, read)
    }

    /// Whether so many of the rows that were read are too many.
    #[must_use]
    pub fn exceeds(self, rejected: u64, read: u64) -> bool {
        u128::from(rejected) * 100 > u128::from(read) * u128::from(self.most_rejected_percent)
    }
}

/// What is to become of objects, checked.
#[derive(Debug, Clone)]
pub struct Transform {
    spec: Spec,
    digest: String,
}

impl Transform {
    /// Checks what can be checked before any object is seen.
    ///
    /// # Errors
    /// It says nothing, or a step cannot be.
    pub fn new(spec: Spec) -> Result<Self, InvalidTransform> {
        let Spec { steps: wanted, output, .. } = &spec;
        if wanted.is_empty() && output.format.is_none() && output.compression.is_none() {
            return Err(InvalidTransform::Nothing);
        }
        steps::check(&spec.steps)?;
        // A spec of plain data always has a JSON form.
        let digest = hex::encode(Sha256::digest(serde_json::to_vec(&spec).unwrap_or_default()));
        Ok(Self { spec, digest })
    }

    /// What it does.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What names it: the same for transforms that do the same.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The key of what becomes of an object.
    ///
    /// # Errors
    /// Its ending does not tell its format.
    pub fn output_key(&self, key: &str) -> Result<String, TransformError> {
        self.spec.output_key(key)
    }

    /// All keys of objects that would become the one with this key.
    #[must_use]
    pub fn sources_of(&self, output: &str) -> Vec<String> {
        self.spec.sources_of(output)
    }

    /// Whether an object is read here and there, and not from its start to its end.
    #[must_use]
    pub fn reads_ranges(&self, key: &str) -> bool {
        self.spec.named(key).is_ok_and(|named| named.format == Some(Format::Parquet))
    }

    /// Transforms an object into `out`, and records that cannot be into `dead_letters`: JSON Lines with the fields `object`, `record`
    /// (from 1), `reason` and `data` (`data_hex` where it is no text; nothing where columns are masked).
    ///
    /// It holds, beside what `out` holds: about 4 MiB of rows, or one record of up to 16 MiB; 32 MiB of a Parquet object that is read,
    /// or of the row group that is written; and 40 MiB of digests for each step that deduplicates.
    ///
    /// Of an object with few records it does not judge their share by itself: who runs it sees all objects.
    ///
    /// # Errors
    /// See [`TransformError`]. What was written by then is of no use.
    pub fn run(
        &self,
        key: &str,
        source: Source,
        out: &mut (dyn Write + Send),
        dead_letters: &mut dyn Write,
        limits: RowLimits,
    ) -> Result<Outcome, TransformError> {
        let named = self.spec.named(key)?;
        let compression = self.spec.output_compression(named);
        let Some(format) = named.format else {
            let Source::Stream(bytes) = source else {
                return Err(TransformError::Internal("bytes are read from their start to their end".to_owned()));
            };
            let mut bytes = input::decompressed(bytes, named.compression)?;
            let mut out = Compressor::new(out, compression)?;
            copy(&mut bytes, &mut out)?;
            out.finish()?;
            return Ok(Outcome::default());
        };
        let hides = self.spec.steps.iter().any(|step| matches!(step, Step::Mask(_)));
        let mut dead_letters = DeadLetters::new(key, dead_letters, limits, hides);
        let mut rows = input::open(source, (format, named.compression), &self.spec)?;
        let schema = rows.schema();
        // Of an object without any record no columns are known.
        let steps = if schema.is_some() { &self.spec.steps[..] } else { &[] };
        let mut steps = Steps::compile(steps, schema.unwrap_or_else(|| Arc::new(Schema::empty())))?;
        let mut writer = output::open(out, (self.spec.output.format.unwrap_or(format), compression), &steps.schema())?;
        let mut outcome = Outcome::default();
        while let Some(batch) = rows.next(&mut dead_letters)? {
            dead_letters.accepted += batch.num_rows() as u64;
            let batch = steps.apply(batch)?;
            outcome.rows_written += batch.num_rows() as u64;
            if batch.num_rows() > 0 {
                writer.write(&batch)?;
            }
        }
        writer.finish()?;
        let (rows_read, rejected) = (dead_letters.accepted + dead_letters.count, dead_letters.count);
        Ok(Outcome { rows_read, rejected, steps: steps.counts, ..outcome })
    }
}

/// Copies bytes, and knows which side failed.
fn copy(from: &mut dyn io::Read, to: &mut dyn Write) -> Result<(), TransformError> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => to.write_all(&buffer[..read]).map_err(TransformError::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(TransformError::Read(error)),
        }
    }
}
