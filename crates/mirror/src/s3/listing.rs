//! How keys come out of a listing: pure.

use std::borrow::Cow;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{EncodingType, Object};
use percent_encoding::percent_decode_str;

use crate::{ListPage, Md5, ObjectSummary};

/// Reads one page; the error says what in it cannot be used.
pub(super) fn read_page(page: ListObjectsV2Output, prefix: &str) -> Result<ListPage, String> {
    let encoded = page.encoding_type == Some(EncodingType::Url);
    let continuation = match page.is_truncated {
        Some(false) => None,
        Some(true) => {
            let token = page.next_continuation_token.filter(|token| !token.is_empty());
            Some(token.ok_or("the listing goes on but names no continuation token")?)
        }
        None => return Err("the listing does not say whether it goes on".to_owned()),
    };
    let objects = page.contents.unwrap_or_default();
    let objects = objects.into_iter().map(|object| read_object(object, encoded, prefix)).collect::<Result<_, _>>()?;
    Ok(ListPage { objects, continuation })
}

fn read_object(object: Object, encoded: bool, prefix: &str) -> Result<ObjectSummary, String> {
    let key = object.key.ok_or("an object without a key")?;
    let key = if encoded { decode(&key)? } else { key };
    let relative =
        key.strip_prefix(prefix).ok_or_else(|| format!("the key {key:?} is outside the prefix {prefix:?}"))?;
    let size = object.size.and_then(|size| u64::try_from(size).ok());
    let etag = bare_etag(object.e_tag);
    Ok(ObjectSummary {
        key: relative.to_owned(),
        size: size.ok_or_else(|| format!("the object {key:?} has no size"))?,
        md5: md5_of(&etag),
        etag,
        modified: object.last_modified.map_or(0, |time| time.secs()),
    })
}

/// Undoes `encoding-type=url`, in which a space is `+` or `%20`.
fn decode(key: &str) -> Result<String, String> {
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| format!("the key {key:?} is not UTF-8"))
}

/// The ETag of an object that was written in one request is the MD5 of its content, unless it is encrypted by a key of KMS or of
/// the client: then it is no object's MD5, and equals nothing.
fn md5_of(etag: &str) -> Option<Md5> {
    let mut md5 = Md5::default();
    hex::decode_to_slice(etag, &mut md5).ok().map(|()| md5)
}

/// An ETag without the quotes around it.
pub(super) fn bare_etag(etag: Option<String>) -> String {
    etag.map(|etag| etag.trim_matches('"').to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{decode, read_page};
    use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
    use aws_sdk_s3::types::{EncodingType, Object};

    #[test]
    fn both_spellings_of_a_space_are_one() {
        assert_eq!(decode("a+b%20c%2Bd%0A%25/%2F"), Ok("a b c+d\n%//".to_owned()));
        assert_eq!(decode("%C3%A9e%CC%81"), Ok("ée\u{301}".to_owned()));
        assert!(decode("%FF").unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn only_an_explicit_end_ends_a_listing() {
        let page = || ListObjectsV2Output::builder();
        assert_eq!(read_page(page().is_truncated(false).build(), "").unwrap().continuation, None);
        let more = page().is_truncated(true).next_continuation_token("t").build();
        assert_eq!(read_page(more, "").unwrap().continuation, Some("t".to_owned()));
        assert!(read_page(page().is_truncated(true).build(), "").unwrap_err().contains("continuation"));
        assert!(read_page(page().build(), "").unwrap_err().contains("whether it goes on"));
    }

    #[test]
    fn keys_are_decoded_only_when_the_store_encoded_them() {
        let object = || Object::builder().key("p/a%2Bb").size(1).build();
        let page = || ListObjectsV2Output::builder().is_truncated(false).contents(object());
        assert_eq!(read_page(page().build(), "p/").unwrap().objects[0].key, "a%2Bb");
        assert_eq!(read_page(page().encoding_type(EncodingType::Url).build(), "p/").unwrap().objects[0].key, "a+b");
        assert!(read_page(page().build(), "q/").unwrap_err().contains("outside the prefix"));
    }
}
