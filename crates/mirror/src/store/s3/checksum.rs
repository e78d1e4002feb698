//! Checksums as headers have them: pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::request::Builder;

use crate::store::http::header;
use crate::{Checksum, Sha256, StoredChecksum};

/// The strongest checksum that an answer tells of the whole object.
pub(super) fn read(headers: &HeaderMap) -> Option<StoredChecksum> {
    let is_composite =
        header(headers, "x-amz-checksum-type").is_some_and(|kind| kind.eq_ignore_ascii_case("COMPOSITE"));
    let told = |name| header(headers, name);
    told("x-amz-checksum-sha256")
        .and_then(|text| sha256(text, is_composite))
        .or_else(|| told("x-amz-checksum-crc64nvme").and_then(crc64nvme).map(Checksum::Crc64Nvme).map(Into::into))
        .or_else(|| {
            // That of the parts' checksums is none of the content.
            let whole = |name| told(name).filter(|_| !is_composite).and_then(decode).map(u32::from_be_bytes);
            let crc32c = whole("x-amz-checksum-crc32c").map(Checksum::Crc32c);
            crc32c.or_else(|| whole("x-amz-checksum-crc32").map(Checksum::Crc32)).map(Into::into)
        })
}

/// Sends a checksum of the content with it.
pub(super) fn write(request: Builder, checksum: Checksum) -> Builder {
    let name = format!("x-amz-checksum-{}", name(checksum).to_ascii_lowercase());
    request.header(name, encode(checksum))
}

/// The algorithm as S3 names it.
pub(super) fn name(checksum: Checksum) -> &'static str {
    match checksum {
        Checksum::Sha256(_) => "SHA256",
        Checksum::Crc64Nvme(_) => "CRC64NVME",
        Checksum::Crc32c(_) => "CRC32C",
        Checksum::Crc32(_) => "CRC32",
    }
}

/// The value as S3 writes it.
pub(super) fn encode(checksum: Checksum) -> String {
    match checksum {
        Checksum::Sha256(sha256) => BASE64.encode(sha256.as_bytes()),
        Checksum::Crc64Nvme(crc) => BASE64.encode(crc.to_be_bytes()),
        Checksum::Crc32c(crc) | Checksum::Crc32(crc) => BASE64.encode(crc.to_be_bytes()),
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
        None => Sha256::from_slice(&BASE64.decode(text).ok()?).map(Checksum::Sha256).map(Into::into),
    }
}

/// A CRC-64/NVME as S3 writes it.
pub(super) fn crc64nvme(text: &str) -> Option<u64> {
    decode(text).map(u64::from_be_bytes)
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use http::HeaderMap;

    use super::{BASE64, read};
    use crate::{Checksum, Sha256, StoredChecksum};

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
        assert_eq!(told(&[(name, &text)]), Some(Checksum::Sha256(sha256).into()));
        let composite = Some(StoredChecksum::Composite { sha256, parts: 3 });
        assert_eq!(told(&[(name, &format!("{text}-3"))]), composite);
        assert_eq!(told(&[(name, &text), ("x-amz-checksum-type", "COMPOSITE")]), None);
        assert_eq!(told(&[(name, "AAAA")]), None);
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn what_clients_and_amazon_compute_by_default_is_read() {
        // The check values of all, with their bytes from the highest on.
        let crc32c = ("x-amz-checksum-crc32c", "4waSgw==");
        let crc64 = ("x-amz-checksum-crc64nvme", "rosUhgp5mIg=");
        let crc32 = ("x-amz-checksum-crc32", "y/Q5Jg==");
        assert_eq!(told(&[crc32]), Some(Checksum::Crc32(0xCBF4_3926).into()));
        assert_eq!(told(&[crc32, crc32c]), Some(Checksum::Crc32c(0xE306_9283).into()));
        assert_eq!(told(&[crc32c, crc64]), Some(Checksum::Crc64Nvme(0xAE8B_1486_0A79_9888).into()));
        assert_eq!(told(&[crc32c, ("x-amz-checksum-type", "COMPOSITE")]), None);
    }
}
