//! Checksums as headers have them: pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::request::Builder;

use crate::http::header;
use crate::{Sha256, StoredChecksum};

/// The strongest checksum that an answer tells of the whole object.
pub(super) fn read(headers: &HeaderMap) -> Option<StoredChecksum> {
    let is_composite =
        header(headers, "x-amz-checksum-type").is_some_and(|kind| kind.eq_ignore_ascii_case("COMPOSITE"));
    let told = |name| header(headers, name);
    told("x-amz-checksum-sha256")
        .and_then(|text| sha256(text, is_composite))
        .or_else(|| {
            told("x-amz-checksum-crc64nvme").and_then(decode).map(u64::from_be_bytes).map(StoredChecksum::Crc64Nvme)
        })
        .or_else(|| {
            // That of the parts' checksums is none of the content.
            let whole = told("x-amz-checksum-crc32c").filter(|_| !is_composite);
            whole.and_then(decode).map(u32::from_be_bytes).map(StoredChecksum::Crc32c)
        })
}

/// Sends a checksum of the content with it.
pub(super) fn write(request: Builder, checksum: StoredChecksum) -> Builder {
    match checksum {
        StoredChecksum::Whole(sha256) => request.header("x-amz-checksum-sha256", BASE64.encode(sha256.as_bytes())),
        StoredChecksum::Crc32c(crc) => request.header("x-amz-checksum-crc32c", BASE64.encode(crc.to_be_bytes())),
        StoredChecksum::Crc64Nvme(crc) => request.header("x-amz-checksum-crc64nvme", BASE64.encode(crc.to_be_bytes())),
        // The store makes it of its parts.
        StoredChecksum::Composite { .. } => request,
    }
}

/// The form tells the kind: a composite checksum ends with `-` and the number of parts, which some stores leave out.
fn sha256(text: &str, is_composite: bool) -> Option<StoredChecksum> {
    match text.split_once('-') {
        Some((digest, parts)) => {
            let (sha256, parts) = (Sha256::from_slice(&BASE64.decode(digest).ok()?)?, parts.parse().ok()?);
            Some(StoredChecksum::Composite { sha256, parts })
        }
        None if is_composite => None,
        None => Sha256::from_slice(&BASE64.decode(text).ok()?).map(StoredChecksum::Whole),
    }
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use http::HeaderMap;

    use super::{BASE64, read};
    use crate::{Sha256, StoredChecksum};

    fn told(headers: &[(&'static str, &str)]) -> Option<StoredChecksum> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        read(&headers)
    }

    #[test]
    fn the_form_of_a_checksum_tells_its_kind() {
        let sha256 = Sha256::of(b"x");
        let text = BASE64.encode(sha256.as_bytes());
        let name = "x-amz-checksum-sha256";
        assert_eq!(told(&[(name, &text)]), Some(StoredChecksum::Whole(sha256)));
        let composite = Some(StoredChecksum::Composite { sha256, parts: 3 });
        assert_eq!(told(&[(name, &format!("{text}-3"))]), composite);
        assert_eq!(told(&[(name, &text), ("x-amz-checksum-type", "COMPOSITE")]), None);
        assert_eq!(told(&[(name, "AAAA")]), None);
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn what_amazon_computes_itself_is_read() {
        // The check values of both, with their bytes from the highest on.
        let crc32c = ("x-amz-checksum-crc32c", "4waSgw==");
        let crc64 = ("x-amz-checksum-crc64nvme", "rosUhgp5mIg=");
        assert_eq!(told(&[crc32c]), Some(StoredChecksum::Crc32c(0xE306_9283)));
        assert_eq!(told(&[crc32c, crc64]), Some(StoredChecksum::Crc64Nvme(0xAE8B_1486_0A79_9888)));
        assert_eq!(told(&[crc32c, ("x-amz-checksum-type", "COMPOSITE")]), None);
    }
}
