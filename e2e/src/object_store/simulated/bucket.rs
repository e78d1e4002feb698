use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use md5::Digest as _;
use sha2::Sha256;

/// A bucket of a simulated server.
#[derive(Debug, Clone, Default)]
pub struct SimulatedBucket {
    pub(super) objects: BTreeMap<String, Stored>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// Only sizes and digests are kept of what is written: for more than fits into memory.
    pub(super) forgetful: bool,
    /// What becomes of every copy that the server makes by itself.
    pub(super) copied_as: Option<Stored>,
}

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) size: u64,
    /// Empty in a forgetful bucket.
    pub(super) body: Bytes,
    pub(super) etag: String,
    pub(super) checksum: Option<Checksum>,
    pub(super) modified: SystemTime,
    pub(super) content_type: Option<String>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    pub(super) tags: BTreeMap<String, String>,
}

/// A multipart upload that is not complete.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) parts: BTreeMap<i32, Part>,
    /// Whether the CRC-64/NVME of parts that come without a checksum is computed and told, as Amazon does.
    pub(super) computes_crc64nvme: bool,
    pub(super) content_type: Option<String>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    pub(super) tags: BTreeMap<String, String>,
}

/// A checksum as headers have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checksum {
    Sha256(String),
    Crc64Nvme(String),
}

impl Checksum {
    /// What a request says, if anything.
    pub(super) fn sent(sha256: Option<String>, crc64nvme: Option<String>) -> Option<Self> {
        crc64nvme.map(Self::Crc64Nvme).or_else(|| sha256.map(Self::Sha256))
    }

    /// As answers say it: the SHA-256, the CRC-64/NVME.
    pub(super) fn told(this: Option<&Self>) -> (Option<String>, Option<String>) {
        match this {
            Some(Self::Sha256(text)) => (Some(text.clone()), None),
            Some(Self::Crc64Nvme(text)) => (None, Some(text.clone())),
            None => (None, None),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) body: Bytes,
    pub(super) size: u64,
    pub(super) md5: [u8; 16],
    /// What was sent with it and fits it.
    pub(super) checksum: Option<Checksum>,
}

impl SimulatedBucket {
    /// A bucket that keeps only sizes and digests of what is written to it.
    #[must_use]
    pub fn forgetful() -> Self {
        Self { forgetful: true, ..Self::default() }
    }

    /// A bucket into which the server copies by itself, and wrongly: each copy becomes this.
    #[must_use]
    pub fn copying_as(contents: &Contents) -> Self {
        Self { copied_as: Some(contents.0.clone()), ..Self::default() }
    }

    /// Puts an object in. Clones of a body share it, and so do its digests when they are given as those of [`Contents`].
    #[must_use]
    pub fn with(mut self, keys: impl IntoIterator<Item = String>, contents: &Contents) -> Self {
        let objects = keys.into_iter().map(|key| (key, contents.0.clone()));
        self.objects.extend(objects);
        self
    }

    /// Takes objects out.
    #[must_use]
    pub fn without(mut self, keys: &[impl AsRef<str>]) -> Self {
        for key in keys {
            self.objects.remove(key.as_ref());
        }
        self
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().map(String::as_str)
    }

    /// An object's bytes.
    #[must_use]
    pub fn body(&self, key: &str) -> Option<Bytes> {
        self.objects.get(key).map(|object| object.body.clone())
    }

    /// An object's tags.
    #[must_use]
    pub fn tags(&self, key: &str) -> BTreeMap<String, String> {
        self.objects.get(key).map(|object| object.tags.clone()).unwrap_or_default()
    }

    /// The keys of multipart uploads that are not complete.
    pub fn unfinished(&self) -> impl Iterator<Item = &str> {
        self.uploads.values().map(|upload| upload.key.as_str())
    }
}

/// What many objects have in common.
#[derive(Debug, Clone)]
pub struct Contents(Stored);

impl Contents {
    /// Objects with this body, written now.
    #[must_use]
    pub fn of(body: Bytes) -> Self {
        Self(Stored {
            size: body.len() as u64,
            etag: hex(&md5::Md5::digest(&body)),
            checksum: Some(Checksum::Crc64Nvme(super::requests::crc64nvme(&body))),
            body,
            modified: SystemTime::now(),
            content_type: None,
            metadata: None,
            tags: BTreeMap::new(),
        })
    }

    /// With no checksum that answers tell.
    #[must_use]
    pub fn untold(mut self) -> Self {
        self.0.checksum = None;
        self
    }

    /// With these tags.
    #[must_use]
    pub fn tagged(mut self, tags: &[(&str, &str)]) -> Self {
        self.0.tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self
    }
}

impl Part {
    /// `None` when what was sent with it is the checksum of something else.
    pub(super) fn checked(body: Bytes, sent: Option<Checksum>) -> Option<Self> {
        let fits = match &sent {
            Some(Checksum::Sha256(text)) => *text == super::requests::base64(&Sha256::digest(&body)),
            Some(Checksum::Crc64Nvme(text)) => *text == super::requests::crc64nvme(&body),
            None => true,
        };
        let md5 = md5::Md5::digest(&body).into();
        fits.then(|| Self { size: body.len() as u64, body, md5, checksum: sent })
    }
}

/// The object that parts make: its body, its size, its ETag and its checksum: that of the whole, or of the parts' checksums.
pub(super) fn assembled(parts: &BTreeMap<i32, Part>) -> (Bytes, u64, String, Option<Checksum>) {
    let (mut body, mut md5, mut sha256, mut crc64nvme) = (BytesMut::new(), md5::Md5::new(), Sha256::new(), Some(0));
    for part in parts.values() {
        body.extend_from_slice(&part.body);
        md5.update(part.md5);
        let (digest, crc) = Checksum::told(part.checksum.as_ref());
        sha256.update(digest.and_then(|text| super::requests::unbase64(&text)).unwrap_or_default());
        let crc = crc.and_then(|text| super::requests::unbase64(&text)?.try_into().ok()).map(u64::from_be_bytes);
        crc64nvme = crc64nvme
            .zip(crc)
            .map(|(all, crc)| crc_fast::checksum_combine(crc_fast::CrcAlgorithm::Crc64Nvme, all, crc, part.size));
    }
    let (count, size) = (parts.len(), parts.values().map(|part| part.size).sum());
    let checksum = match crc64nvme {
        Some(crc) => Checksum::Crc64Nvme(super::requests::base64(&crc.to_be_bytes())),
        None => Checksum::Sha256(format!("{}-{count}", super::requests::base64(&sha256.finalize()))),
    };
    (body.freeze(), size, format!("{}-{count}", hex(&md5.finalize())), Some(checksum))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
