//! Finds where the pieces of text lie in their object.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use skyfleet_transform::{CsvCuts, CsvScan, LineCount, RecordStart, TransformError};
use tokio::sync::OnceCell;

use crate::content::{Hashing, Wanted};
use crate::mirror::naming::CutOut;
use crate::transfer::Transfer;
use crate::transfer::object_reader::Pinned;
use crate::transfer::parallel_reader::{ParallelReader, Unread};
use crate::transfer::reader::ChunkReader as _;
use crate::{ByteRange, ObjectHead, Replica, StoreError, StoreErrorKind};

/// Objects of CSV whose cuts are kept: the pieces of one mostly follow each other, and it would be read through again for each.
const KEPT: usize = 16;

/// Where a piece lies.
pub(super) struct Bounds {
    /// What comes before its bytes.
    pub(super) header: Bytes,
    pub(super) bytes: Range<u64>,
    pub(super) rows: RowCount,
}

/// How many rows a piece has.
pub(super) enum RowCount {
    Known(u64),
    /// By its lines.
    Seen(LineCount),
}

/// Between the lines around the piece's share.
pub(super) async fn bounds_of_lines(version: &Pinned, cut: &CutOut, transfer: &Transfer) -> Result<Bounds, StoreError> {
    let share = cut.piece.share(cut.whole);
    let start = record_start(version, share.start, cut.whole, transfer).await?;
    let end = record_start(version, share.end, cut.whole, transfer).await?;
    Ok(Bounds { header: Bytes::new(), bytes: start..end, rows: RowCount::Seen(LineCount::default()) })
}

async fn record_start(version: &Pinned, place: u64, size: u64, transfer: &Transfer) -> Result<u64, StoreError> {
    let mut start = RecordStart::after(place, size);
    while let Some(Range { start: from, end }) = start.wanted() {
        let mut reader = version.open(ByteRange { from, to: Some(end) }).await?;
        reader.pace.clone_from(&transfer.pace);
        while start.wanted().is_some()
            && let Some(chunk) = reader.next_chunk().await?
        {
            start.look_at(&chunk);
        }
    }
    Ok(start.place())
}

/// Where the pieces of CSV lie, of the objects of a pass that were read through last.
#[derive(Default)]
pub(super) struct CsvScans(Mutex<VecDeque<Scan>>);

#[derive(Clone)]
struct Scan {
    key: String,
    etag: String,
    cuts: Arc<OnceCell<CsvCuts>>,
}

impl CsvScans {
    /// By reading the object through, once for all of its pieces.
    pub(super) async fn bounds(
        &self,
        source: &Replica,
        (key, head): (&str, &ObjectHead),
        cut: &CutOut,
        transfer: &Transfer,
    ) -> Result<Bounds, StoreError> {
        let scan = self.of(key, &head.etag);
        let cuts = scan.cuts.get_or_try_init(|| read_through(source, (key, head), cut, transfer)).await?;
        let (bytes, rows) = cuts.piece(cut.piece);
        Ok(Bounds { header: cuts.header.clone(), bytes, rows: RowCount::Known(rows) })
    }

    fn of(&self, key: &str, etag: &str) -> Scan {
        let mut scans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scan) = scans.iter().find(|scan| scan.key == key && scan.etag == etag) {
            return scan.clone();
        }
        let scan = Scan { key: key.to_owned(), etag: etag.to_owned(), cuts: Arc::default() };
        scans.truncate(KEPT - 1);
        scans.push_front(scan.clone());
        scan
    }
}

async fn read_through(
    source: &Replica,
    (key, head): (&str, &ObjectHead),
    cut: &CutOut,
    transfer: &Transfer,
) -> Result<CsvCuts, StoreError> {
    let unread = Unread { store: source.store.clone(), key: source.key(key), from: 0, size: cut.whole };
    let reader = ParallelReader::open(unread, Some(&head.etag), transfer.room_ahead(), transfer.cancel.clone()).await?;
    let mut reader = reader.paced(transfer.pace.clone());
    let mut hashing = Hashing::new(1, Wanted::default().to_compare_with(reader.announced()));
    let mut scan = CsvScan::new(cut.whole, cut.piece.of);
    let refused = |error: TransformError| {
        source.store.place().error(StoreErrorKind::Rejected, format!("cut {key:?} into pieces"), error.to_string())
    };
    while let Some(chunk) = reader.next_chunk().await? {
        hashing.update(&chunk);
        scan.see(&chunk).map_err(refused)?;
    }
    reader.confirm(&hashing.finish())?;
    Ok(scan.finish())
}
