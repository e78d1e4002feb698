//! Which pages count: pure.

use serde::{Deserialize, Serialize};

use crate::{KeyRange, ManifestDigest, Sha256, Version};

const VERSION: u32 = 2;

/// The pages of a target, in the order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) pages: Vec<PageRef>,
    /// What names all of it, if that is a dataset which is whole.
    pub(crate) manifest: Option<ManifestDigest>,
    /// The versions that are kept, the newest first; `None` where that is not known, since what was remembered is lost.
    pub(crate) versions: Option<Vec<Version>>,
}

/// A page that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PageRef {
    pub(crate) name: String,
    /// Its records.
    pub(crate) records: usize,
    /// The key of the first of them; `None` of pages that were written before indexes told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<String>,
    /// Only those from this key on count: a pass that was stopped has come so far, and written the others anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
}

impl PageRef {
    /// No key before it is on this page.
    pub(super) fn begins_at(&self) -> Option<&str> {
        self.from.as_deref().or(self.first.as_deref())
    }
}

/// Which of these pages may have records of these keys, or have to take them in; both are in the order of keys. The first page also
/// takes what comes before it.
pub(super) fn touched(pages: &[PageRef], keys: &[String]) -> Vec<bool> {
    let touches = |(index, page): (usize, &PageRef)| {
        let next = pages.get(index + 1).map(PageRef::begins_at);
        let (from, to) = match (page.begins_at(), next) {
            _ if keys.is_empty() => return false,
            // Where it begins or ends is not known.
            (None, _) | (_, Some(None)) => return true,
            (Some(from), to) => (if index == 0 { "" } else { from }, to.flatten()),
        };
        let after = keys.partition_point(|key| key.as_str() < from);
        keys.get(after).is_some_and(|key| to.is_none_or(|to| key.as_str() < to))
    };
    pages.iter().enumerate().map(touches).collect()
}

/// Which of these pages may have records of keys in a range.
pub(super) fn overlaps(pages: &[PageRef], range: &KeyRange) -> Vec<bool> {
    let overlaps = |(index, page): (usize, &PageRef)| {
        let next = pages.get(index + 1).and_then(PageRef::begins_at);
        // Where one begins may not be known.
        let begins_too_late = range.last.as_deref().zip(page.begins_at()).is_some_and(|(last, begins)| last < begins);
        let ends_too_early = range.after.as_deref().zip(next).is_some_and(|(after, next)| next <= after);
        !begins_too_late && !ends_too_early
    };
    pages.iter().enumerate().map(overlaps).collect()
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<Sha256>,
    #[serde(default = "no_versions", skip_serializing_if = "are_none")]
    versions: Option<Vec<Version>>,
    pages: Vec<PageRef>,
}

/// Of an index that was written where no versions were kept.
#[allow(clippy::unnecessary_wraps, reason = "serde hands it on")]
fn no_versions() -> Option<Vec<Version>> {
    Some(Vec::new())
}

#[allow(clippy::ref_option, reason = "serde hands a reference")]
fn are_none(versions: &Option<Vec<Version>>) -> bool {
    versions.as_ref().is_some_and(Vec::is_empty)
}

impl Index {
    /// Reads the index of a mirror of `source`. That of another source, of another version or a damaged one is `None`.
    pub(super) fn parse(bytes: &[u8], source: &str) -> Option<Self> {
        let Document { version, source: of, manifest, versions, pages } = serde_json::from_slice(bytes).ok()?;
        let manifest = manifest.map(ManifestDigest);
        (version == VERSION && of == source).then_some(Self { pages, manifest, versions })
    }

    /// The bytes that [`Index::parse`] reads.
    pub(super) fn to_bytes(&self, source: &str) -> serde_json::Result<Vec<u8>> {
        let Self { pages, manifest, versions } = self.clone();
        let manifest = manifest.map(|digest| digest.0);
        serde_json::to_vec(&Document { version: VERSION, source: source.to_owned(), manifest, versions, pages })
    }
}

#[cfg(test)]
mod tests {
    use super::{Index, PageRef, overlaps, touched};
    use crate::{KeyRange, Manifest, Version};

    #[test]
    fn reads_back_only_what_it_wrote_for_this_source() {
        let page = PageRef { name: "0f".into(), records: 3, first: Some("a".into()), from: Some("a\u{1}b".into()) };
        let digest = Manifest::default().digest();
        let version = Version { digest, published: Some(jiff::Timestamp::UNIX_EPOCH) };
        let index = Index { pages: vec![page], manifest: Some(digest), versions: Some(vec![version]) };
        let bytes = index.to_bytes("here").unwrap();
        assert_eq!(Index::parse(&bytes, "here"), Some(index));
        assert_eq!(Index::parse(&bytes, "there"), None);
        assert_eq!(Index::parse(&bytes[..bytes.len() - 3], "here"), None);
        assert_eq!(Index::parse(b"", "here"), None);
    }

    #[test]
    fn pages_of_which_no_key_is_asked_are_told_apart() {
        let page = |first: Option<&str>, from: Option<&str>| PageRef {
            name: String::new(),
            records: 1,
            first: first.map(str::to_owned),
            from: from.map(str::to_owned),
        };
        let pages = [page(Some("c"), None), page(Some("f"), Some("h")), page(Some("m"), None)];
        let touched = |pages: &[PageRef], keys: &[&str]| {
            touched(pages, &keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(touched(&pages, &[]), [false; 3]);
        assert_eq!(touched(&pages, &["a"]), [true, false, false], "before all of them");
        assert_eq!(touched(&pages, &["g"]), [true, false, false], "what does not count of a page is before it");
        assert_eq!(touched(&pages, &["h", "lz"]), [false, true, false]);
        assert_eq!(touched(&pages, &["b", "m"]), [true, false, true]);
        assert_eq!(touched(&pages, &["zz"]), [false, false, true]);
        let old = [page(Some("c"), None), page(None, None), page(Some("m"), None)];
        assert_eq!(touched(&old, &["z"]), [true, true, true], "where the old one begins is not known");
        assert_eq!(touched(&[], &["z"]), [] as [bool; 0]);
    }

    #[test]
    fn pages_that_have_nothing_of_a_range_are_told_apart() {
        let page = |first: &str| PageRef { name: first.into(), records: 1, first: Some(first.into()), from: None };
        let pages = [page("c"), page("f"), page("m")];
        let of = |after: Option<&str>, last: Option<&str>| {
            overlaps(&pages, &KeyRange { after: after.map(str::to_owned), last: last.map(str::to_owned) })
        };
        assert_eq!(of(None, None), [true; 3]);
        assert_eq!(of(None, Some("b")), [false; 3]);
        assert_eq!(of(None, Some("f")), [true, true, false]);
        assert_eq!(of(Some("f"), Some("g")), [false, true, false]);
        assert_eq!(of(Some("e"), Some("g")), [true, true, false], "it may have what is between e and f");
        assert_eq!(of(Some("z"), None), [false, false, true]);
        let old = [page("c"), PageRef { first: None, ..page("f") }, page("m")];
        assert_eq!(overlaps(&old, &KeyRange { after: Some("l".into()), last: Some("l".into()) }), [true, true, false]);
    }

    #[test]
    fn versions_that_are_lost_are_not_none() {
        let read = |index: &Index| Index::parse(&index.to_bytes("here").unwrap(), "here").unwrap();
        assert_eq!(read(&Index::default()).versions, None);
        let none = Index { versions: Some(Vec::new()), ..Index::default() };
        assert!(!String::from_utf8(none.to_bytes("here").unwrap()).unwrap().contains("versions"), "as it ever was");
        assert_eq!(read(&none), none);
    }
}
