//! Objects and listings as the JSON API has them: pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{
    Attributes, Checksum, ListPage, Md5, ObjectHead, ObjectSummary, Payload, StoredChecksum, Written, content,
};

/// The fields we ask for.
pub(super) const OBJECT_FIELDS: &str = "name,size,generation,updated,md5Hash,crc32c,contentType,cacheControl,\
    contentEncoding,contentDisposition,contentLanguage,metadata";
pub(super) const WRITTEN_FIELDS: &str = "generation,updated,crc32c";
pub(super) const LISTING_FIELDS: &str = "kind,nextPageToken,items(name,size,generation,updated,md5Hash)";

/// An object; numbers of 64 bits are text.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Resource {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing)]
    size: String,
    #[serde(skip_serializing)]
    generation: String,
    #[serde(skip_serializing)]
    updated: String,
    #[serde(skip_serializing)]
    md5_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) crc32c: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    kind: String,
    next_page_token: Option<String>,
    #[serde(default)]
    items: Vec<Resource>,
}

impl Resource {
    /// An object that is to be written.
    pub(super) fn of(attributes: &Attributes) -> Self {
        let attributes = attributes.clone();
        Self {
            content_type: attributes.content_type,
            cache_control: attributes.cache_control,
            content_encoding: attributes.content_encoding,
            content_disposition: attributes.content_disposition,
            content_language: attributes.content_language,
            metadata: attributes.metadata,
            ..Self::default()
        }
    }

    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| format!("the answer is no object: {error}"))
    }

    pub(super) fn generation(&self) -> Result<String, String> {
        self.generation.parse::<u64>().map_err(|_| "no generation".to_owned())?;
        Ok(self.generation.clone())
    }

    /// What it says of an object that was just written.
    pub(super) fn written(&self) -> Result<Written, String> {
        Ok(Written { etag: self.generation()?, modified: Some(self.modified()), checksum: self.checksum() })
    }

    /// The MD5, which what was composed has not.
    pub(super) fn md5(&self) -> Option<Md5> {
        self.md5_hash.as_deref().and_then(decode)
    }

    fn checksum(&self) -> Option<StoredChecksum> {
        self.crc32c.as_deref().and_then(decode).map(u32::from_be_bytes).map(Checksum::Crc32c).map(Into::into)
    }

    fn size(&self) -> Result<u64, String> {
        self.size.parse().map_err(|_| format!("the object {:?} has no size", self.name))
    }

    fn modified(&self) -> i64 {
        self.updated.parse::<Timestamp>().map_or(0, Timestamp::as_second)
    }

    pub(super) fn head(self) -> Result<ObjectHead, String> {
        Ok(ObjectHead {
            size: self.size()?,
            etag: self.generation()?,
            modified: self.modified(),
            checksum: self.checksum(),
            tag_count: 0,
            attributes: Attributes {
                content_type: self.content_type,
                cache_control: self.cache_control,
                content_encoding: self.content_encoding,
                content_disposition: self.content_disposition,
                content_language: self.content_language,
                metadata: self.metadata,
                ..Attributes::default()
            },
        })
    }

    fn summary(self, prefix: &str) -> Result<ObjectSummary, String> {
        let key = self.name.strip_prefix(prefix);
        let key = key.ok_or_else(|| format!("the name {:?} is outside the prefix {prefix:?}", self.name))?;
        Ok(ObjectSummary {
            key: key.to_owned(),
            size: self.size()?,
            etag: self.generation()?,
            modified: self.modified(),
            md5: self.md5(),
        })
    }
}

/// Reads one page; the error says what in it cannot be used.
pub(super) fn read_page(json: &[u8], prefix: &str) -> Result<ListPage, String> {
    let listing: Listing =
        serde_json::from_slice(json).map_err(|error| format!("the answer is no listing: {error}"))?;
    // The last page is one that names no other: so it has to be sure that it is a page.
    if listing.kind != "storage#objects" {
        return Err(format!("the answer is no listing but {:?}", listing.kind));
    }
    let objects = listing.items.into_iter().map(|object| object.summary(prefix)).collect::<Result<_, _>>()?;
    Ok(ListPage { objects, continuation: listing.next_page_token.filter(|token| !token.is_empty()) })
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

/// The CRC-32C of a content as Google writes it.
pub(super) fn crc32c(payload: &Payload) -> String {
    let crc = match payload.checksum() {
        Checksum::Crc32c(crc) => crc,
        _ => content::crc32c(payload.pieces()),
    };
    BASE64.encode(crc.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Resource, crc32c, read_page};
    use crate::{Attributes, Checksum, Payload};

    #[test]
    fn the_checksum_is_google_s() {
        // The check value of CRC-32C, 0xE3069283, with its bytes from the highest on.
        assert_eq!(crc32c(&Payload::of(&b"123456789"[..])), "4waSgw==");
    }

    #[test]
    fn a_page_is_read() {
        let page = br#"{"kind":"storage#objects","nextPageToken":"t","items":[{"name":"p/a\u0001b","size":"3",
            "generation":"17","updated":"2009-10-09T21:04:30.5Z","md5Hash":"kAFQmDzST7DWlj99KOF/cg=="}]}"#;
        let page = read_page(page, "p/").unwrap();
        let object = &page.objects[0];
        assert_eq!((object.key.as_str(), object.size, object.etag.as_str()), ("a\u{1}b", 3, "17"));
        assert_eq!((object.modified, object.md5.is_some()), (1_255_122_270, true));
        assert_eq!(page.continuation.as_deref(), Some("t"));
    }

    #[test]
    fn what_is_no_page_does_not_end_a_listing() {
        assert_eq!(read_page(br#"{"kind":"storage#objects"}"#, "").unwrap().continuation, None);
        for wrong in ["", "{}", "[]", r#"{"kind":"storage#object"}"#, "<html>"] {
            assert!(read_page(wrong.as_bytes(), "").is_err(), "{wrong}");
        }
        let outside = br#"{"kind":"storage#objects","items":[{"name":"q","size":"1","generation":"1"}]}"#;
        assert!(read_page(outside, "p/").unwrap_err().contains("outside the prefix"));
    }

    #[test]
    fn an_object_keeps_its_attributes_and_checksum() {
        let attributes = Attributes {
            content_type: Some("a/b".into()),
            metadata: [("Größe".to_owned(), "ü\n".to_owned())].into(),
            ..Attributes::default()
        };
        let mut json = serde_json::to_value(Resource::of(&attributes)).unwrap();
        for (name, value) in [("size", "1"), ("generation", "2"), ("crc32c", "4waSgw==")] {
            json[name] = value.into();
        }
        let head = Resource::read(json.to_string().as_bytes()).unwrap().head().unwrap();
        assert_eq!(head.attributes, attributes);
        assert_eq!(head.checksum, Some(Checksum::Crc32c(0xE306_9283).into()));
    }
}
