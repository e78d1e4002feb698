//! How keys come out of a listing: pure.

use std::borrow::Cow;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use crate::store::xml::{Element, each_element};
use crate::{ListPage, Md5, ObjectSummary};

/// Reads one page; the error says what in it cannot be used.
pub(super) fn read_page(xml: &[u8], prefix: &str) -> Result<ListPage, String> {
    let mut page = Page::default();
    each_element(xml, |element| page.take(element))?;
    page.end(prefix)
}

#[derive(Default)]
struct Page {
    /// Keys are still as they came: whether they are encoded may be said after them.
    objects: Vec<ObjectSummary>,
    object: Object,
    is_encoded: bool,
    is_truncated: Option<bool>,
    token: Option<String>,
}

#[derive(Default)]
struct Object {
    key: Option<String>,
    size: Option<u64>,
    etag: String,
    modified: i64,
}

impl Page {
    fn take(&mut self, element: &Element<'_>) -> Result<(), String> {
        let text = element.text;
        match element.path {
            "ListBucketResult/Contents/Key" => self.object.key = Some(text.to_owned()),
            "ListBucketResult/Contents/Size" => self.object.size = text.parse().ok(),
            "ListBucketResult/Contents/ETag" => text.trim_matches('"').clone_into(&mut self.object.etag),
            "ListBucketResult/Contents/LastModified" => {
                self.object.modified = text.parse().map_or(0, Timestamp::as_second);
            }
            "ListBucketResult/Contents" => self.objects.push(std::mem::take(&mut self.object).summary()?),
            "ListBucketResult/EncodingType" => self.is_encoded = text == "url",
            "ListBucketResult/IsTruncated" => self.is_truncated = text.parse().ok(),
            "ListBucketResult/NextContinuationToken" => self.token = Some(text.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn end(mut self, prefix: &str) -> Result<ListPage, String> {
        let token = self.token.filter(|token| !token.is_empty());
        let continuation = match self.is_truncated {
            Some(false) => None,
            Some(true) => Some(token.ok_or("the listing goes on but names no continuation token")?),
            None => return Err("the listing does not say whether it goes on".to_owned()),
        };
        for object in &mut self.objects {
            if self.is_encoded {
                object.key = decode(&object.key)?;
            }
            let outside = || format!("the key {:?} is outside the prefix {prefix:?}", object.key);
            if !prefix.is_empty() {
                object.key = object.key.strip_prefix(prefix).ok_or_else(outside)?.to_owned();
            }
        }
        Ok(ListPage { objects: self.objects, continuation })
    }
}

impl Object {
    fn summary(self) -> Result<ObjectSummary, String> {
        let key = self.key.ok_or("an object without a key")?;
        let size = self.size.ok_or_else(|| format!("the object {key:?} has no size"))?;
        Ok(ObjectSummary { key, size, md5: md5_of(&self.etag), etag: self.etag, modified: self.modified })
    }
}

/// Undoes `encoding-type=url`, in which a space is `+` or `%20`.
pub(super) fn decode(key: &str) -> Result<String, String> {
    let spaced = if key.contains('+') { Cow::Owned(key.replace('+', " ")) } else { Cow::Borrowed(key) };
    let decoded = percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| format!("the key {key:?} is not UTF-8"))
}

/// The ETag of an object that was written in one request is the MD5 of its content, unless it is encrypted by a key of KMS or of
/// the client: then it is no object's MD5, and equals nothing.
fn md5_of(etag: &str) -> Option<Md5> {
    let mut md5 = Md5::default();
    hex::decode_to_slice(etag, &mut md5).ok().map(|()| md5)
}

#[cfg(test)]
mod tests {
    use super::{decode, read_page};

    fn page(inside: &str) -> String {
        format!("<?xml version=\"1.0\"?><ListBucketResult xmlns=\"u\">{inside}</ListBucketResult>")
    }

    #[test]
    fn both_spellings_of_a_space_are_one() {
        assert_eq!(decode("a+b%20c%2Bd%0A%25/%2F"), Ok("a b c+d\n%//".to_owned()));
        assert_eq!(decode("%C3%A9e%CC%81"), Ok("ée\u{301}".to_owned()));
        assert!(decode("%FF").unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn only_an_explicit_end_ends_a_listing() {
        let read = |inside: &str| read_page(page(inside).as_bytes(), "");
        assert_eq!(read("<IsTruncated>false</IsTruncated>").unwrap().continuation, None);
        let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
        assert_eq!(read(more).unwrap().continuation, Some("t".to_owned()));
        assert!(read("<IsTruncated>true</IsTruncated>").unwrap_err().contains("continuation"));
        assert!(read("").unwrap_err().contains("whether it goes on"));
        let cut = &page("<IsTruncated>false</IsTruncated>")[..60];
        assert!(read_page(cut.as_bytes(), "").is_err());
        assert!(read_page(b"<Error><Code>InternalError</Code></Error>", "").is_err());
    }

    #[test]
    fn an_object_is_read() {
        let object = "<Contents><Key>p/a</Key><LastModified>2009-10-09T21:04:30.000Z</LastModified>\
                      <ETag>&quot;900150983cd24fb0d6963f7d28e17f72&quot;</ETag><Size>3</Size></Contents>\
                      <IsTruncated>false</IsTruncated>";
        let object = &read_page(page(object).as_bytes(), "p/").unwrap().objects[0];
        assert_eq!((object.key.as_str(), object.size, object.modified), ("a", 3, 1_255_122_270));
        assert_eq!((object.etag.as_str(), object.md5.is_some()), ("900150983cd24fb0d6963f7d28e17f72", true));
    }

    #[test]
    fn keys_are_decoded_only_when_the_store_encoded_them() {
        let object = "<Contents><Key>p/a%2Bb</Key><Size>1</Size></Contents><IsTruncated>false</IsTruncated>";
        let read = |inside: &str, prefix: &str| {
            read_page(page(inside).as_bytes(), prefix).map(|page| page.objects[0].key.clone())
        };
        assert_eq!(read(object, "p/").unwrap(), "a%2Bb");
        assert_eq!(read(&format!("{object}<EncodingType>url</EncodingType>"), "p/").unwrap(), "a+b");
        assert!(read(object, "q/").unwrap_err().contains("outside the prefix"));
    }
}
