//! Which bytes of an object are read: pure.

use http::HeaderMap;

use crate::store::http::header;

/// Bytes of an object: from the one at `from` to the one before `to`, or to its end when that comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByteRange {
    /// The first one, from 0.
    pub from: u64,
    /// The first one after it; nothing for all to the end.
    pub to: Option<u64>,
}

impl ByteRange {
    /// The whole object.
    pub const ALL: Self = Self { from: 0, to: None };

    /// All from this one on.
    #[must_use]
    pub const fn starting_at(from: u64) -> Self {
        Self { from, to: None }
    }

    /// What a `Range` header asks for it (RFC 9110, section 14.2); nothing for the whole object.
    pub(crate) fn header(self) -> Option<String> {
        match self {
            Self::ALL => None,
            Self { from, to: None } => Some(format!("bytes={from}-")),
            Self { from, to: Some(to) } => Some(format!("bytes={from}-{}", to.saturating_sub(1))),
        }
    }

    /// Where it ends in an object of this size.
    pub(crate) fn end_in(self, size: u64) -> u64 {
        self.to.map_or(size, |to| to.min(size))
    }

    /// The size of the whole object, by an answer that has these bytes of it; the error says that it has others.
    pub(crate) fn whole_size(self, answer: &HeaderMap) -> Result<u64, String> {
        let length: u64 = header(answer, "content-length").and_then(|size| size.parse().ok()).ok_or("no size")?;
        let told = header(answer, "content-range");
        let (from, to, size) = match told {
            Some(told) => content_range(told).ok_or_else(|| format!("a range that is none: {told:?}"))?,
            None => (0, length, length),
        };
        if from == self.from && to == self.end_in(size) && length == to - from {
            Ok(size)
        } else {
            Err(format!(
                "asked for bytes {}, got {length} bytes, the range {told:?}",
                self.header().unwrap_or_default()
            ))
        }
    }
}

/// The first byte, the one after the last, and the object's size (RFC 9110, section 14.4).
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (from, to) = (first.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?);
    (from < to).then_some((from, to, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::ByteRange;

    #[test]
    fn an_answer_has_the_bytes_that_were_asked_for_or_is_none() {
        let (all, rest) = (ByteRange::ALL, ByteRange::starting_at(4));
        let some = |from, to| ByteRange { from, to: Some(to) };
        for (asked, header, length, told, size) in [
            (all, None, "9", "", Some(9)),
            (all, None, "9", "bytes 0-8/9", Some(9)),
            (all, None, "8", "bytes 0-7/9", None),
            (all, None, "0", "", Some(0)),
            (all, None, "", "", None),
            (rest, Some("bytes=4-"), "5", "bytes 4-8/9", Some(9)),
            (rest, Some("bytes=4-"), "9", "", None),
            (rest, Some("bytes=4-"), "4", "bytes 5-8/9", None),
            (rest, Some("bytes=4-"), "5", "bytes 4-8/*", None),
            (some(0, 4), Some("bytes=0-3"), "4", "bytes 0-3/9", Some(9)),
            (some(4, 6), Some("bytes=4-5"), "2", "bytes 4-5/9", Some(9)),
            (some(4, 6), Some("bytes=4-5"), "3", "bytes 4-6/9", None),
            (some(4, 6), Some("bytes=4-5"), "2", "bytes 4-6/9", None),
            // It ends before.
            (some(0, 99), Some("bytes=0-98"), "9", "bytes 0-8/9", Some(9)),
            (some(0, 99), Some("bytes=0-98"), "9", "", Some(9)),
            // It knows no ranges.
            (some(0, 4), Some("bytes=0-3"), "9", "", None),
            (some(0, 4), Some("bytes=0-3"), "1", "bytes 3-0/9", None),
        ] {
            let headers = [("content-length", length), ("content-range", told)].into_iter();
            let headers = headers.filter(|(_, text)| !text.is_empty());
            let parse = |(name, text): (&'static str, &str)| (HeaderName::from_static(name), text.parse().unwrap());
            let headers: HeaderMap = headers.map(parse).collect();
            assert_eq!(asked.header().as_deref(), header);
            assert_eq!(asked.whole_size(&headers).ok(), size, "{asked:?} {length:?} {told:?}");
        }
    }
}
