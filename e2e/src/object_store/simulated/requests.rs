//! What requests say, and how answers tell it.

use std::collections::BTreeMap;
use std::ops::Bound;

use ::base64::Engine as _;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use percent_encoding::percent_decode_str;
use s3s::dto::{ChecksumType, ETagCondition, StreamingBlob};
use s3s::{S3Result, TrailingHeaders, s3_error};

use super::bucket::{Checksum, Part, SimulatedBucket, Stored};

/// The CRC-64/NVME of a content as headers have it.
pub(super) fn crc64nvme(body: &[u8]) -> String {
    base64(&crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, body).to_be_bytes())
}

pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    ::base64::engine::general_purpose::STANDARD.decode(text).ok()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Whether a write may be done on its conditions.
pub(super) fn check(
    bucket: &SimulatedBucket,
    key: &str,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    let held = bucket.objects.get(key);
    if let Some(wanted) = if_match.and_then(ETagCondition::as_etag) {
        let held = held.ok_or_else(|| s3_error!(NoSuchKey))?;
        if wanted.value() != held.etag {
            return Err(s3_error!(PreconditionFailed));
        }
    }
    if if_none_match.is_some() && held.is_some() { Err(s3_error!(PreconditionFailed)) } else { Ok(()) }
}

/// What tells that an object has tags.
pub(super) fn count(tags: &BTreeMap<String, String>) -> Option<i32> {
    i32::try_from(tags.len()).ok().filter(|count| *count > 0)
}

/// Tags as a request that writes an object carries them.
pub(super) fn tags_in(query: Option<&str>) -> BTreeMap<String, String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decoded(key), decoded(value))).collect()
}

pub(super) async fn whole(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut all = BytesMut::new();
    let Some(mut body) = body else { return Ok(Bytes::new()) };
    while let Some(chunk) = body.next().await {
        all.extend_from_slice(&chunk.map_err(|_| s3_error!(IncompleteBody))?);
    }
    Ok(all.freeze())
}

/// The CRC-64/NVME that followed the body.
pub(super) fn behind(trailers: Option<&TrailingHeaders>) -> Option<String> {
    let read = |trailers: &http::HeaderMap| Some(trailers.get("x-amz-checksum-crc64nvme")?.to_str().ok()?.to_owned());
    trailers?.read(read)?
}

pub(super) fn checked(body: &Bytes, sent: Option<Checksum>) -> S3Result<Part> {
    Part::checked(body.clone(), sent).ok_or_else(|| s3_error!(BadDigest))
}

/// The first object below a prefix, after a key where one is given.
pub(super) fn next_key<'a>(
    bucket: &'a SimulatedBucket,
    prefix: &str,
    after: Option<&str>,
) -> Option<(&'a str, &'a Stored)> {
    let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
    let (key, stored) = bucket.objects.range::<str, _>((start, Bound::Unbounded)).next()?;
    key.starts_with(prefix).then_some((key.as_str(), stored))
}

pub(super) fn kind(checksum: Option<&Checksum>) -> Option<ChecksumType> {
    let kind = match checksum? {
        Checksum::Sha256(text) if text.contains('-') => ChecksumType::COMPOSITE,
        Checksum::Sha256(_) | Checksum::Crc64Nvme(_) => ChecksumType::FULL_OBJECT,
    };
    Some(ChecksumType::from_static(kind))
}

pub(super) fn length(size: u64) -> Option<i64> {
    i64::try_from(size).ok()
}
