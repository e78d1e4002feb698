//! Parts that are sent while they are read: in the encoding `aws-chunked`, with the checksum behind the content, as AWS's own
//! clients send what they have no checksum of yet, or as they are, where the store computes it and tells it.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use http::Request;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Builder;

use super::requests::failure;
use super::{S3Store, checksum};
use crate::content::Digests;
use crate::store::credentials::exchange;
use crate::store::http::{Answer, Chunks, CutShort, Failure, LiveBody};
use crate::transfer::live::{Broken, Piece};
use crate::{ChecksumAlgorithm, StoreError, StoreErrorKind};

/// Content in a chunk of the encoding. Stores bound them: the least that is known is 16 MiB.
const CHUNK: u64 = 1024 * 1024;

/// The checksum that follows, without its value.
const TRAILER: &str = "x-amz-checksum-crc64nvme";
/// Its value's length: 8 bytes in base64.
const CHECKSUM: u64 = 12;

/// Puts a content of a known size into the encoding: pure.
pub(super) struct Framing {
    /// Bytes that are to come.
    left: u64,
    /// Of those, bytes that belong to the chunk that was begun.
    in_chunk: u64,
}

impl Framing {
    pub(super) fn of(size: u64) -> Self {
        Self { left: size, in_chunk: 0 }
    }

    /// Bytes that a content of this size becomes.
    fn length(size: u64) -> u64 {
        let around = |chunk: u64| format!("{chunk:x}\r\n\r\n").len() as u64;
        let rest = size % CHUNK;
        let last = if rest > 0 { around(rest) } else { 0 };
        size + size / CHUNK * around(CHUNK) + last + end("").len() as u64 + CHECKSUM
    }

    /// A piece, cut where chunks end. What is more than was announced is left out.
    fn frame(&mut self, mut piece: Bytes) -> Vec<Bytes> {
        let mut framed = Vec::with_capacity(3);
        while !piece.is_empty() && self.left > 0 {
            if self.in_chunk == 0 {
                self.in_chunk = self.left.min(CHUNK);
                framed.push(Bytes::from(format!("{:x}\r\n", self.in_chunk)));
            }
            let length = usize::try_from(self.in_chunk).unwrap_or(usize::MAX).min(piece.len());
            framed.push(piece.split_to(length));
            self.in_chunk -= length as u64;
            self.left -= length as u64;
            if self.in_chunk == 0 {
                framed.push(Bytes::from_static(b"\r\n"));
            }
        }
        framed
    }
}

/// What follows the content.
fn end(checksum: &str) -> String {
    format!("0\r\n{TRAILER}:{checksum}\r\n\r\n")
}

/// A content as it comes, in the encoding. Without its end it is shorter than was announced, and no store takes it.
fn encoded(
    size: u64,
    pieces: BoxStream<'static, Result<Piece, Broken>>,
) -> BoxStream<'static, Result<Bytes, CutShort>> {
    let mut framing = Framing::of(size);
    let frames = pieces.flat_map(move |piece| {
        let frames = match piece {
            Ok(Piece::Bytes(piece)) => framing.frame(piece).into_iter().map(Ok).collect(),
            Ok(Piece::End(digests)) if framing.left == 0 => vec![last(&digests)],
            Ok(Piece::End(_)) | Err(_) => vec![Err(CutShort::Source)],
        };
        stream::iter(frames)
    });
    frames.fuse().boxed()
}

fn last(digests: &Digests) -> Result<Bytes, CutShort> {
    let checksum = digests.checksum(ChecksumAlgorithm::Crc64Nvme).ok_or(CutShort::Source)?;
    Ok(Bytes::from(end(&checksum::encode(checksum))))
}

/// A content as it comes, and nothing else.
fn bare(pieces: BoxStream<'static, Result<Piece, Broken>>) -> BoxStream<'static, Result<Bytes, CutShort>> {
    let frames = pieces.filter_map(async |piece| match piece {
        Ok(Piece::Bytes(piece)) => Some(Ok(piece)),
        Ok(Piece::End(_)) => None,
        Err(_) => Some(Err(CutShort::Source)),
    });
    frames.fuse().boxed()
}

impl S3Store {
    /// One attempt of a request with a content of this size that comes while it is sent, and no checksum.
    pub(super) async fn send_bare(
        &self,
        action: &str,
        request: Builder,
        size: u64,
        pieces: BoxStream<'static, Result<Piece, Broken>>,
    ) -> Result<Answer, StoreError> {
        self.send_coming(action, request, LiveBody::new(size, bare(pieces))).await
    }

    /// The same with its checksum behind it.
    pub(super) async fn send_live(
        &self,
        action: &str,
        request: Builder,
        size: u64,
        pieces: BoxStream<'static, Result<Piece, Broken>>,
    ) -> Result<Answer, StoreError> {
        let request = request
            .header(CONTENT_ENCODING, "aws-chunked")
            .header("x-amz-decoded-content-length", size)
            .header("x-amz-trailer", TRAILER);
        let body = LiveBody::new(Framing::length(size), encoded(size, pieces));
        self.send_coming(action, request, body).await
    }

    async fn send_coming(&self, action: &str, request: Builder, body: LiveBody) -> Result<Answer, StoreError> {
        let request = request.header(CONTENT_LENGTH, body.length()).body(Chunks::default());
        let body = Mutex::new(Some(body));
        let send = |request: Request<Chunks>| {
            let body = body.lock().unwrap_or_else(PoisonError::into_inner).take();
            async {
                // With new credentials it is sent as a whole.
                let gone =
                    || Failure::new(StoreErrorKind::Unreachable, "it is sent while it is read, which works once");
                self.http.succeed_live(request, body.ok_or_else(gone)?, failure).await
            }
        };
        let attempt = async {
            let rejected = |error: http::Error| Failure::new(StoreErrorKind::Rejected, error.to_string());
            exchange(&self.signer, request.map_err(rejected)?, None, send).await
        };
        attempt.await.map_err(self.failed(action))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{CHUNK, Framing, end};

    /// Frames a content in pieces of these sizes.
    fn framed(pieces: &[usize]) -> Vec<u8> {
        let mut framing = Framing::of(pieces.iter().sum::<usize>() as u64);
        let frames = pieces.iter().flat_map(|size| framing.frame(Bytes::from(vec![b'x'; *size])));
        let mut all: Vec<u8> = frames.flatten().collect();
        all.extend(end("rosUhgp5mIg=").bytes());
        all
    }

    #[test]
    fn the_checksum_follows_the_content() {
        let end = "0\r\nx-amz-checksum-crc64nvme:rosUhgp5mIg=\r\n\r\n";
        assert_eq!(framed(&[]), end.as_bytes());
        assert_eq!(framed(&[2, 8]), format!("a\r\nxxxxxxxxxx\r\n{end}").into_bytes());
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_what_is_sent_and_its_length_is_known(
            pieces in prop::collection::vec(0..3 * 1024 * 1024_usize, 0..5), aligned in any::<bool>(),
        ) {
            let chunk = usize::try_from(CHUNK).unwrap();
            let pieces: Vec<_> = pieces.into_iter().map(|size| if aligned { size / chunk * chunk } else { size }).collect();
            let (size, found) = (pieces.iter().sum::<usize>(), framed(&pieces));
            prop_assert!(found == framed(&[size]));
            prop_assert_eq!(found.len() as u64, Framing::length(size as u64));
            // One of them stands in the trailer's name.
            prop_assert_eq!(found.split(|byte| *byte == b'x').count() - 1, size + 1);
        }
    }
}
