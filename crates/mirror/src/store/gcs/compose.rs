//! Large objects: parts are objects of their own until Google composes them into one.
//!
//! Google's resumable uploads take their bytes in order; its uploads in parts of the XML API take them in any, but no server
//! we can test with has them. Composing is atomic, takes parts in any order, and the outcome has the CRC-32C of the whole.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::Request;
use serde::Serialize;

use super::GcsStore;
use super::requests::{Insert, matching};
use super::resource::Resource;
use crate::store::http::query;
use crate::store::upload_id::{UploadId, family};
use crate::{
    Attributes, Condition, ObjectStore as _, Payload, StoreError, StoreErrorKind, UploadedPart, Written, list,
};

/// Google's limit.
const MOST_SOURCES: usize = 32;

/// Requests for parts in flight at once.
const CONCURRENCY: usize = 16;

/// Where parts lie.
const PARTS: &str = ".skyfleet/parts/";

/// A part, or some of them composed: its key and generation.
#[derive(Clone)]
struct Piece {
    key: String,
    generation: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Compose<'a> {
    source_objects: Vec<Source>,
    destination: &'a Resource,
}

#[derive(Serialize)]
struct Source {
    name: String,
    generation: String,
}

impl GcsStore {
    pub(super) fn begin(&self, key: &str, attributes: &Attributes) -> Result<String, StoreError> {
        let action = format!("begin the upload of {key:?} in parts");
        self.check(&action, key)?;
        UploadId::new(key, attributes).encode().map_err(|detail| self.protocol(&action, detail))
    }

    pub(super) async fn write_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        payload: &Payload,
    ) -> Result<UploadedPart, StoreError> {
        let action = format!("write part {number} of {key:?}");
        let part = part_key(&self.upload(&action, upload)?, 0, number as usize);
        let nothing = Attributes::default();
        let insert = Insert::new(&part, &nothing, payload);
        let written = self.options.retry.run(|| self.insert(&action, &insert, &[])).await?;
        Ok(UploadedPart::new(written.etag, payload))
    }

    /// Composes in rounds, since only so many can be composed at once; only the last round makes the object.
    pub(super) async fn compose_parts(
        &self,
        key: &str,
        upload: &str,
        parts: &[UploadedPart],
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let action = format!("complete the upload of {key:?} in parts");
        let id = self.upload(&action, upload)?;
        let pieces = (1..).zip(parts);
        let mut pieces: Vec<_> = pieces
            .map(|(number, part)| Piece { key: part_key(&id, 0, number), generation: part.etag.clone() })
            .collect();
        let mut round = 1;
        while pieces.len() > MOST_SOURCES {
            pieces = self.compose_round(&action, &id, round, &pieces).await?;
            round += 1;
        }
        let written = self.compose(&action, key, &id.attributes, &pieces, condition).await?;
        // The object is there and is what it should be: whoever asked for it is served.
        if let Err(error) = self.remove_parts(key, upload).await {
            tracing::warn!(%error, "parts of a completed upload are left; a lifecycle rule of the bucket can remove them");
        }
        Ok(written)
    }

    async fn compose_round(
        &self,
        action: &str,
        id: &UploadId,
        round: usize,
        pieces: &[Piece],
    ) -> Result<Vec<Piece>, StoreError> {
        // A list and not an iterator: the compiler does not see that its closure takes groups of any lifetime.
        let groups: Vec<_> = (1..)
            .zip(pieces.chunks(MOST_SOURCES))
            .map(|(number, group)| async move {
                let key = part_key(id, round, number);
                let composed = self.compose(action, &key, &Attributes::default(), group, &Condition::Any).await?;
                Ok(Piece { key, generation: composed.etag })
            })
            .collect();
        stream::iter(groups).buffered(CONCURRENCY).try_collect().await
    }

    async fn compose(
        &self,
        action: &str,
        key: &str,
        attributes: &Attributes,
        pieces: &[Piece],
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let source = |piece: &Piece| Source { name: self.name(&piece.key), generation: piece.generation.clone() };
        let request =
            Compose { source_objects: pieces.iter().map(source).collect(), destination: &Resource::of(attributes) };
        let json = serde_json::to_vec(&request).map_err(|error| self.protocol(action, error.to_string()))?;
        let (json, url) = (Bytes::from(json), self.object(key, &format!("/compose?{}", query(&matching(condition)))));
        let attempt = || async {
            let request = Request::post(&url).header("content-type", "application/json");
            let answer = self.ask(action, request, json.clone()).await?;
            let written = Resource::read(&answer.body).and_then(|resource| resource.written());
            written.map_err(|detail| self.protocol(action, detail))
        };
        self.options.retry.run(attempt).await
    }

    /// Removes every part of an upload, also those that nobody knows to be written.
    pub(super) async fn remove_parts(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let id = self.upload(&format!("remove the parts of {key:?}"), upload)?;
        self.remove_below(&folder(&id)).await
    }

    /// Removes the parts of all uploads of a key.
    pub(super) async fn remove_leftovers(&self, key: &str) -> Result<(), StoreError> {
        self.remove_below(&format!("{PARTS}{}", family(key))).await
    }

    async fn remove_below(&self, prefix: &str) -> Result<(), StoreError> {
        let parts = list(self, prefix);
        parts.try_for_each_concurrent(CONCURRENCY, |part| async move { self.delete(&part.key).await }).await
    }

    fn upload(&self, action: &str, upload: &str) -> Result<UploadId, StoreError> {
        let unknown = || self.place.error(StoreErrorKind::NotFound, action, "no such upload");
        UploadId::decode(upload).ok_or_else(unknown)
    }
}

fn folder(id: &UploadId) -> String {
    format!("{PARTS}{}/", id.name)
}

/// Round 0 has the parts themselves.
fn part_key(id: &UploadId, round: usize, number: usize) -> String {
    format!("{}{round}-{number:05}", folder(id))
}
