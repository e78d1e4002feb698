//! Whether a target's object is the source's already, by what listings say and what is remembered: pure.

use crate::ObjectSummary;
use crate::dataset::version_store::content_of;
use crate::state::{Fit, StateEntry};

/// Whether nothing is to be done for an object.
///
/// One that is not made of the source's is as large. Then either both listings say the same content, and the target's object was written after the source's
/// was last changed (a change of metadata alone changes only that time); or an earlier pass proved this very version of
/// the target's object to be a copy of this very version of the source's. An object of a dataset, whose SHA-256 must be known, is
/// settled only so, and one that a transform made only by that very transform.
pub(super) fn is_settled(
    source: &ObjectSummary,
    target: &ObjectSummary,
    remembered: Option<&StateEntry>,
    wanted: Wanted<'_>,
) -> bool {
    let Wanted { in_dataset, made_by } = wanted;
    let is_proven = remembered.is_some_and(|entry| is_proven(source, target, entry, wanted));
    let is_told = !in_dataset && made_by.is_none() && source.size == target.size && listings_agree(source, target);
    is_proven || is_told
}

fn is_proven(source: &ObjectSummary, target: &ObjectSummary, entry: &StateEntry, wanted: Wanted<'_>) -> bool {
    is_remembered(source, target, entry, wanted.made_by) && (entry.sha256.is_some() || !wanted.in_dataset)
}

/// How what is known of an object fits what both sides have of it.
pub(super) fn fit(
    (source, wanted): (Option<&ObjectSummary>, Wanted<'_>),
    target: Option<&ObjectSummary>,
    entry: &StateEntry,
) -> Fit {
    match (source, target) {
        (Some(source), Some(target)) if is_proven(source, target, entry, wanted) => Fit::Settled,
        (_, Some(target)) if entry.target_etag == target.etag => Fit::Held,
        _ => Fit::Stale,
    }
}

/// What targets are to hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    /// Whether the SHA-256 of each object must be known.
    pub(super) in_dataset: bool,
    /// What names the transform that makes their objects; `None` of copies.
    pub(super) made_by: Option<&'a str>,
}

/// Whether listings alone will tell that the object is settled, so that nothing has to be remembered of it.
pub(super) fn listings_agree(source: &ObjectSummary, target: &ObjectSummary) -> bool {
    let same_md5 = source.md5.is_some() && source.md5 == target.md5;
    // Of a multipart upload too: an ETag over the same parts is the same.
    let same_etag = !source.etag.is_empty() && source.etag == target.etag;
    (same_md5 || same_etag) && target.modified >= source.modified
}

fn is_remembered(source: &ObjectSummary, target: &ObjectSummary, entry: &StateEntry, made_by: Option<&str>) -> bool {
    let made = entry.made.as_ref();
    made.map(|made| made.by.as_str()) == made_by
        && made.map_or(entry.size, |made| made.source_size) == source.size
        && entry.size == target.size
        && entry.target_etag == target.etag
        && is_same_version(source, entry)
}

/// Whether it was made of this version of the source's object. One that is named by its content is known by that, whatever it was named by
/// before: see [`open_version`](crate::open_version).
fn is_same_version(source: &ObjectSummary, entry: &StateEntry) -> bool {
    let is_named = entry.source_etag == source.etag && entry.source_modified == source.modified;
    let read = || entry.made.as_ref().map_or(entry.sha256, |made| made.source_sha256);
    is_named || content_of(&source.etag).is_some_and(|content| read() == Some(content))
}

#[cfg(test)]
mod tests {
    use super::{Wanted, fit, is_settled};
    use crate::state::{Fit, Made, StateEntry};
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
            made: None,
        }
    }

    #[test]
    fn equal_listings_settle_what_was_written_later() {
        assert!(is_settled(&object("e", 100), &object("e", 100), None, Wanted::default()));
        assert!(
            !is_settled(&object("e", 101), &object("e", 100), None, Wanted::default()),
            "metadata may have changed"
        );
        assert!(
            !is_settled(&object("e", 90), &object("f", 100), None, Wanted::default()),
            "an older object with the same size"
        );
        assert!(!is_settled(&object("", 90), &object("", 100), None, Wanted::default()), "nothing is known");
        let (mut source, mut target) = (object("generation", 90), object("0x8D", 100));
        (source.md5, target.md5) = (Some([1; 16]), Some([1; 16]));
        assert!(is_settled(&source, &target, None, Wanted::default()), "across providers");
        target.size = 4;
        assert!(!is_settled(&source, &target, None, Wanted::default()));
    }

    #[test]
    fn of_a_dataset_the_digest_must_be_known() {
        let settled = |entry: Option<&StateEntry>| {
            is_settled(&object("s", 100), &object("t", 100), entry, Wanted { in_dataset: true, made_by: None })
        };
        let known = StateEntry { sha256: Some(Sha256::of(b"abc")), ..entry() };
        assert!(settled(Some(&known)));
        assert!(!settled(Some(&entry())) && !settled(None));
        assert!(
            !is_settled(&object("e", 100), &object("e", 100), None, Wanted { in_dataset: true, made_by: None }),
            "listings do not tell it"
        );
    }

    #[test]
    fn what_a_transform_made_is_settled_by_that_transform_alone() {
        let made = Made { by: "one".into(), source_key: "k.csv".into(), source_size: 3, ..Made::default() };
        let entry = StateEntry { size: 7, made: Some(Box::new(made)), ..entry() };
        let target = ObjectSummary { size: 7, ..object("t", 100) };
        let settled = |source: &ObjectSummary, entry: &StateEntry, made_by| {
            is_settled(source, &target, Some(entry), Wanted { in_dataset: false, made_by })
        };
        assert!(settled(&object("s", 100), &entry, Some("one")));
        assert!(!settled(&object("s", 100), &entry, Some("other")) && !settled(&object("s", 100), &entry, None));
        assert!(!settled(&ObjectSummary { size: 4, ..object("s", 100) }, &entry, Some("one")));
        assert!(!settled(&object("s", 100), &super::tests::entry(), Some("one")), "a copy is not made by it");
        assert!(!is_settled(
            &object("e", 100),
            &object("e", 100),
            None,
            Wanted { in_dataset: false, made_by: Some("one") }
        ));
    }

    #[test]
    fn what_is_known_fits_what_is_there_more_or_less() {
        let (source, target) = (object("s", 100), object("t", 50));
        for (source, target, fits) in [
            (Some(&source), Some(&target), Fit::Settled),
            (Some(&object("s2", 100)), Some(&target), Fit::Held),
            (None, Some(&target), Fit::Held),
            (Some(&source), Some(&object("t2", 50)), Fit::Stale),
            (Some(&source), None, Fit::Stale),
        ] {
            assert_eq!(fit((source, Wanted::default()), target, &entry()), fits, "{source:?} {target:?}");
        }
        let in_dataset = Wanted { in_dataset: true, made_by: None };
        assert_eq!(fit((Some(&source), in_dataset), Some(&target), &entry()), Fit::Held, "its digest is not known");
    }

    #[test]
    fn what_is_named_by_its_content_is_settled_by_that() {
        let settled = |content: &[u8], entry: &StateEntry| {
            let source = object(&format!("sha256:{}", Sha256::of(content)), 500);
            let wanted = Wanted { in_dataset: true, made_by: entry.made.as_ref().map(|made| made.by.as_str()) };
            is_settled(&source, &object("t", 100), Some(entry), wanted)
        };
        let copied = StateEntry { sha256: Some(Sha256::of(b"abc")), ..entry() };
        assert!(settled(b"abc", &copied) && !settled(b"abd", &copied));
        let made = Made { by: "t".into(), source_size: 3, source_sha256: Some(Sha256::of(b"csv")), ..Made::default() };
        let made = StateEntry { made: Some(Box::new(made)), ..copied };
        assert!(settled(b"csv", &made) && !settled(b"abc", &made));
    }

    #[test]
    fn what_was_proven_settles_exactly_those_versions() {
        assert!(is_settled(&object("s", 100), &object("t", 50), Some(&entry()), Wanted::default()));
        for (source, target) in [
            (object("s2", 100), object("t", 50)),
            (object("s", 99), object("t", 50)),
            (object("s", 100), object("t2", 50)),
        ] {
            assert!(!is_settled(&source, &target, Some(&entry()), Wanted::default()), "{source:?} {target:?}");
        }
    }
}
