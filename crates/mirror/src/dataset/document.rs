//! Small objects of Skyfleet's own.

use tokio_util::sync::CancellationToken;

use crate::content::{Hashing, Wanted};
use crate::transfer::object_reader::ObjectReader;
use crate::transfer::reader::ChunkReader as _;
use crate::{Attributes, ByteRange, Condition, Payload, Replica, StoreError};

/// All bytes of one.
pub(crate) async fn read_document(
    replica: &Replica,
    key: &str,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, StoreError> {
    read_dated(replica, key, cancel).await.map(|(bytes, _)| bytes)
}

/// All bytes of one, and when it was written, in seconds since the Unix epoch.
pub(crate) async fn read_dated(
    replica: &Replica,
    key: &str,
    cancel: &CancellationToken,
) -> Result<(Vec<u8>, i64), StoreError> {
    let store = replica.store.clone();
    let mut reader = ObjectReader::open(store, key.to_owned(), ByteRange::ALL, None, cancel.clone()).await?;
    let size = reader.head().size;
    let mut hashing = Hashing::new(1, Wanted::default().to_compare_with(reader.announced()));
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    while let Some(chunk) = reader.next_chunk().await? {
        hashing.update(&chunk);
        bytes.extend_from_slice(&chunk);
    }
    reader.confirm(&hashing.finish())?;
    Ok((bytes, reader.head().modified))
}

pub(crate) async fn write_document(replica: &Replica, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
    replica.store.put(key, &jsonl(), Payload::of(bytes), &Condition::Any).await.map(|_| ())
}

/// What all of them are.
pub(crate) fn jsonl() -> Attributes {
    Attributes { content_type: Some("application/jsonl".to_owned()), ..Attributes::default() }
}
