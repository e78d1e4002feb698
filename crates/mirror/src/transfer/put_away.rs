//! Puts a content away within its bucket before it is overwritten or removed, for versions of its dataset that name it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, MutexGuard};

use super::fan_out::{Content, Start, fan_out};
use super::object_reader::Pinned;
use super::parallel_reader::{ParallelReader, Unread};
use super::reader::ChunkReader;
use super::{Destination, Size, Stop, Transfer, Verification};
use crate::cancel::cancellable;
use crate::content::Digests;
use crate::{
    Checksum, Condition, CopySource, ObjectHead, ObjectStore, ObjectSummary, Sha256, StoreCopy, StoreError,
    StoreErrorKind,
};

/// What to say of an object whose content could not be put away.
const LEFT_AS_IT_IS: &str =
    "its content could not be put away for the versions that are kept, so the object was left as it is";

/// A content that is to be put away.
#[derive(Debug, Clone)]
pub(crate) struct Leaving {
    /// The object that has it, with its key in the store.
    pub(crate) object: ObjectSummary,
    /// What was proven of this version of it.
    pub(crate) sha256: Sha256,
    /// The key for it.
    pub(crate) to: String,
}

/// Of objects with the same content one is put away at a time.
#[derive(Debug)]
pub(crate) struct Turns([Mutex<()>; 64]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Turns {
    async fn of(&self, sha256: Sha256) -> MutexGuard<'_, ()> {
        self.0[usize::from(sha256.as_bytes()[0]) % self.0.len()].lock().await
    }
}

/// Puts a content away, unless that was done before. When it returns, it is there and proven: by the store that copied it, or as
/// any copy is.
///
/// # Errors
/// It cannot be written, or the object is another one by now.
pub(crate) async fn put_away(
    store: &Arc<dyn ObjectStore>,
    leaving: &Leaving,
    turns: &Turns,
    transfer: &Transfer,
) -> Result<(), StoreError> {
    let _turn = turns.of(leaving.sha256).await;
    let put = async {
        if is_there(store, leaving, transfer).await? || is_copied_by_store(store, leaving, transfer).await? {
            return Ok(());
        }
        write(store, leaving, transfer).await
    };
    put.await.map_err(|error: StoreError| StoreError { detail: format!("{LEFT_AS_IT_IS}: {}", error.detail), ..error })
}

/// Whether it was put away before: by what also proves a copy. A stop may have left there what nothing has proven yet.
async fn is_there(store: &Arc<dyn ObjectStore>, leaving: &Leaving, transfer: &Transfer) -> Result<bool, StoreError> {
    let Leaving { object, to, .. } = leaving;
    let Some(kept) = head(store, to, transfer).await?.filter(|kept| kept.size == object.size) else {
        return Ok(false);
    };
    if kept.etag == object.etag {
        return Ok(true);
    }
    let now = head(store, &object.key, transfer).await?.filter(|now| now.etag == object.etag);
    let checksum = now.and_then(|now| now.whole_checksum());
    Ok(checksum.is_some() && checksum == kept.whole_checksum())
}

async fn head(store: &Arc<dyn ObjectStore>, key: &str, transfer: &Transfer) -> Result<Option<ObjectHead>, StoreError> {
    match cancellable(&transfer.cancel, store.place(), store.head(key)).await {
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        head => head.map(Some),
    }
}

/// Lets the store copy it: it is known what this very version is, so nothing has to be digested.
async fn is_copied_by_store(
    store: &Arc<dyn ObjectStore>,
    Leaving { object, to, .. }: &Leaving,
    transfer: &Transfer,
) -> Result<bool, StoreError> {
    if transfer.verification == Verification::ReadBack {
        return Ok(false);
    }
    let copied = CopySource { store: &**store, key: &object.key, version: object };
    match cancellable(&transfer.cancel, store.place(), store.copy_from(&copied, to, &Condition::Any)).await {
        Ok(copy) => Ok(matches!(copy, StoreCopy::Proven(_))),
        Err(error) if error.concerns_whole_bucket() && error.kind != StoreErrorKind::CredentialsRefused => Err(error),
        Err(error) => {
            tracing::debug!(%error, "the store does not copy by itself: the bytes are read and written");
            Ok(false)
        }
    }
}

async fn write(store: &Arc<dyn ObjectStore>, leaving: &Leaving, transfer: &Transfer) -> Result<(), StoreError> {
    let Leaving { object, sha256, to } = leaving;
    let _turn = transfer.turn(object.size).await;
    let unread = Unread { store: store.clone(), key: object.key.clone(), from: 0, size: object.size };
    let (etag, cancel) = (Some(object.etag.as_str()), transfer.cancel.clone());
    let reader = ParallelReader::open(unread, etag, transfer.room_ahead(), cancel).await?;
    let head = reader.head().clone();
    let mut reader = Named { reader, sha256: *sha256, place: store.clone(), key: &object.key };
    let content = Content { announced: reader.announced(), ..Content::new(Size::Known(head.size), &head.attributes) };
    let destination = Destination {
        store: store.clone(),
        key: to.clone(),
        condition: Condition::Any,
        journals: None,
        stop: Stop::of_all(&transfer.cancel),
    };
    let sent = |_, _| ();
    let written = fan_out(&mut reader, &content, &[destination], Start::afresh(1), transfer, sent).await?;
    written.into_iter().try_for_each(|written| written.map(|_| ()))
}

/// Reads an object whose content is known. Another content is never completed under its name.
struct Named<'a> {
    reader: ParallelReader,
    sha256: Sha256,
    place: Arc<dyn ObjectStore>,
    key: &'a str,
}

impl ChunkReader for Named<'_> {
    type Error = StoreError;

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        self.reader.next_chunk().await
    }

    fn announced(&self) -> Option<Checksum> {
        self.reader.announced()
    }

    fn pinned(&self) -> Option<Pinned> {
        self.reader.pinned()
    }

    fn confirm(&self, read: &Digests) -> Result<(), StoreError> {
        self.reader.confirm(read)?;
        if read.sha256 == Some(self.sha256) {
            return Ok(());
        }
        let detail = "its content is another one than was proven of this version";
        Err(self.place.place().error(StoreErrorKind::Corrupt, format!("read {:?}", self.key), detail))
    }
}
