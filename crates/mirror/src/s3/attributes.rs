//! What an object carries beside its bytes, as headers: pure.

use http::request::Builder;
use http::{HeaderMap, HeaderValue};

use crate::Attributes;

const METADATA: &str = "x-amz-meta-";

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
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{read, write};
    use crate::Attributes;

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
}
