//! What a target holds of a dataset, as it is remembered.

use skyfleet_transform::Outcome;

use super::manifests::ManifestReader;
use crate::state::{Book, PageRef, StateEntry};
use crate::transfer::Transfer;
use crate::transfer::reader::ChunkReader as _;
use crate::{ManifestDigest, ManifestEntry, Sha256, StoreError};

/// All that a manifest names, page by page.
pub(super) struct HeldContent<'a> {
    pub(super) book: &'a Book,
    pub(super) pages: &'a [PageRef],
    /// How many there must be.
    pub(super) objects: u64,
    pub(super) transfer: &'a Transfer,
}

/// What all objects are together.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Bytes of the source's objects that they were made of, or are copies of.
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) rows: Outcome,
    /// Objects that were cut out of others.
    pub(super) pieces: u64,
}

/// What is known once all of it was read.
pub(super) struct Measured {
    pub(super) digest: ManifestDigest,
    /// Bytes of the manifest.
    pub(super) size: u64,
    pub(super) totals: Totals,
}

impl HeldContent<'_> {
    pub(super) fn read(&self) -> Objects<'_> {
        Objects { content: self, pages: self.pages.iter(), given: 0, totals: Totals::default() }
    }

    /// Reads all of it once.
    pub(super) async fn measure(&self) -> Result<Measured, StoreError> {
        let (mut hasher, mut size) = (<sha2::Sha256 as sha2::Digest>::new(), 0);
        let mut reader = ManifestReader(self.read());
        while let Some(lines) = reader.next_chunk().await? {
            sha2::Digest::update(&mut hasher, &lines);
            size += lines.len() as u64;
        }
        Ok(Measured { digest: ManifestDigest(Sha256::finish(hasher)), size, totals: reader.0.totals })
    }
}

/// Gives the objects in the order of their keys, some thousand at a time.
pub(super) struct Objects<'a> {
    content: &'a HeldContent<'a>,
    pages: std::slice::Iter<'a, PageRef>,
    given: u64,
    /// Of what was given by now.
    totals: Totals,
}

impl Objects<'_> {
    /// `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<(ManifestEntry, StateEntry)>>, StoreError> {
        let HeldContent { book, objects, transfer, .. } = *self.content;
        let Some(page) = self.pages.next() else {
            return if self.given == objects { Ok(None) } else { Err(book.incomplete(self.given, objects)) };
        };
        let records = book.page(page, &transfer.cancel).await?.ok_or_else(|| book.lost(page))?;
        self.given += records.len() as u64;
        let named = |(key, remembered): (String, StateEntry)| {
            let sha256 = remembered.sha256.ok_or_else(|| book.lost(page))?;
            self.totals.add(&remembered);
            Ok((ManifestEntry { key, size: remembered.size, sha256 }, remembered))
        };
        records.into_iter().map(named).collect::<Result<_, _>>().map(Some)
    }
}

impl Totals {
    fn add(&mut self, object: &StateEntry) {
        self.bytes_out += object.size;
        self.bytes_in += object.made.as_ref().map_or(object.size, |made| made.source_size);
        if let Some(made) = &object.made {
            self.rows.add(&made.rows);
            self.pieces += u64::from(made.piece.is_some());
        }
    }
}
