//! Multipart uploads as S3's XML has them: pure.

use super::checksum;
use super::listing::decode;
use crate::store::xml::each_element;
use crate::{Checksum, UploadedPart};

/// A part as the request that completes an upload names it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NamedPart {
    etag: String,
    /// What its store has of it.
    pub(super) checksum: Option<Checksum>,
}

impl From<&UploadedPart> for NamedPart {
    fn from(part: &UploadedPart) -> Self {
        Self { etag: part.etag.clone(), checksum: Some(part.checksum) }
    }
}

/// The request that makes an object of its parts.
pub(super) fn completion(parts: &[NamedPart]) -> String {
    let parts = (1..).zip(parts).map(|(number, part)| {
        let etag = quick_xml::escape::escape(&part.etag);
        let checksum = part.checksum.map(|checksum| {
            let (algorithm, checksum) = (checksum::name(checksum), checksum::encode(checksum));
            format!("<Checksum{algorithm}>{checksum}</Checksum{algorithm}>")
        });
        let checksum = checksum.unwrap_or_default();
        format!("<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag>{checksum}</Part>")
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

/// The ETag of an object that the store has copied. `None` as for [`completed`].
pub(super) fn copied(xml: &[u8]) -> Result<Option<String>, String> {
    Ok(text_of(xml, "CopyObjectResult/ETag")?.map(|etag| etag.trim_matches('"').to_owned()))
}

/// A part that the store has copied. `None` as for [`completed`].
pub(super) fn copied_part(xml: &[u8]) -> Result<Option<NamedPart>, String> {
    let mut part = NamedPart::default();
    each_element(xml, |element| {
        match element.path {
            "CopyPartResult/ETag" => element.text.trim_matches('"').clone_into(&mut part.etag),
            "CopyPartResult/ChecksumCRC64NVME" => {
                part.checksum = checksum::crc64nvme(element.text).map(Checksum::Crc64Nvme);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok((!part.etag.is_empty()).then_some(part))
}

/// A page of uploads that were begun and not ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Uploads {
    /// Key and id of each.
    pub(super) uploads: Vec<(String, String)>,
    /// The key and the id after which the next page begins; `None` on the last one.
    pub(super) next: Option<(String, String)>,
}

/// Reads one page; the error says what in it cannot be used.
pub(super) fn read_uploads(xml: &[u8]) -> Result<Uploads, String> {
    let (mut page, mut next) = (Uploads::default(), (String::new(), String::new()));
    let (mut key, mut id) = (String::new(), String::new());
    let (mut is_encoded, mut is_truncated) = (false, None);
    each_element(xml, |element| {
        let text = element.text;
        match element.path {
            "ListMultipartUploadsResult/Upload/Key" => text.clone_into(&mut key),
            "ListMultipartUploadsResult/Upload/UploadId" => text.clone_into(&mut id),
            "ListMultipartUploadsResult/Upload" => {
                page.uploads.push((std::mem::take(&mut key), std::mem::take(&mut id)));
            }
            "ListMultipartUploadsResult/EncodingType" => is_encoded = text == "url",
            "ListMultipartUploadsResult/IsTruncated" => is_truncated = text.parse().ok(),
            "ListMultipartUploadsResult/NextKeyMarker" => text.clone_into(&mut next.0),
            "ListMultipartUploadsResult/NextUploadIdMarker" => text.clone_into(&mut next.1),
            _ => {}
        }
        Ok(())
    })?;
    if is_encoded {
        for key in page.uploads.iter_mut().map(|(key, _)| key).chain([&mut next.0]) {
            *key = decode(key)?;
        }
    }
    match is_truncated {
        Some(true) if next.0.is_empty() => return Err("the list goes on but does not say where".to_owned()),
        Some(true) => page.next = Some(next),
        Some(false) => {}
        None => return Err("the list does not say whether it goes on".to_owned()),
    }
    Ok(page)
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
    use super::{NamedPart, completed, completion, copied, copied_part, read_uploads, upload_id};
    use crate::{Checksum, Sha256, UploadedPart};

    #[test]
    fn a_completion_names_its_parts_in_order() {
        let part = |etag: &str, checksum| UploadedPart { etag: etag.to_owned(), size: 1, checksum };
        let parts =
            [part("a", Checksum::Sha256(Sha256::of(b"1"))), part("b&c", Checksum::Crc64Nvme(0xAE8B_1486_0A79_9888))];
        let xml = completion(&parts.iter().map(NamedPart::from).collect::<Vec<_>>());
        assert!(xml.contains("<PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag><ChecksumSHA256>a4ayc/"), "{xml}");
        assert!(
            xml.contains("<PartNumber>2</PartNumber><ETag>&quot;b&amp;c&quot;</ETag><ChecksumCRC64NVME>rosUhgp5mIg="),
            "{xml}"
        );
    }

    #[test]
    fn unfinished_uploads_are_read() {
        let page = |end: &str| {
            let uploads = "<Upload><Key>a%2Bb</Key><UploadId>1</UploadId></Upload><EncodingType>url</EncodingType>";
            read_uploads(format!("<ListMultipartUploadsResult>{uploads}{end}</ListMultipartUploadsResult>").as_bytes())
        };
        let last = page("<IsTruncated>false</IsTruncated>").unwrap();
        assert_eq!((last.uploads, last.next), (vec![("a+b".to_owned(), "1".to_owned())], None));
        let more = "<IsTruncated>true</IsTruncated><NextKeyMarker>a%20</NextKeyMarker>\
                    <NextUploadIdMarker>7</NextUploadIdMarker>";
        assert_eq!(page(more).unwrap().next, Some(("a ".to_owned(), "7".to_owned())));
        assert!(page("<IsTruncated>true</IsTruncated>").is_err() && page("").is_err());
    }

    #[test]
    fn only_a_result_is_success() {
        let result = b"<CompleteMultipartUploadResult><ETag>&quot;x-2&quot;</ETag></CompleteMultipartUploadResult>";
        assert_eq!(completed(result), Ok(Some("x-2".to_owned())));
        let result = b"<CopyObjectResult><ETag>&quot;x&quot;</ETag></CopyObjectResult>";
        assert_eq!(copied(result), Ok(Some("x".to_owned())));
        assert_eq!(copied(b"<Error><Code>InternalError</Code></Error>"), Ok(None));
        assert_eq!(completed(b"<Error><Code>InternalError</Code></Error>"), Ok(None));
        assert!(completed(b"<CompleteMulti").is_err());
        let result = b"<CopyPartResult><ETag>&quot;x&quot;</ETag><ChecksumCRC64NVME>rosUhgp5mIg=</ChecksumCRC64NVME></CopyPartResult>";
        let part = NamedPart { etag: "x".to_owned(), checksum: Some(Checksum::Crc64Nvme(0xAE8B_1486_0A79_9888)) };
        let xml = completion(std::slice::from_ref(&part));
        assert!(
            xml.contains("&quot;x&quot;</ETag><ChecksumCRC64NVME>rosUhgp5mIg=</ChecksumCRC64NVME></Part>"),
            "{xml}"
        );
        assert_eq!(copied_part(result), Ok(Some(part)));
        let part = copied_part(b"<CopyPartResult><ETag>x</ETag></CopyPartResult>").unwrap();
        assert!(completion(&[part.unwrap()]).contains("&quot;x&quot;</ETag></Part>"));
        assert_eq!(copied_part(b"<Error><Code>InternalError</Code></Error>"), Ok(None));
        let begun = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
        assert_eq!(upload_id(begun), Ok("u".to_owned()));
    }
}
