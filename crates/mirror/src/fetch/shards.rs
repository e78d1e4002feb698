use tokio_util::sync::CancellationToken;

use crate::dataset::document::read_document;
use crate::{DatasetName, FetchError, ManifestDigest, Replica, Sha256, ShardIndex, StoreErrorKind, shard_index_key};

/// Reads the index of a dataset that is split, as one of its buckets has it: what to [`fetch`](crate::fetch()) from where, to have
/// all of it.
///
/// # Errors
/// See [`FetchError`].
pub async fn read_shard_index(
    replica: &Replica,
    dataset: &DatasetName,
    digest: ManifestDigest,
    cancel: &CancellationToken,
) -> Result<ShardIndex, FetchError> {
    let key = shard_index_key(dataset, digest);
    let bytes = read_document(replica, &key, cancel).await.map_err(|error| match error.kind {
        StoreErrorKind::NotFound => {
            let (dataset, bucket) = (dataset.clone(), error.bucket.to_string());
            FetchError::MissingShardIndex { dataset, digest, bucket }
        }
        _ => error.into(),
    })?;
    let found = Sha256::of(&bytes);
    if ManifestDigest(found) != digest {
        return Err(FetchError::DamagedShardIndex { expected: digest, found });
    }
    Ok(ShardIndex::parse(&bytes)?)
}
