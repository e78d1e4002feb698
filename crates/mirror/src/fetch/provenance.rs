use tokio_util::sync::CancellationToken;

use crate::dataset::document::read_document;
use crate::{
    DatasetName, FetchError, ManifestDigest, ProvenanceDocument, ProvenanceEntry, Replica, StoreErrorKind,
    provenance_key,
};

/// Reads where a version of a dataset came from, as one of its buckets tells it, with the objects that are asked for.
///
/// # Errors
/// See [`FetchError`].
pub async fn read_provenance(
    replica: &Replica,
    dataset: &DatasetName,
    digest: ManifestDigest,
    wanted: impl Fn(&ProvenanceEntry) -> bool,
    cancel: &CancellationToken,
) -> Result<ProvenanceDocument, FetchError> {
    let key = provenance_key(dataset, digest);
    let bytes = read_document(replica, &key, cancel).await.map_err(|error| match error.kind {
        StoreErrorKind::NotFound => {
            let (dataset, bucket) = (dataset.clone(), error.bucket.to_string());
            FetchError::MissingProvenance { dataset, digest, bucket }
        }
        _ => error.into(),
    })?;
    Ok(ProvenanceDocument::parse(&bytes, wanted)?)
}
