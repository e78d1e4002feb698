//! Which pages count: pure.

use serde::{Deserialize, Serialize};

use crate::{ManifestDigest, Sha256, Version};

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
    /// Only those from this key on count: a pass that was stopped has come so far, and written the others anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
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
    use super::{Index, PageRef};
    use crate::{Manifest, Version};

    #[test]
    fn reads_back_only_what_it_wrote_for_this_source() {
        let page = PageRef { name: "0f".into(), records: 3, from: Some("a\u{1}b".into()) };
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
    fn versions_that_are_lost_are_not_none() {
        let read = |index: &Index| Index::parse(&index.to_bytes("here").unwrap(), "here").unwrap();
        assert_eq!(read(&Index::default()).versions, None);
        let none = Index { versions: Some(Vec::new()), ..Index::default() };
        assert!(!String::from_utf8(none.to_bytes("here").unwrap()).unwrap().contains("versions"), "as it ever was");
        assert_eq!(read(&none), none);
    }
}
