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
}

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) size: u64,
    /// Empty in a forgetful bucket.
    pub(super) body: Bytes,
    pub(super) etag: String,
    pub(super) sha256: Option<String>,
    pub(super) modified: SystemTime,
    pub(super) content_type: Option<String>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
}

/// A multipart upload that is not complete.
#[derive(Debug, Clone, Default)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) parts: BTreeMap<i32, Part>,
    pub(super) content_type: Option<String>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) body: Bytes,
    pub(super) size: u64,
    pub(super) md5: [u8; 16],
    pub(super) sha256: [u8; 32],
}

impl SimulatedBucket {
    /// A bucket that keeps only sizes and digests of what is written to it.
    #[must_use]
    pub fn forgetful() -> Self {
        Self { forgetful: true, ..Self::default() }
    }

    /// Puts an object in. Clones of a body share it, and so do its digests when they are given as those of [`Contents`].
    #[must_use]
    pub fn with(mut self, keys: impl IntoIterator<Item = String>, contents: &Contents) -> Self {
        let objects = keys.into_iter().map(|key| (key, contents.0.clone()));
        self.objects.extend(objects);
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
            sha256: Some(super::operations::base64(&Sha256::digest(&body))),
            body,
            modified: SystemTime::now(),
            content_type: None,
            metadata: None,
        })
    }
}

impl Part {
    pub(super) fn of(body: Bytes, forgetful: bool) -> Self {
        let (md5, sha256) = (md5::Md5::digest(&body).into(), Sha256::digest(&body).into());
        let size = body.len() as u64;
        Self { body: if forgetful { Bytes::new() } else { body }, size, md5, sha256 }
    }
}

/// The object that parts make: its body, its size, its ETag and its composite checksum.
pub(super) fn assembled(parts: &BTreeMap<i32, Part>) -> (Bytes, u64, String, String) {
    let (mut body, mut md5, mut sha256) = (BytesMut::new(), md5::Md5::new(), Sha256::new());
    for part in parts.values() {
        body.extend_from_slice(&part.body);
        md5.update(part.md5);
        sha256.update(part.sha256);
    }
    let (count, size) = (parts.len(), parts.values().map(|part| part.size).sum());
    let checksum = format!("{}-{count}", super::operations::base64(&sha256.finalize()));
    (body.freeze(), size, format!("{}-{count}", hex(&md5.finalize())), checksum)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
