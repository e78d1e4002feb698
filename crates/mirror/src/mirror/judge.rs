//! Whether a target's object is the source's already, by what listings say and what is remembered: pure.

use crate::ObjectSummary;
use crate::state::StateEntry;

/// Whether nothing is to be done for an object.
///
/// Sizes must agree. Then either both listings say the same content, and the target's object was written after the source's
/// was last changed (a change of metadata alone changes only that time); or an earlier pass proved this very version of
/// the target's object to be a copy of this very version of the source's. An object of a dataset, whose SHA-256 must be known, is
/// settled only so.
pub(super) fn is_settled(
    source: &ObjectSummary,
    target: &ObjectSummary,
    remembered: Option<&StateEntry>,
    in_dataset: bool,
) -> bool {
    let is_proven =
        remembered.is_some_and(|entry| is_remembered(source, target, entry) && (entry.sha256.is_some() || !in_dataset));
    source.size == target.size && (is_proven || (!in_dataset && listings_agree(source, target)))
}

/// Whether listings alone will tell that the object is settled, so that nothing has to be remembered of it.
pub(super) fn listings_agree(source: &ObjectSummary, target: &ObjectSummary) -> bool {
    let same_md5 = source.md5.is_some() && source.md5 == target.md5;
    // Of a multipart upload too: an ETag over the same parts is the same.
    let same_etag = !source.etag.is_empty() && source.etag == target.etag;
    (same_md5 || same_etag) && target.modified >= source.modified
}

fn is_remembered(source: &ObjectSummary, target: &ObjectSummary, entry: &StateEntry) -> bool {
    entry.size == source.size
        && entry.source_etag == source.etag
        && entry.source_modified == source.modified
        && entry.target_etag == target.etag
}

#[cfg(test)]
mod tests {
    use super::is_settled;
    use crate::state::StateEntry;
    use crate::{ObjectSummary, Sha256};

    fn object(etag: &str, modified: i64) -> ObjectSummary {
        ObjectSummary { key: "k".to_owned(), size: 3, etag: etag.to_owned(), modified, md5: None }
    }

    fn entry() -> StateEntry {
        StateEntry {
            size: 3,
            sha256: None,
            source_etag: "s".to_owned(),
            source_modified: 100,
            target_etag: "t".to_owned(),
        }
    }

    #[test]
    fn equal_listings_settle_what_was_written_later() {
        assert!(is_settled(&object("e", 100), &object("e", 100), None, false));
        assert!(!is_settled(&object("e", 101), &object("e", 100), None, false), "metadata may have changed");
        assert!(!is_settled(&object("e", 90), &object("f", 100), None, false), "an older object with the same size");
        assert!(!is_settled(&object("", 90), &object("", 100), None, false), "nothing is known");
        let (mut source, mut target) = (object("generation", 90), object("0x8D", 100));
        (source.md5, target.md5) = (Some([1; 16]), Some([1; 16]));
        assert!(is_settled(&source, &target, None, false), "across providers");
        target.size = 4;
        assert!(!is_settled(&source, &target, None, false));
    }

    #[test]
    fn of_a_dataset_the_digest_must_be_known() {
        let settled = |entry: Option<&StateEntry>| is_settled(&object("s", 100), &object("t", 100), entry, true);
        let known = StateEntry { sha256: Some(Sha256::of(b"abc")), ..entry() };
        assert!(settled(Some(&known)));
        assert!(!settled(Some(&entry())) && !settled(None));
        assert!(!is_settled(&object("e", 100), &object("e", 100), None, true), "listings do not tell it");
    }

    #[test]
    fn what_was_proven_settles_exactly_those_versions() {
        assert!(is_settled(&object("s", 100), &object("t", 50), Some(&entry()), false));
        for (source, target) in [
            (object("s2", 100), object("t", 50)),
            (object("s", 99), object("t", 50)),
            (object("s", 100), object("t2", 50)),
        ] {
            assert!(!is_settled(&source, &target, Some(&entry()), false), "{source:?} {target:?}");
        }
    }
}
