//! Keys between two others, and where they come from at the source: pure.

use serde::{Deserialize, Serialize};

/// Keys after `after` up to `last`, which is one of them; `None` bounds nothing. They are those of the targets, relative to the
/// prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// No key up to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// No key behind this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

impl KeyRange {
    /// Whether this key is one of them.
    #[must_use]
    pub fn holds(&self, key: &str) -> bool {
        self.after.as_deref().is_none_or(|after| after < key) && self.last.as_deref().is_none_or(|last| key <= last)
    }

    /// What is to be listed of those who have these very keys.
    pub(super) fn span(&self) -> Span {
        // No text lies between one and that with a zero behind it.
        Span { after: self.after.clone(), end: self.last.as_ref().map(|last| format!("{last}\0")) }
    }
}

/// The part of a listing that has to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// It begins behind this key.
    pub(super) after: Option<String>,
    /// It ends before this one.
    pub(super) end: Option<String>,
}

/// What may follow what two keys have in common, when one is made of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endings {
    /// Both have an ending, which begins with a dot.
    Always,
    /// One may have none, or the number of a piece.
    Sometimes,
}

impl Span {
    /// Where all objects of the source lie of which one is made whose key is in the range. Their keys have a stem in common, and what
    /// follows differs: so that is left away of the bounds.
    pub(super) fn of_sources(range: &KeyRange, endings: Endings) -> Self {
        let stem = |key: &str| {
            let ends = |byte: &u8| match endings {
                Endings::Always => *byte == b'.',
                // No ending and no number of a piece comes before what is smaller than either begins with.
                Endings::Sometimes => *byte <= b'.',
            };
            key.bytes().position(|byte| ends(&byte)).map_or(key, |end| &key[..end]).to_owned()
        };
        let before = |mut stem: String| {
            if endings == Endings::Sometimes {
                // The stem itself may be a key.
                stem.pop();
            }
            (!stem.is_empty()).then_some(stem)
        };
        Self {
            after: range.after.as_deref().map(stem).and_then(before),
            // A slash is what follows a dot.
            end: range.last.as_deref().map(|last| format!("{}/", stem(last))),
        }
    }

    /// What all keys of it begin with.
    pub(super) fn prefix(&self) -> &str {
        let (Some(after), Some(end)) = (&self.after, &self.end) else { return "" };
        let common = after.chars().zip(end.chars()).take_while(|(one, other)| one == other);
        &after[..common.map(|(one, _)| one.len_utf8()).sum::<usize>()]
    }

    /// Whether no key from this one on is in it, where keys are in their order.
    pub(super) fn ends_before(&self, key: &str) -> bool {
        self.end.as_deref().is_some_and(|end| key >= end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Endings, KeyRange, Span};

    fn range(after: Option<&str>, last: Option<&str>) -> KeyRange {
        KeyRange { after: after.map(str::to_owned), last: last.map(str::to_owned) }
    }

    #[test]
    fn the_source_is_listed_from_about_there_on() {
        for (after, last, endings, from, end, prefix) in [
            ("a/17.parquet", "a/34.parquet", Endings::Always, Some("a/17"), "a/34/", "a/"),
            ("a/x-1.v2.csv", "a/x-2.csv", Endings::Always, Some("a/x-1"), "a/x-2/", "a/x-"),
            ("a/x-1.csv", "a/x-2.csv", Endings::Sometimes, Some("a/"), "a/x/", "a/"),
            (".csv", "b", Endings::Always, None, "b/", ""),
            ("b", "b", Endings::Sometimes, None, "b/", ""),
            ("aé", "aéé", Endings::Always, Some("aé"), "aéé/", "aé"),
            ("aé", "aè", Endings::Always, Some("aé"), "aè/", "a"),
        ] {
            let span = Span::of_sources(&range(Some(after), Some(last)), endings);
            assert_eq!((span.after.as_deref(), span.end.as_deref()), (from, Some(end)), "{after} {last}");
            assert_eq!(span.prefix(), prefix);
        }
        assert_eq!(Span::of_sources(&KeyRange::default(), Endings::Always), Span::default());
    }

    #[test]
    fn a_range_of_one_key_has_it() {
        let one = range(Some("a"), Some("b"));
        assert_eq!(["a", "a\0", "b", "b\0", "c"].map(|key| one.holds(key)), [false, true, true, false, false]);
        assert!(one.span().ends_before("b\0") && !one.span().ends_before("b"));
        assert!(KeyRange::default().holds("") && !KeyRange::default().span().ends_before("z"));
    }

    proptest! {
        #[test]
        fn what_is_in_a_range_is_in_what_is_listed(
            (after, last) in ("[aé/]{0,3}", "[aé/]{0,3}"), key in "[aé/\0]{0,4}",
        ) {
            let range = range(Some(&after), Some(&last));
            let span = range.span();
            if range.holds(&key) {
                prop_assert!(key.starts_with(span.prefix()) && !span.ends_before(&key) && after < key);
            }
        }
    }
}
