//! What an object is called after it was transformed.

use crate::format::{Compression, Format};
use crate::{Spec, TransformError};

/// What a key says of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    /// Without the endings.
    pub(crate) stem: &'a str,
    /// The ending of the format.
    pub(crate) ending: &'a str,
    /// `None` where rows do not matter.
    pub(crate) format: Option<Format>,
    pub(crate) compression: Compression,
}

impl Spec {
    /// Whether objects are read row by row.
    pub(crate) fn has_rows(&self) -> bool {
        self.input.is_some() || self.output.format.is_some() || !self.steps.is_empty() || !self.types.is_empty()
    }

    /// What a key says of its object.
    pub(crate) fn named<'a>(&self, key: &'a str) -> Result<Named<'a>, TransformError> {
        let (rest, compression) = Compression::of_key(key);
        if !self.has_rows() {
            return Ok(Named { stem: rest, ending: "", format: None, compression });
        }
        let ending = |format: Format, extra: &'static [&'static str]| {
            let mut endings = format.endings().iter().chain(extra);
            endings.find_map(|ending| Some((rest.strip_suffix(ending)?, &rest[rest.len() - ending.len()..])))
        };
        let found = match self.input {
            // Whoever says so may call them what they like.
            Some(format) => {
                let extra: &[&str] = if format == Format::JsonLines { &[".json"] } else { &[] };
                Some((ending(format, extra).unwrap_or((rest, "")), format))
            }
            None => Format::ALL.into_iter().find_map(|format| Some((ending(format, &[])?, format))),
        };
        let ((stem, ending), format) = found.ok_or_else(|| TransformError::UnknownFormat(key.to_owned()))?;
        // Parquet is compressed within.
        if format == Format::Parquet && compression != Compression::None {
            return Err(TransformError::UnknownFormat(key.to_owned()));
        }
        Ok(Named { stem, ending, format: Some(format), compression })
    }

    /// How the object that is made of one that is named so is compressed.
    pub(crate) fn output_compression(&self, named: Named<'_>) -> Compression {
        let becomes_parquet = self.output.format.or(named.format) == Some(Format::Parquet);
        let otherwise = if becomes_parquet { Compression::Zstd } else { named.compression };
        self.output.compression.unwrap_or(otherwise)
    }

    pub(crate) fn output_key(&self, key: &str) -> Result<String, TransformError> {
        let named = self.named(key)?;
        let format = self.output.format.or(named.format);
        let ending = match format {
            Some(format) if named.format != Some(format) => format.endings()[0],
            _ => named.ending,
        };
        let compression = match format {
            Some(Format::Parquet) => "",
            _ => self.output_compression(named).ending(),
        };
        Ok(format!("{}{ending}{compression}", named.stem))
    }

    /// All keys that become this one.
    pub(crate) fn sources_of(&self, output: &str) -> Vec<String> {
        let (rest, _) = Compression::of_key(output);
        let endings = || Format::ALL.iter().flat_map(|format| format.endings()).copied().chain([".json", ""]);
        let mut stems: Vec<_> = endings().filter_map(|ending| rest.strip_suffix(ending)).collect();
        stems.push(output);
        let compressions = [Compression::None, Compression::Gzip, Compression::Zstd];
        let with_endings = stems.iter().flat_map(|stem| endings().map(move |ending| format!("{stem}{ending}")));
        let mut keys: Vec<_> = with_endings
            .flat_map(|key| compressions.map(|compression| format!("{key}{}", compression.ending())))
            .filter(|key| self.output_key(key).is_ok_and(|made| made == output))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{Compression, Format, Output, Spec, Step};

    fn spec(input: Option<Format>, format: Option<Format>, compression: Option<Compression>) -> Spec {
        Spec { input, output: Output { format, compression }, ..Spec::default() }
    }

    #[test]
    fn keys_say_what_objects_hold_and_become() {
        use Compression::{Gzip, Zstd};
        use Format::{Csv, JsonLines, Parquet};
        for (spec, key, made) in [
            (spec(None, Some(Parquet), None), "a/b.jsonl", "a/b.parquet"),
            (spec(None, Some(Parquet), None), "a/b.csv.gz", "a/b.parquet"),
            (spec(None, Some(Csv), Some(Gzip)), "b.parquet", "b.csv.gz"),
            (spec(None, Some(JsonLines), None), "b.ndjson.zst", "b.ndjson.zst"),
            (spec(Some(JsonLines), Some(Parquet), None), "part-0001", "part-0001.parquet"),
            (spec(Some(JsonLines), Some(Parquet), None), "x.json", "x.parquet"),
            (spec(Some(JsonLines), Some(Parquet), None), "x.v2", "x.v2.parquet"),
            (spec(None, None, Some(Zstd)), "model.bin", "model.bin.zst"),
            (spec(None, None, Some(Compression::None)), "model.bin.gz", "model.bin"),
            (spec(None, None, Some(Gzip)), ".gz", ".gz.gz"),
        ] {
            assert_eq!(spec.output_key(key).unwrap(), made, "{key}");
        }
        let filters = Spec { steps: vec![Step::Drop(vec!["x".to_owned()])], ..Spec::default() };
        assert_eq!(filters.output_key("a.csv.gz").unwrap(), "a.csv.gz");
        for unknown in ["README.md", "a.parquet.gz", "a.json"] {
            assert!(filters.output_key(unknown).is_err(), "{unknown}");
        }
    }

    proptest! {
        #[test]
        fn what_a_key_becomes_tells_the_key(
            stem in "[a-c./]{0,6}",
            ending in prop::sample::select(vec!["", ".jsonl", ".ndjson", ".json", ".csv", ".parquet"]),
            compressed in prop::sample::select(vec!["", ".gz", ".zst"]),
            input in prop::option::of(prop::sample::select(Format::ALL.to_vec())),
            format in prop::option::of(prop::sample::select(Format::ALL.to_vec())),
            compression in prop::option::of(prop::sample::select(vec![Compression::None, Compression::Gzip])),
        ) {
            let (spec, key) = (spec(input, format, compression), format!("{stem}{ending}{compressed}"));
            if let (false, Ok(made)) = (key.is_empty(), spec.output_key(&key)) {
                let sources = spec.sources_of(&made);
                prop_assert!(sources.contains(&key), "{key} became {made}, which may be of {sources:?}");
                prop_assert!(sources.len() <= 24);
            }
        }
    }
}
