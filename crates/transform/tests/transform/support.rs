use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use skyfleet_transform::{
    Compression, Format, Outcome, Output, RangeSource, RowLimits, Source, Spec, Step, Transform, TransformError,
};

/// What became of an object.
#[derive(Debug)]
pub struct Made {
    pub key: String,
    pub bytes: Vec<u8>,
    pub dead_letters: Vec<serde_json::Value>,
    pub outcome: Outcome,
}

impl Made {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

pub struct InMemory(pub Bytes);

impl RangeSource for InMemory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        Ok(self.0.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()))
    }
}

/// Gives at most so many bytes at once.
struct Trickle(Bytes, usize);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.min(buffer.len()).min(self.0.len());
        buffer[..length].copy_from_slice(&self.0.split_to(length));
        Ok(length)
    }
}

pub fn run_within(spec: Spec, key: &str, content: impl AsRef<[u8]>, percent: u8) -> Result<Made, TransformError> {
    let transform = Transform::new(spec).unwrap();
    let content = Bytes::copy_from_slice(content.as_ref());
    let source = if transform.reads_ranges(key) {
        Source::Ranges(Arc::new(InMemory(content)))
    } else {
        Source::Stream(Box::new(Trickle(content, 1021)))
    };
    let (mut bytes, mut letters) = (Vec::new(), Vec::new());
    let limits = RowLimits { most_rejected_percent: percent };
    let outcome = transform.run(key, source, &mut bytes, &mut letters, limits)?;
    let lines = letters.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let dead_letters = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    let key = transform.output_key(key).unwrap();
    assert!(transform.sources_of(&key).len() < 100);
    Ok(Made { key, bytes, dead_letters, outcome })
}

pub fn run(spec: Spec, key: &str, content: impl AsRef<[u8]>) -> Result<Made, TransformError> {
    run_within(spec, key, content, 0)
}

pub fn to(format: Format) -> Spec {
    Spec { output: Output { format: Some(format), compression: None }, ..Spec::default() }
}

pub fn compressed(compression: Compression) -> Spec {
    Spec { output: Output { format: None, compression: Some(compression) }, ..Spec::default() }
}

pub fn by(steps: Vec<Step>) -> Spec {
    Spec { steps, ..Spec::default() }
}

pub fn names(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| (*column).to_owned()).collect()
}
