//! What pieces are called.

use crate::format::{Compression, Format};
use crate::{NotCut, Piece, Transform};

/// An object that can be cut between its rows, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuttable<'a> {
    stem: &'a str,
    ending: &'a str,
    /// How its rows lie.
    pub format: Format,
}

/// A piece, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceName {
    /// The key of the whole.
    pub whole: String,
    /// Which piece it is.
    pub piece: Piece,
    /// How its rows lie.
    pub format: Format,
    /// How it is compressed.
    pub compression: Compression,
}

impl<'a> Cuttable<'a> {
    /// What the key of an object says, which goes through this transform afterwards; `None` of one without rows that could be told
    /// apart: it stays whole.
    ///
    /// # Errors
    /// It has rows, and cannot be cut.
    pub fn of(key: &'a str, transform: Option<&Transform>) -> Result<Option<Self>, NotCut> {
        let spec = transform.map(Transform::spec);
        if let Some(spec) = spec.filter(|spec| spec.has_rows()) {
            // What says nothing of its format fails when it is read.
            let Ok(named) = spec.named(key) else { return Ok(None) };
            let cuttable = named.format.map(|format| Self { stem: named.stem, ending: named.ending, format });
            return if named.compression == Compression::None { Ok(cuttable) } else { Err(NotCut::Compressed) };
        }
        let (rest, compression) = Compression::of_key(key);
        let Some(cuttable) = Self::by_ending(rest) else { return Ok(None) };
        match (compression, cuttable.format) {
            (Compression::None, Format::Parquet) if spec.is_some() => Err(NotCut::NotRead),
            (Compression::None, _) => Ok(Some(cuttable)),
            _ => Err(NotCut::Compressed),
        }
    }

    fn by_ending(key: &'a str) -> Option<Self> {
        Format::ALL.into_iter().find_map(|format| {
            let stem = format.endings().iter().find_map(|ending| key.strip_suffix(ending))?;
            Some(Self { stem, ending: &key[stem.len()..], format })
        })
    }

    /// The key of a piece: `a/train.jsonl` is cut into `a/train-00000-of-00016.jsonl` and so on.
    #[must_use]
    pub fn piece_key(&self, piece: Piece) -> String {
        format!("{}{}{}", self.stem, suffix(piece), self.ending)
    }

    /// The key of the whole, where this is one of its pieces.
    #[must_use]
    pub fn whole(&self) -> Option<(String, Piece)> {
        let (rest, of) = self.stem.rsplit_once("-of-")?;
        let (stem, index) = rest.rsplit_once('-')?;
        let piece = Piece { index: index.parse().ok()?, of: of.parse().ok()? };
        let is_one = piece.index < piece.of && suffix(piece) == self.stem[stem.len()..];
        is_one.then(|| (format!("{stem}{}", self.ending), piece))
    }
}

fn suffix(Piece { index, of }: Piece) -> String {
    format!("-{index:05}-of-{of:05}")
}

impl PieceName {
    /// What a key says, if it is that of a piece. Compressed ones are pieces that were compressed after they were cut.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let (rest, compression) = Compression::of_key(key);
        let cuttable = Cuttable::by_ending(rest)?;
        let (whole, piece) = cuttable.whole()?;
        Some(Self { whole: format!("{whole}{}", compression.ending()), piece, format: cuttable.format, compression })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Cuttable, PieceName};
    use crate::{Compression, Format, NotCut, Output, Piece, Spec, Step, Transform};

    const PIECE: Piece = Piece { index: 3, of: 16 };

    fn piece_key(key: &str, transform: Option<&Transform>) -> Result<Option<String>, NotCut> {
        Cuttable::of(key, transform).map(|cuttable| cuttable.map(|cuttable| cuttable.piece_key(PIECE)))
    }

    #[test]
    fn keys_say_what_can_be_cut_and_what_comes_of_it() {
        for (key, expected) in [
            ("a/train.jsonl", Ok(Some("a/train-00003-of-00016.jsonl"))),
            ("x.v2.ndjson", Ok(Some("x.v2-00003-of-00016.ndjson"))),
            ("x.csv", Ok(Some("x-00003-of-00016.csv"))),
            ("x-00000-of-00002.parquet", Ok(Some("x-00000-of-00002-00003-of-00016.parquet"))),
            (".csv", Ok(Some("-00003-of-00016.csv"))),
            ("x.jsonl.gz", Err(NotCut::Compressed)),
            ("x.parquet.zst", Err(NotCut::Compressed)),
            ("model-00001-of-00002.safetensors", Ok(None)),
            ("x.json", Ok(None)),
            ("x.gz", Ok(None)),
        ] {
            assert_eq!(piece_key(key, None), expected.map(|key| key.map(str::to_owned)), "{key}");
        }
    }

    #[test]
    fn a_transform_has_its_own_say() {
        let transform = |spec: Spec| Transform::new(spec).unwrap();
        let rows = transform(Spec {
            input: Some(Format::JsonLines),
            steps: vec![Step::Drop(vec!["x".to_owned()])],
            ..Spec::default()
        });
        assert_eq!(piece_key("x.json", Some(&rows)), Ok(Some("x-00003-of-00016.json".to_owned())));
        assert_eq!(piece_key("x.json.gz", Some(&rows)), Err(NotCut::Compressed));
        let output = Output { format: None, compression: Some(Compression::Gzip) };
        let bytes = transform(Spec { output, ..Spec::default() });
        assert_eq!(piece_key("x.csv", Some(&bytes)), Ok(Some("x-00003-of-00016.csv".to_owned())));
        assert_eq!(piece_key("x.parquet", Some(&bytes)), Err(NotCut::NotRead));
        assert_eq!(piece_key("x.bin", Some(&bytes)), Ok(None));
    }

    #[test]
    fn only_what_is_called_just_so_is_a_piece() {
        let name = PieceName::parse("a/x-00003-of-00016.csv.gz").unwrap();
        assert_eq!((name.whole.as_str(), name.piece, name.compression), ("a/x.csv.gz", PIECE, Compression::Gzip));
        for other in ["x-3-of-16.csv", "x-00016-of-00016.csv", "x-000003-of-00016.csv", "x-00003-of-00016.bin", "x.csv"]
        {
            assert_eq!(PieceName::parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_piece_tells_the_whole(
            stem in "[a-c./-]{0,6}(-00001-of-00002)?",
            ending in prop::sample::select(vec![".jsonl", ".ndjson", ".csv", ".parquet"]),
            of in 1..200_000_u32, index in any::<prop::sample::Index>(),
        ) {
            let key = format!("{stem}{ending}");
            let piece = Piece { index: u32::try_from(index.index(of as usize)).unwrap(), of };
            let name = PieceName::parse(&Cuttable::of(&key, None).unwrap().unwrap().piece_key(piece)).unwrap();
            prop_assert_eq!((name.whole, name.piece), (key, piece));
        }
    }
}
