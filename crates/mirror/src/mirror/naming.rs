//! What the source's objects are called at the targets, and which are cut into pieces: pure.

use std::num::NonZeroU64;
use std::sync::Arc;

use skyfleet_transform::{Cuttable, Format, NotCut, Piece, Transform};

use super::key_range::{Endings, KeyRange, Span};
use super::listing::Listed;
use crate::ObjectSummary;

/// What names the way in which objects are cut. Another way that gives other pieces gets another name.
const CUT: &str = "rows/1";

/// How the keys of targets come from those of the source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Naming {
    transform: Option<Arc<Transform>>,
    piece_size: Option<NonZeroU64>,
    /// What names the making of pieces.
    cut_by: String,
}

/// What one of the source's objects is to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    Whole,
    Piece(CutOut),
    /// It cannot be, and fails when it is to be copied.
    Refused(NotCut),
}

/// A piece of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CutOut {
    pub(crate) piece: Piece,
    pub(crate) format: Format,
    /// Bytes of the whole object.
    pub(crate) whole: u64,
}

impl Naming {
    pub(super) fn new(transform: Option<Arc<Transform>>, piece_size: Option<NonZeroU64>) -> Self {
        let cut_by = transform.as_ref().map_or_else(|| CUT.to_owned(), |by| format!("{}+{CUT}", by.digest()));
        Self { transform, piece_size, cut_by }
    }

    /// What an object of the source becomes.
    pub(super) fn list(&self, object: ObjectSummary) -> Vec<Listed> {
        let Some(piece_size) = self.piece_size else { return vec![self.whole(object)] };
        let cuttable = match Cuttable::of(&object.key, self.transform.as_deref()) {
            Ok(Some(cuttable)) => cuttable,
            Ok(None) => return vec![self.whole(object)],
            Err(why) => return vec![refused(object, why)],
        };
        let piece = |piece: Piece| {
            let (source_key, share) = (object.key.clone(), piece.share(object.size));
            let key = cuttable.piece_key(piece);
            let key = self.made_of(&key).unwrap_or(key);
            let how = How::Piece(CutOut { piece, format: cuttable.format, whole: object.size });
            let size = share.end - share.start;
            Listed {
                object: ObjectSummary { key, size, md5: None, ..object.clone() },
                source_key: Some(source_key),
                how,
            }
        };
        match Piece::all(object.size, piece_size) {
            Ok(pieces) => pieces.map(piece).collect(),
            Err(why) => vec![refused(object, why)],
        }
    }

    /// An object whose key does not say what would become of it keeps that key, and fails when it is read.
    fn whole(&self, mut object: ObjectSummary) -> Listed {
        let key = self.made_of(&object.key);
        let source_key = key.filter(|key| *key != object.key).map(|key| std::mem::replace(&mut object.key, key));
        Listed { object, source_key, how: How::Whole }
    }

    fn made_of(&self, key: &str) -> Option<String> {
        self.transform.as_ref()?.output_key(key).ok()
    }

    /// The keys of the source's objects of which the one with this key may be made, each whole or as a piece.
    pub(super) fn sources_of(&self, key: &str) -> Vec<String> {
        let mut keys = self.read_as(key);
        keys.extend(self.pieces_called(key).map(|(whole, _)| whole).collect::<Vec<_>>());
        keys
    }

    /// The keys that a transform may have read to make the one with this key.
    fn read_as(&self, key: &str) -> Vec<String> {
        self.transform.as_ref().map_or_else(|| vec![key.to_owned()], |transform| transform.sources_of(key))
    }

    /// The objects of the source that would be cut, or are cut into other pieces, if the one with this key came of them.
    pub(super) fn cut_of(&self, key: &str) -> Vec<String> {
        let pieces: Vec<_> = self.pieces_called(key).map(|(whole, _)| whole).collect();
        let is_cut = |key: &String| matches!(Cuttable::of(key, self.transform.as_deref()), Ok(Some(_)));
        if pieces.is_empty() { self.read_as(key).into_iter().filter(is_cut).collect() } else { pieces }
    }

    /// The pieces that may be called so, and the objects of the source that they are of.
    fn pieces_called(&self, key: &str) -> impl Iterator<Item = (String, Piece)> {
        let keys = if self.piece_size.is_some() { self.read_as(key) } else { Vec::new() };
        keys.into_iter().filter_map(|key| Cuttable::of(&key, self.transform.as_deref()).ok()??.whole())
    }

    /// Whether an object of the source, of so many bytes, becomes the one with this key, or a part of it does.
    pub(super) fn becomes(&self, source_key: &str, size: u64, key: &str) -> bool {
        let cut = self.piece_size.map(|piece_size| (Cuttable::of(source_key, self.transform.as_deref()), piece_size));
        match cut {
            Some((Ok(Some(_)), piece_size)) => {
                let of = Piece::all(size, piece_size).map_or(0, Iterator::count);
                self.pieces_called(key).any(|(whole, piece)| whole == source_key && piece.of as usize == of)
            }
            _ => self.made_of(source_key).map_or(source_key == key, |made| made == key),
        }
    }

    /// What names the making of an object; `None` of copies.
    pub(crate) fn made_by(&self, how: &How) -> Option<&str> {
        match how {
            How::Whole => self.transform.as_ref().map(|transform| transform.digest()),
            How::Piece(_) => Some(&self.cut_by),
            // Nothing was ever made so: it is never settled.
            How::Refused(_) => Some(""),
        }
    }

    /// What has to be listed of the source for what the targets have in a range.
    pub(super) fn span(&self, range: &KeyRange) -> Span {
        if self.transform.is_none() && !self.cuts() {
            return range.span();
        }
        // A transform that reads what has no ending gives it one.
        let reads_any = self.transform.as_ref().is_some_and(|transform| transform.output_key("a").is_ok());
        let endings = if reads_any || self.cuts() { Endings::Sometimes } else { Endings::Always };
        Span::of_sources(range, endings)
    }

    /// Whether objects are not taken as they are.
    pub(super) fn transforms(&self) -> bool {
        self.transform.is_some()
    }

    /// Whether objects are cut.
    pub(super) fn cuts(&self) -> bool {
        self.piece_size.is_some()
    }
}

fn refused(object: ObjectSummary, why: NotCut) -> Listed {
    Listed { object, source_key: None, how: How::Refused(why) }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::Arc;

    use proptest::prelude::*;
    use skyfleet_transform::{Compression, Format, NotCut, Output, Piece, Spec, Transform};

    use super::super::key_range::KeyRange;
    use super::{How, Naming};
    use crate::ObjectSummary;

    fn naming(to: Option<Format>, piece_size: u64) -> Naming {
        let output = Output { format: to, compression: None };
        let transform = to.map(|_| Arc::new(Transform::new(Spec { output, ..Spec::default() }).unwrap()));
        Naming::new(transform, NonZeroU64::new(piece_size))
    }

    fn listed(naming: &Naming, key: &str, size: u64) -> Vec<(String, u64)> {
        let object = ObjectSummary { key: key.to_owned(), size, ..ObjectSummary::default() };
        naming.list(object).into_iter().map(|listed| (listed.object.key, listed.object.size)).collect()
    }

    #[test]
    fn objects_with_rows_become_their_pieces_and_others_stay() {
        let cut = naming(None, 4);
        let pieces = [("a-00000-of-00003.csv", 3), ("a-00001-of-00003.csv", 3), ("a-00002-of-00003.csv", 4)];
        assert_eq!(listed(&cut, "a.csv", 10), pieces.map(|(key, size)| (key.to_owned(), size)));
        assert_eq!(listed(&cut, "a.bin", 10), [("a.bin".to_owned(), 10)]);
        let made = listed(&naming(Some(Format::Parquet), 8), "a.csv", 10);
        assert_eq!(made[1], ("a-00001-of-00002.parquet".to_owned(), 5));
        let object = ObjectSummary { key: "a.csv.gz".to_owned(), size: 10, ..ObjectSummary::default() };
        assert_eq!(cut.list(object)[0].how, How::Refused(NotCut::Compressed));
        assert_eq!(listed(&naming(None, 0), "a.csv", 10), [("a.csv".to_owned(), 10)], "without a size nothing is cut");
    }

    #[test]
    fn a_key_tells_of_what_it_may_be_made() {
        let cut = naming(None, 4);
        let key = "a-00001-of-00003.csv";
        assert_eq!(cut.sources_of(key), [key, "a.csv"]);
        assert!(cut.becomes("a.csv", 10, key));
        assert!(!cut.becomes("a.csv", 13, key), "that has four pieces");
        assert!(!cut.becomes(key, 10, key), "it is cut itself");
        assert!(!cut.becomes("a.csv", 10, "a.csv"));
        assert_eq!(naming(None, 0).sources_of(key), [key]);
        assert!(naming(Some(Format::Parquet), 8).sources_of("a-00001-of-00002.parquet").contains(&"a.csv".to_owned()));
    }

    #[test]
    fn pieces_copies_and_what_is_transformed_are_told_apart() {
        let piece = super::CutOut { piece: Piece { index: 0, of: 1 }, format: Format::Csv, whole: 1 };
        let (piece, names) = (How::Piece(piece), [naming(None, 4), naming(Some(Format::Csv), 4)]);
        let made_by: Vec<_> =
            names.iter().flat_map(|naming| [naming.made_by(&How::Whole), naming.made_by(&piece)]).collect();
        assert_eq!(made_by[..2], [None, Some("rows/1")]);
        assert_ne!(made_by[2], made_by[3]);
    }

    fn transform() -> impl Strategy<Value = Option<Spec>> {
        let format = || prop::option::of(prop::sample::select(vec![Format::JsonLines, Format::Csv, Format::Parquet]));
        let compressions = vec![Compression::None, Compression::Gzip, Compression::Zstd];
        let compression = prop::option::of(prop::sample::select(compressions));
        let spec = (format(), format(), compression).prop_map(|(input, format, compression)| Spec {
            input,
            output: Output { format, compression },
            ..Spec::default()
        });
        prop::option::of(spec)
    }

    fn key() -> impl Strategy<Value = String> {
        let endings =
            ["", "", ".jsonl", ".csv", ".parquet", ".gz", ".csv.gz", ".ndjson.zst", ".json", ".txt", ".v2.csv"];
        let stem = "([a0!./é-]|-00000-of-00001|-00001-of-00002){0,4}";
        (stem, prop::sample::select(endings.to_vec())).prop_map(|(stem, ending)| format!("{stem}{ending}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn whatever_becomes_a_key_of_a_range_is_listed(
            spec in transform(), piece_size in prop::option::of(1..4_u64),
            keys in prop::collection::vec((key(), 0..8_u64), 1..20), (after, last) in (0..20_usize, 0..20_usize),
        ) {
            let Ok(transform) = spec.map(Transform::new).transpose() else { return Ok(()) };
            let naming = Naming::new(transform.map(Arc::new), piece_size.and_then(NonZeroU64::new));
            let made: Vec<_> = keys
                .iter()
                .flat_map(|(key, size)| listed(&naming, key, *size).into_iter().map(move |(made, _)| (key, made)))
                .collect();
            let at = |index: usize| made.get(index).map(|(_, made)| made.clone());
            let range = KeyRange { after: at(after), last: at(last) };
            let span = naming.span(&range);
            for (key, made) in made.iter().filter(|(_, made)| range.holds(made)) {
                let is_listed = span.after.as_ref().is_none_or(|after| after < *key) && !span.ends_before(key);
                prop_assert!(is_listed && key.starts_with(span.prefix()), "{key} becomes {made}: {span:?}");
            }
        }
    }
}
