//! Large blobs are written in blocks, and made of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Request;

use super::AzureStore;
use super::objects::{md5, with, written};
use crate::store::upload_id::UploadId;
use crate::{Attributes, Condition, Payload, StoreError, StoreErrorKind, UploadedPart, Written};

impl AzureStore {
    /// Nothing is asked: the blocks of an upload are known to Azure by their names alone.
    pub(super) async fn begin_blocks(&self, key: &str, attributes: &Attributes) -> Result<String, StoreError> {
        let attributes = &self.takes(attributes).await?;
        let action = format!("begin the upload of {key:?} in blocks");
        self.attributes(&action, key, attributes)?;
        UploadId::new(key, attributes).encode().map_err(|detail| self.protocol(&action, detail))
    }

    pub(super) async fn put_block(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        let action = format!("write block {number} of {key:?}");
        let block = block_name(&self.upload(&action, upload)?, number);
        let md5 = md5(payload.pieces());
        let url = self.blob(key, &[("comp", "block"), ("blockid", &block)]);
        let attempt = || {
            let request = Request::put(&url).header("content-md5", &md5);
            self.ask(&action, request, payload.clone().into_chunks())
        };
        self.options.retry.run(attempt).await?;
        Ok(UploadedPart::new(block, &payload))
    }

    pub(super) async fn commit_blocks(
        &self,
        key: &str,
        upload: &str,
        parts: &[UploadedPart],
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let action = format!("complete the upload of {key:?} in blocks");
        let upload = self.upload(&action, upload)?;
        let mut headers = self.attributes(&action, key, &upload.attributes)?;
        headers.extend(condition.header().map(|(name, value)| (name.to_owned(), value)));
        // `Latest` finds the blocks also when they are committed already and only the answer was lost.
        let blocks: Vec<_> = parts.iter().map(|part| format!("<Latest>{}</Latest>", part.etag)).collect();
        let blocks = blocks.concat();
        let list = Bytes::from(format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{blocks}</BlockList>"));
        let (url, md5) = (self.blob(key, &[("comp", "blocklist")]), md5([&list]));
        let attempt = || async {
            let request = Request::put(&url).header("content-md5", &md5);
            let answer = self.ask(&action, with(request, &headers), list.clone().into()).await?;
            written(&answer.headers).map_err(|detail| self.protocol(&action, detail))
        };
        self.options.retry.run(attempt).await
    }

    fn upload(&self, action: &str, upload: &str) -> Result<UploadId, StoreError> {
        let unknown = || self.place.error(StoreErrorKind::NotFound, action, "no such upload");
        UploadId::decode(upload).ok_or_else(unknown)
    }
}

/// All names of blocks in a blob must be of one length.
fn block_name(upload: &UploadId, number: u32) -> String {
    BASE64.encode(format!("{}{number:010}", upload.name))
}
