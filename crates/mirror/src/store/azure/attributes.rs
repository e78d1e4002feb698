//! What a blob carries beside its bytes, as headers: pure.
//!
//! Azure's metadata has names that are C# identifiers, in any case, and values in ASCII. Whatever does not fit travels in one
//! more entry, `skyfleet_attributes`: percent-encoded JSON in the form of [`Attributes`]. So nothing is refused or lost, and a
//! program that does not know of it still sees what fits.

use http::HeaderMap;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::store::http::header;
use crate::store::tags::{as_query, fitting};
use crate::{Attributes, Tags};

const METADATA: &str = "x-ms-meta-";
const TAGS: &str = "x-ms-tags";
const OTHERS: &str = "skyfleet_attributes";

/// What Azure says of the tags that a blob can have.
pub(super) const FITTING_TAGS: &str = "at most 10, with keys of 1 to 128 and values of at most 256 characters, of ASCII letters, digits, spaces and +-./:=_";

/// What JSON may have and a header may not. A run of spaces would be signed as one.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// The headers that write attributes; the error says what cannot be written.
pub(super) fn to_headers(attributes: &Attributes) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    let mut others = Attributes::default();
    let properties = [
        ("content-type", &attributes.content_type, &mut others.content_type),
        ("cache-control", &attributes.cache_control, &mut others.cache_control),
        ("content-encoding", &attributes.content_encoding, &mut others.content_encoding),
        ("content-disposition", &attributes.content_disposition, &mut others.content_disposition),
        ("content-language", &attributes.content_language, &mut others.content_language),
    ];
    for (name, value, other) in properties {
        match value {
            Some(value) if is_plain(value) => headers.push((format!("x-ms-blob-{name}"), value.clone())),
            value => other.clone_from(value),
        }
    }
    let ambiguous = is_order_ambiguous(attributes.metadata.keys());
    for (name, value) in &attributes.metadata {
        if is_name(name) && is_plain(value) && !(ambiguous && name.contains('_')) {
            headers.push((format!("{METADATA}{name}"), value.clone()));
        } else {
            others.metadata.insert(name.clone(), value.clone());
        }
    }
    if others != Attributes::default() {
        let json = serde_json::to_string(&others).map_err(|error| error.to_string())?;
        headers.push((format!("{METADATA}{OTHERS}"), utf8_percent_encode(&json, ENCODED).to_string()));
    }
    if !attributes.tags.is_empty() {
        headers.push((TAGS.to_owned(), as_query(&attributes.tags)));
    }
    Ok(headers)
}

/// The attributes that an answer tells.
pub(super) fn from_headers(headers: &HeaderMap) -> Attributes {
    let property = |name| header(headers, name).map(str::to_owned);
    let mut attributes = Attributes {
        content_type: property("content-type"),
        cache_control: property("cache-control"),
        content_encoding: property("content-encoding"),
        content_disposition: property("content-disposition"),
        content_language: property("content-language"),
        ..Attributes::default()
    };
    for (name, value) in headers {
        if let (Some(name), Ok(value)) = (name.as_str().strip_prefix(METADATA), value.to_str()) {
            attributes.metadata.insert(name.to_owned(), value.to_owned());
        }
    }
    if let Some(others) = attributes.metadata.get(OTHERS).and_then(|text| decode(text)) {
        attributes.metadata.remove(OTHERS);
        merge(&mut attributes, others);
    }
    attributes
}

/// How many tags a blob has.
pub(super) fn tag_count(headers: &HeaderMap) -> u32 {
    header(headers, "x-ms-tag-count").and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// Those of the tags that a blob can have. The others could not be written, and would fail the blob.
pub(super) fn fitting_tags(tags: &Tags) -> Tags {
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" +-./:=_".contains(&byte));
    fitting(tags, |key, value| (1..=128).contains(&key.len()) && value.len() <= 256 && is_plain(key) && is_plain(value))
}

fn decode(text: &str) -> Option<Attributes> {
    serde_json::from_str(&percent_decode_str(text).decode_utf8().ok()?).ok()
}

fn merge(attributes: &mut Attributes, others: Attributes) {
    let Attributes {
        content_type,
        cache_control,
        content_encoding,
        content_disposition,
        content_language,
        metadata,
        ..
    } = others;
    let properties = [
        (&mut attributes.content_type, content_type),
        (&mut attributes.cache_control, cache_control),
        (&mut attributes.content_encoding, content_encoding),
        (&mut attributes.content_disposition, content_disposition),
        (&mut attributes.content_language, content_language),
    ];
    for (property, other) in properties {
        if other.is_some() {
            *property = other;
        }
    }
    attributes.metadata.extend(metadata);
}

/// A C# identifier that Azure and headers give back as it is: they do not keep upper case.
fn is_name(name: &str) -> bool {
    let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    starts_well && name.bytes().all(is_plain) && name != OTHERS
}

/// A shared key signs the headers in an order, and Azure's is that of a dictionary: it has `_` before digits, ASCII after them.
fn is_order_ambiguous<'a>(names: impl Iterator<Item = &'a String>) -> bool {
    // They come in the order of ASCII.
    let names: Vec<_> = names.filter(|name| is_name(name)).map(|name| name.replace('_', "\0")).collect();
    !names.is_sorted()
}

/// A value that travels and is signed as it is.
fn is_plain(value: &str) -> bool {
    let visible = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    visible && !value.is_empty() && value.trim() == value && !value.contains("  ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::{fitting_tags, from_headers, to_headers};
    use crate::{Attributes, Tags};

    /// As they come back: written as `x-ms-blob-content-type`, read as `content-type`.
    fn travel(attributes: &Attributes) -> (HeaderMap, Attributes) {
        let mut headers = HeaderMap::new();
        for (name, value) in to_headers(attributes).unwrap() {
            let name = name.replace("x-ms-blob-", "");
            headers.insert(name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap());
            assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{value:?}");
        }
        let read = from_headers(&headers);
        (headers, read)
    }

    #[test]
    fn what_fits_is_plain() {
        let attributes = Attributes {
            content_type: Some("a/b".into()),
            metadata: BTreeMap::from([("revision".into(), "a1 b2".into())]),
            ..Attributes::default()
        };
        let (headers, read) = travel(&attributes);
        assert_eq!(
            (headers.len(), &headers["x-ms-meta-revision"], read),
            (2, &HeaderValue::from_static("a1 b2"), attributes)
        );
    }

    #[test]
    fn tags_that_azure_would_refuse_are_left_out() {
        let tags = |key: &str, value: &str| Tags::from([(key.to_owned(), value.to_owned())]);
        for (key, value) in [("team a", "1+2-3./:=_"), (&"k".repeat(128), &"v".repeat(256)), ("empty", "")] {
            assert_eq!(fitting_tags(&tags(key, value)), tags(key, value));
        }
        for (key, value) in [("", "x"), (&"k".repeat(129), ""), ("a", &"v".repeat(257)), ("a@b", "x"), ("a", "ü")] {
            assert_eq!(fitting_tags(&tags(key, value)), Tags::new(), "{key} {value}");
        }
        let attributes = Attributes { tags: tags("a b", "c=d"), ..Attributes::default() };
        assert_eq!(to_headers(&attributes).unwrap(), [("x-ms-tags".to_owned(), "a%20b=c%3Dd".to_owned())]);
    }

    #[test]
    fn names_whose_order_is_not_the_same_everywhere_do_not_stand_side_by_side() {
        let metadata: BTreeMap<_, _> = ["a1", "a_b"].map(|name| (name.to_owned(), "x".to_owned())).into();
        let attributes = Attributes { metadata, ..Attributes::default() };
        let (headers, read) = travel(&attributes);
        assert!(headers.contains_key("x-ms-meta-a1") && !headers.contains_key("x-ms-meta-a_b"));
        assert_eq!(read, attributes);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(
            metadata in prop::collection::btree_map("\\PC{0,8}|[a-z_]{1,8}|[A-Z-]{1,8}", "\\PC{0,8}|[a-z \n]{0,8}", 0..5),
            content_disposition in prop::option::of("\\PC{1,12}| +"),
        ) {
            let attributes = Attributes { content_disposition, metadata, ..Attributes::default() };
            prop_assert_eq!(travel(&attributes).1, attributes);
        }
    }
}
