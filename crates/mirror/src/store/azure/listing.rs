//! How blobs come out of a listing: pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::percent_decode_str;

use crate::store::http::http_date;
use crate::store::xml::{Element, each_element};
use crate::{ListPage, ObjectSummary};

const BLOB: &str = "EnumerationResults/Blobs/Blob";

/// Reads one page; the error says what in it cannot be used.
pub(super) fn read_page(xml: &[u8], prefix: &str) -> Result<ListPage, String> {
    let mut objects = Vec::new();
    let mut continuation = None;
    let mut blob = Blob::default();
    each_element(xml, |element| {
        if element.path == BLOB {
            objects.extend(std::mem::take(&mut blob).summary(prefix)?);
        } else if let Some(name) = element.path.strip_prefix(BLOB).and_then(|path| path.strip_prefix('/')) {
            blob.take(name, element)?;
        } else if element.path == "EnumerationResults/NextMarker" {
            continuation = Some(element.text.to_owned());
        }
        Ok(())
    })?;
    let continuation = continuation.ok_or("the listing does not say whether it goes on")?;
    Ok(ListPage { objects, continuation: Some(continuation).filter(|marker| !marker.is_empty()) })
}

#[derive(Default)]
struct Blob {
    name: Option<String>,
    size: Option<u64>,
    etag: String,
    modified: i64,
    md5: Option<crate::Md5>,
    is_directory: bool,
}

impl Blob {
    fn take(&mut self, name: &str, element: &Element<'_>) -> Result<(), String> {
        match name {
            "Name" => self.name = Some(name_of(element)?),
            "Properties/Content-Length" => self.size = element.text.parse().ok(),
            "Properties/Etag" => self.etag = bare(element.text),
            "Properties/Last-Modified" => self.modified = http_date(element.text).unwrap_or_default(),
            "Properties/Content-MD5" => {
                self.md5 = BASE64.decode(element.text).ok().and_then(|md5| md5.try_into().ok());
            }
            // Accounts with a hierarchical namespace list folders, which have no content.
            "Properties/ResourceType" => self.is_directory = element.text == "directory",
            _ => {}
        }
        Ok(())
    }

    fn summary(self, prefix: &str) -> Result<Option<ObjectSummary>, String> {
        if self.is_directory {
            return Ok(None);
        }
        let name = self.name.ok_or("a blob without a name")?;
        let key =
            name.strip_prefix(prefix).ok_or_else(|| format!("the name {name:?} is outside the prefix {prefix:?}"))?;
        let size = self.size.ok_or_else(|| format!("the blob {name:?} has no size"))?;
        Ok(Some(ObjectSummary { key: key.to_owned(), size, etag: self.etag, modified: self.modified, md5: self.md5 }))
    }
}

/// Azure marks names that XML cannot hold and percent-encodes them.
fn name_of(element: &Element<'_>) -> Result<String, String> {
    if !element.is_encoded {
        return Ok(element.text.to_owned());
    }
    let name = percent_decode_str(element.text).decode_utf8().map(std::borrow::Cow::into_owned);
    name.map_err(|_| format!("the name {:?} is not UTF-8", element.text))
}

/// An ETag without the quotes around it: listings have none, headers do.
pub(super) fn bare(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::read_page;
    use crate::ObjectSummary;

    fn page(blobs: &str, end: &str) -> String {
        format!(
            "\u{feff}<?xml version=\"1.0\"?><EnumerationResults><Prefix>p/</Prefix><Blobs>{blobs}</Blobs>{end}</EnumerationResults>"
        )
    }

    #[test]
    fn a_blob_is_read_byte_for_byte() {
        let blob = "<Blob><Name>p/ a&amp;&#x62; </Name><Properties><Last-Modified>Fri, 09 Oct 2009 21:04:30 GMT\
                    </Last-Modified><Etag>0x8D</Etag><Content-Length>3</Content-Length><Content-MD5>\
                    kAFQmDzST7DWlj99KOF/cg==</Content-MD5></Properties></Blob>";
        let encoded = "<Blob><Name Encoded=\"true\">p/%EF%BF%BE</Name><Properties><Content-Length>0</Content-Length>\
                       </Properties></Blob>";
        let folder = "<Blob><Name>p/d</Name><Properties><ResourceType>directory</ResourceType></Properties></Blob>";
        let page = read_page(page(&format!("{blob}{folder}{encoded}"), "<NextMarker />").as_bytes(), "p/").unwrap();
        let wanted = ObjectSummary {
            key: " a&b ".into(),
            size: 3,
            etag: "0x8D".into(),
            modified: 1_255_122_270,
            md5: hex::decode("900150983cd24fb0d6963f7d28e17f72").unwrap().try_into().ok(),
        };
        assert_eq!((page.objects[0].clone(), page.objects.len(), page.continuation), (wanted, 2, None));
        assert_eq!(page.objects[1].key, "\u{fffe}");
    }

    #[test]
    fn only_an_explicit_end_ends_a_listing() {
        let read = |end: &str| read_page(page("", end).as_bytes(), "");
        assert_eq!(read("<NextMarker/>").unwrap().continuation, None);
        assert_eq!(read("<NextMarker>m</NextMarker>").unwrap().continuation, Some("m".into()));
        assert!(read("").unwrap_err().contains("whether it goes on"));
        for cut in [&b""[..], b"<EnumerationResults><NextMarker/>", b"{}", b"\xff"] {
            assert!(read_page(cut, "").is_err());
        }
    }

    #[test]
    fn a_name_outside_the_prefix_is_refused() {
        let blob = "<Blob><Name>q</Name><Properties><Content-Length>0</Content-Length></Properties></Blob>";
        assert!(read_page(page(blob, "<NextMarker/>").as_bytes(), "p/").unwrap_err().contains("outside the prefix"));
    }
}
