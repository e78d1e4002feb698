//! Multipart uploads as S3's XML has them: pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::Sha256;
use crate::xml::each_element;

/// The request that makes an object of its parts.
pub(super) fn completion(parts: &[(String, Sha256)]) -> String {
    let parts = (1..).zip(parts).map(|(number, (etag, sha256))| {
        let (etag, sha256) = (quick_xml::escape::escape(etag), BASE64.encode(sha256.as_bytes()));
        format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag>\
             <ChecksumSHA256>{sha256}</ChecksumSHA256></Part>"
        )
    });
    let parts: String = parts.collect();
    format!(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{parts}</CompleteMultipartUpload>"
    )
}

/// The id of an upload that was begun; the error says why there is none.
pub(super) fn upload_id(xml: &[u8]) -> Result<String, String> {
    text_of(xml, "InitiateMultipartUploadResult/UploadId")?.ok_or_else(|| "no upload id".to_owned())
}

/// The ETag of the object that was made. `None` when the answer is none of success: S3 may say that it will make the object, and
/// at the end of it that it could not.
pub(super) fn completed(xml: &[u8]) -> Result<Option<String>, String> {
    Ok(text_of(xml, "CompleteMultipartUploadResult/ETag")?.map(|etag| etag.trim_matches('"').to_owned()))
}

/// The state in an answer about versioning: Enabled, Suspended, or none where a bucket never had it.
pub(super) fn versioning(xml: &[u8]) -> Result<Option<String>, String> {
    text_of(xml, "VersioningConfiguration/Status")
}

fn text_of(xml: &[u8], path: &str) -> Result<Option<String>, String> {
    let mut found = None;
    each_element(xml, |element| {
        if element.path == path {
            found = Some(element.text.to_owned());
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{completed, completion, upload_id};
    use crate::Sha256;

    #[test]
    fn a_completion_names_its_parts_in_order() {
        let xml = completion(&[("a".into(), Sha256::of(b"1")), ("b&c".into(), Sha256::of(b"2"))]);
        assert!(xml.contains("<PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag><ChecksumSHA256>a4ayc/"), "{xml}");
        assert!(xml.contains("<PartNumber>2</PartNumber><ETag>&quot;b&amp;c&quot;</ETag>"), "{xml}");
    }

    #[test]
    fn only_a_result_is_success() {
        let result = b"<CompleteMultipartUploadResult><ETag>&quot;x-2&quot;</ETag></CompleteMultipartUploadResult>";
        assert_eq!(completed(result), Ok(Some("x-2".to_owned())));
        assert_eq!(completed(b"<Error><Code>InternalError</Code></Error>"), Ok(None));
        assert!(completed(b"<CompleteMulti").is_err());
        let begun = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
        assert_eq!(upload_id(begun), Ok("u".to_owned()));
    }
}
