//! Puts beside a manifest where its objects came from.

use std::collections::HashSet;
use std::num::NonZeroU64;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use skyfleet_transform::{Step, Transform};

use super::content::{HeldContent, Measured, Objects};
use super::manifests::write_streamed;
use crate::dataset::layout::provenance_of_key;
use crate::state::{Made, StateEntry};
use crate::transfer::Size;
use crate::transfer::reader::ChunkReader;
use crate::{
    DatasetName, HowMade, ManifestEntry, ObjectSummary, Place, Provenance, ProvenanceCut, ProvenanceEntry,
    ProvenanceFormat, ProvenanceObject, ProvenanceSource, ProvenanceTransform, Replica, StoreError, StoreErrorKind,
    manifest_key, provenance_key,
};

/// Where the objects of a dataset come from.
pub(super) struct Origin<'a> {
    pub(super) dataset: &'a DatasetName,
    pub(super) source: &'a Replica,
    /// `None` where they are copied as they are.
    pub(super) transform: Option<&'a Transform>,
    /// Where objects with rows are cut.
    pub(super) piece_size: Option<NonZeroU64>,
}

/// Writes the document about a version.
pub(super) async fn write_provenance(
    replica: &Replica,
    origin: &Origin<'_>,
    measured: &Measured,
    content: &HeldContent<'_>,
) -> Result<(), StoreError> {
    let place = replica.store.place();
    let version = line(place, &origin.provenance(measured, content.objects, Timestamp::now()))?;
    let is_made = origin.transform.is_some() || origin.piece_size.is_some();
    let objects = is_made.then(|| content.read());
    let mut reader = ProvenanceReader { version: Some(version.into()), objects, place };
    let key = provenance_key(origin.dataset, measured.digest);
    write_streamed(replica, &key, Size::Open { source: measured.size }, &mut reader, content.transfer).await
}

/// Removes what lay there before beside manifests that are not there any more, or never were. `kept` are the keys of those that
/// are.
pub(super) async fn remove_provenance(
    replica: &Replica,
    dataset: &DatasetName,
    there: &[ObjectSummary],
    kept: &HashSet<String>,
) -> Result<(), StoreError> {
    let is_left = |object: &ObjectSummary| {
        provenance_of_key(dataset, &object.key).is_some_and(|digest| !kept.contains(&manifest_key(dataset, digest)))
    };
    for old in there.iter().filter(|object| is_left(object)) {
        replica.store.delete(&old.key).await?;
    }
    Ok(())
}

impl Origin<'_> {
    fn provenance(&self, measured: &Measured, objects: u64, published: Timestamp) -> Provenance {
        let Place { endpoint, bucket, prefix } = self.source.store.place();
        let source = ProvenanceSource {
            endpoint: endpoint.to_string(),
            bucket: bucket.to_string(),
            prefix: format!("{prefix}{}", self.source.prefix),
        };
        let made = match (self.transform, self.piece_size) {
            (Some(transform), piece_size) => HowMade::Transformed(ProvenanceTransform {
                digest: transform.digest().to_owned(),
                steps: transform.spec().steps.iter().map(Step::name).map(str::to_owned).collect(),
                piece_size,
                rows: (&measured.totals.rows).into(),
            }),
            (None, Some(piece_size)) => HowMade::Cut(ProvenanceCut {
                piece_size,
                pieces: measured.totals.pieces,
                rows: measured.totals.rows.rows_written,
            }),
            (None, None) => HowMade::Copied,
        };
        Provenance {
            format: ProvenanceFormat::V1,
            dataset: self.dataset.clone(),
            manifest: measured.digest,
            published,
            source,
            made,
            objects,
            bytes_in: measured.totals.bytes_in,
            bytes_out: measured.totals.bytes_out,
        }
    }
}

/// Gives the lines of the document.
struct ProvenanceReader<'a> {
    /// The first line, until it was given.
    version: Option<Bytes>,
    /// Those that have a line each.
    objects: Option<Objects<'a>>,
    place: &'a Place,
}

impl ChunkReader for ProvenanceReader<'_> {
    type Error = StoreError;

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let Some(version) = self.version.take() {
            return Ok(Some(version));
        }
        let Some(objects) = &mut self.objects else { return Ok(None) };
        let Some(objects) = objects.next().await? else { return Ok(None) };
        let mut lines = Vec::new();
        for (entry, remembered) in objects {
            // An object that was copied has its source's key and bytes.
            if let Some(made) = remembered.made.clone() {
                lines.extend(line(self.place, &provenance_of(entry, &remembered, *made))?);
            }
        }
        Ok(Some(lines.into()))
    }
}

fn provenance_of(entry: ManifestEntry, remembered: &StateEntry, made: Made) -> ProvenanceEntry {
    let ManifestEntry { key, size, sha256 } = entry;
    let Made { source_key, piece, source_size, source_sha256, at, rows, .. } = made;
    ProvenanceEntry {
        key,
        bytes: size,
        sha256,
        source: ProvenanceObject {
            key: source_key,
            bytes: source_size,
            piece: piece.map(Into::into),
            etag: remembered.source_etag.clone(),
            modified: time(remembered.source_modified),
            sha256: source_sha256,
        },
        made: time(at),
        rows: (&rows).into(),
    }
}

/// Beyond the years that have four digits no store tells a time.
fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or_default()
}

fn line(place: &Place, value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let unwritable = |error: serde_json::Error| {
        place.error(StoreErrorKind::Rejected, "write where the objects came from", error.to_string())
    };
    let mut line = serde_json::to_vec(value).map_err(unwritable)?;
    line.push(b'\n');
    Ok(line)
}
