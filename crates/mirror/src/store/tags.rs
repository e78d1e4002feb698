//! An object's tags, as stores that have them write and read them: pure.

use std::collections::BTreeMap;

use crate::store::http::encoded;
use crate::store::xml::each_element;
use crate::{StoreError, StoreErrorKind};

/// An object's tags. Unlike metadata they can be changed without writing the object, and no listing shows that they were.
pub type Tags = BTreeMap<String, String>;

/// As many as S3 and Azure take for one object.
const MOST_TAGS: usize = 10;

/// Why a store does not hold the tags that an object came with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum TagsLost {
    /// It has no tags.
    #[error("which it cannot keep")]
    Unsupported,
    /// It has tags, and not such ones.
    #[error("some of which it cannot keep: it takes {0}")]
    Unfit(&'static str),
    /// The credentials may not write tags.
    #[error("which its credentials may not write: they lack {0}")]
    Refused(&'static str),
}

/// The tags as a query, which is how requests that write an object carry them.
pub(crate) fn as_query(tags: &Tags) -> String {
    let pairs: Vec<_> = tags.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect();
    pairs.join("&")
}

/// Reads the tags that an answer tells; `root` is the name of its outermost element.
pub(crate) fn read(xml: &[u8], root: &str) -> Result<Tags, String> {
    let (mut tags, mut key, mut value, mut ended) = (Tags::new(), String::new(), String::new(), false);
    each_element(xml, |element| {
        let path = element.path.strip_prefix(root);
        match path {
            Some("/TagSet/Tag/Key") => element.text.clone_into(&mut key),
            Some("/TagSet/Tag/Value") => element.text.clone_into(&mut value),
            Some("/TagSet/Tag") => _ = tags.insert(std::mem::take(&mut key), std::mem::take(&mut value)),
            Some("") => ended = true,
            _ => {}
        }
        Ok(())
    })?;
    if ended { Ok(tags) } else { Err(format!("the answer is no {root}")) }
}

/// Those of the tags that a store takes, which has as many as S3 and Azure.
pub(crate) fn fitting(tags: &Tags, fits: impl Fn(&str, &str) -> bool) -> Tags {
    let fitting = tags.iter().filter(|(key, value)| fits(key, value)).take(MOST_TAGS);
    fitting.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What a test of tags says: how it went to write a tiny object with some, and to read them back. An error is none of tags.
pub(crate) fn judge_test(
    written: Result<(), StoreError>,
    read: Result<Tags, StoreError>,
    permission: &'static str,
) -> Result<Option<TagsLost>, StoreError> {
    if let Err(error) = written {
        return match error.kind {
            StoreErrorKind::CredentialsRefused => Ok(Some(TagsLost::Refused(permission))),
            StoreErrorKind::Rejected => Ok(Some(TagsLost::Unsupported)),
            _ => Err(error),
        };
    }
    match read {
        // A store may take what it does not know, and forget it.
        Ok(tags) => Ok(tags.is_empty().then_some(TagsLost::Unsupported)),
        Err(error) if error.kind == StoreErrorKind::Rejected => Ok(Some(TagsLost::Unsupported)),
        // Who may write them need not be allowed to read them.
        Err(error) if error.kind == StoreErrorKind::CredentialsRefused => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a tiny object carries when it is tried whether a store keeps tags.
pub(crate) fn test_tags() -> Tags {
    Tags::from([("skyfleet".to_owned(), "probe".to_owned())])
}

#[cfg(test)]
mod tests {
    use super::{Tags, TagsLost, as_query, fitting, judge_test, read, test_tags};
    use crate::{Place, StoreErrorKind};

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn tags_are_written_as_a_query() {
        assert_eq!(as_query(&tags(&[("a b", "1+2=3"), ("team", "")])), "a%20b=1%2B2%3D3&team=");
        assert_eq!(as_query(&Tags::new()), "");
    }

    #[test]
    fn tags_are_read_from_either_cloud() {
        let set = "<TagSet><Tag><Key>a&amp;b</Key><Value>1</Value></Tag><Tag><Key>c</Key><Value/></Tag></TagSet>";
        let wanted = tags(&[("a&b", "1"), ("c", "")]);
        for root in ["Tagging", "Tags"] {
            assert_eq!(read(format!("<{root}>{set}</{root}>").as_bytes(), root), Ok(wanted.clone()));
            assert_eq!(read(format!("<{root}><TagSet/></{root}>").as_bytes(), root), Ok(Tags::new()));
        }
        for wrong in ["", "<Error><Code>x</Code></Error>", "<Tagging><TagSet>"] {
            assert!(read(wrong.as_bytes(), "Tagging").is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_more_are_written_than_fit() {
        let many: Tags = (0..12).map(|number| (format!("{number:02}"), "x".to_owned())).collect();
        let fitting = fitting(&many, |key, _| key != "03");
        assert_eq!(fitting.keys().map(String::as_str).collect::<Vec<_>>().concat(), "00010204050607080910");
    }

    #[test]
    fn a_test_tells_who_keeps_tags() {
        let error = |kind| Place { endpoint: "e".into(), bucket: "b".into(), prefix: "".into() }.error(kind, "ask", "");
        let (refused, rejected) = (StoreErrorKind::CredentialsRefused, StoreErrorKind::Rejected);
        let (lost, may_not) = (Some(TagsLost::Unsupported), Some(TagsLost::Refused("p")));
        for (written, read, wanted) in [
            (Ok(()), Ok(test_tags()), Ok(None)),
            (Ok(()), Ok(Tags::new()), Ok(lost.clone())),
            (Ok(()), Err(rejected.clone()), Ok(lost.clone())),
            (Ok(()), Err(refused.clone()), Ok(None)),
            (Ok(()), Err(StoreErrorKind::Unavailable), Err(StoreErrorKind::Unavailable)),
            (Err(rejected.clone()), Err(rejected), Ok(lost)),
            (Err(refused.clone()), Err(refused), Ok(may_not)),
            (Err(StoreErrorKind::Unreachable), Ok(Tags::new()), Err(StoreErrorKind::Unreachable)),
        ] {
            let found = judge_test(written.map_err(error), read.map_err(error), "p");
            assert_eq!(found.map_err(|error| error.kind), wanted);
        }
    }
}
