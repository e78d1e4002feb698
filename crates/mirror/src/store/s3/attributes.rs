//! What an object carries beside its bytes, as headers: pure.

use http::request::Builder;
use http::{HeaderMap, HeaderValue};

use crate::store::http::header;
use crate::store::tags::{as_query, fitting};
use crate::{Attributes, Tags};

const METADATA: &str = "x-amz-meta-";
const TAGS: &str = "x-amz-tagging";

/// What S3 says of the tags that an object can have.
pub(super) const FITTING_TAGS: &str =
    "at most 10, with keys of 1 to 128 characters that do not begin with aws: and values of at most 256";

/// Puts the attributes on a request that writes. What cannot be a header fails with the request.
pub(super) fn write(mut request: Builder, attributes: &Attributes) -> Builder {
    let properties = [
        ("content-type", &attributes.content_type),
        ("cache-control", &attributes.cache_control),
        ("content-encoding", &attributes.content_encoding),
        ("content-disposition", &attributes.content_disposition),
        ("content-language", &attributes.content_language),
    ];
    for (name, value) in properties {
        if let Some(value) = value {
            request = request.header(name, value.as_bytes());
        }
    }
    for (name, value) in &attributes.metadata {
        request = request.header(format!("{METADATA}{name}"), value.as_bytes());
    }
    if !attributes.tags.is_empty() {
        request = request.header(TAGS, as_query(&attributes.tags));
    }
    request
}

/// The attributes that an answer tells. Amazon tells what is not ASCII in the form of RFC 2047, and it is kept in that form.
pub(super) fn read(headers: &HeaderMap) -> Attributes {
    let property = |name| headers.get(name).map(text);
    let metadata = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(METADATA)?;
        Some((name.to_owned(), text(value)))
    });
    Attributes {
        content_type: property("content-type"),
        cache_control: property("cache-control"),
        content_encoding: property("content-encoding"),
        content_disposition: property("content-disposition"),
        content_language: property("content-language"),
        metadata: metadata.collect(),
        ..Attributes::default()
    }
}

/// How many tags an object has.
pub(super) fn tag_count(headers: &HeaderMap) -> u32 {
    header(headers, "x-amz-tagging-count").and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// Those of the tags that an object can have. The others could not be written, and would fail the object.
pub(super) fn fitting_tags(tags: &Tags) -> Tags {
    fitting(tags, |key, value| {
        let length = key.encode_utf16().count();
        (1..=128).contains(&length) && value.encode_utf16().count() <= 256 && !key.starts_with("aws:")
    })
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{fitting_tags, read, write};
    use crate::{Attributes, Tags};

    #[test]
    fn attributes_travel_as_they_are() {
        let attributes = Attributes {
            content_type: Some("a/b".into()),
            content_disposition: Some("attachment; filename=\"é\"".into()),
            metadata: [("größe".to_owned(), "x".to_owned()), ("size".to_owned(), "Ü  b".to_owned())].into(),
            ..Attributes::default()
        };
        assert!(write(Request::get("/"), &attributes).body(()).is_err(), "no header has such a name");
        let attributes = Attributes { metadata: [("size".to_owned(), "Ü  b".to_owned())].into(), ..attributes };
        let request = write(Request::get("/"), &attributes).body(()).unwrap();
        assert_eq!(read(request.headers()), attributes);
    }

    #[test]
    fn tags_that_s3_would_refuse_are_left_out() {
        let tags = |pairs: &[(&str, &str)]| -> Tags {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let (long, longer, value) = ("k".repeat(128), "k".repeat(129), "v".repeat(257));
        let fine = tags(&[("größe", "ü@"), (&long, ""), ("a aws:", "x")]);
        assert_eq!(fitting_tags(&fine), fine);
        for (key, value) in [("", "x"), (&longer, "x"), ("a", &value), ("aws:cloudformation:stack", "x")] {
            assert_eq!(fitting_tags(&tags(&[(key, value)])), Tags::new(), "{key}");
        }
    }
}
