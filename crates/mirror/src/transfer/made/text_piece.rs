//! A piece of JSON Lines or CSV: exact bytes of its object, behind the header where there is one.

use bytes::Bytes;
use skyfleet_transform::{Format, LineCount, Outcome};

use super::bounds::{Bounds, RowCount, bounds_of_lines};
use super::version::listed_version;
use super::{Making, Unmade, attributes, copy_of};
use crate::mirror::naming::CutOut;
use crate::state::Made;
use crate::transfer::copy::refusals;
use crate::transfer::fan_out::{Content, Proven, Start, fan_out};
use crate::transfer::object_reader::ObjectReader;
use crate::transfer::part::Size;
use crate::transfer::reader::ChunkReader;
use crate::transfer::source_tags::SourceTags;
use crate::transfer::{Destination, SourceRead, Transfer};
use crate::{ByteRange, ObjectHead, ObjectSummary, Replica, StoreError};

/// Gives the bytes of a piece.
pub(super) struct TextPiece {
    head: ObjectHead,
    /// Until it was given.
    header: Bytes,
    /// Of the bytes behind it; none where there are none.
    reader: Option<ObjectReader>,
    size: u64,
    rows: RowCount,
}

impl TextPiece {
    pub(super) async fn open(
        source: &Replica,
        (listed, unmade): (&ObjectSummary, &Unmade),
        cut: &CutOut,
        (making, transfer): (&Making, &Transfer),
    ) -> Result<Self, StoreError> {
        let (head, version) = listed_version(source, &unmade.key, listed, transfer).await?;
        let bounds = match cut.format {
            Format::Csv => making.scans.bounds(source, (&unmade.key, &head), cut, transfer).await?,
            _ => bounds_of_lines(&version, cut, transfer).await?,
        };
        let Bounds { header, bytes, rows } = bounds;
        let size = header.len() as u64 + (bytes.end - bytes.start);
        let reader = if bytes.is_empty() {
            None
        } else {
            let mut reader = version.open(ByteRange { from: bytes.start, to: Some(bytes.end) }).await?;
            reader.pace.clone_from(&transfer.pace);
            Some(reader)
        };
        Ok(Self { head, header, reader, size, rows })
    }

    pub(super) fn head(&self) -> &ObjectHead {
        &self.head
    }

    /// How many there are, once all of it was read.
    fn rows(&self) -> u64 {
        match &self.rows {
            RowCount::Known(rows) => *rows,
            RowCount::Seen(lines) => lines.lines(),
        }
    }
}

impl ChunkReader for TextPiece {
    type Error = StoreError;

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        if !self.header.is_empty() {
            return Ok(Some(std::mem::take(&mut self.header)));
        }
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let chunk = reader.next_chunk().await?;
        if let (Some(chunk), RowCount::Seen(lines)) = (&chunk, &mut self.rows) {
            LineCount::see(lines, chunk);
        }
        Ok(chunk)
    }
}

/// Copies a piece as it is.
pub(super) async fn copy_text(
    source: &Replica,
    (listed, unmade): (&ObjectSummary, &Unmade),
    cut: &CutOut,
    destinations: &[Destination],
    (making, transfer): (&Making, &Transfer),
    sent: &(impl Fn(usize, u64) + Sync),
) -> Result<SourceRead, StoreError> {
    let _turn = transfer.turn(listed.size).await;
    let mut piece = TextPiece::open(source, (listed, unmade), cut, (making, transfer)).await?;
    let (size, head) = (piece.size, piece.head().clone());
    if let Some(refusal) = refusals(size, destinations).into_iter().flatten().next() {
        return Ok(SourceRead::Whole(destinations.iter().map(|_| Err(refusal.clone())).collect()));
    }
    let tags = SourceTags::of(source, &unmade.key, &head, transfer).await?;
    let attributes = attributes(&head, &tags, &listed.key);
    let content = Content::new(Size::Known(size), &attributes);
    let start = Start::afresh(destinations.len());
    let copies = fan_out(&mut piece, &content, destinations, start, transfer, sent).await?;
    let rows = Outcome { rows_read: piece.rows(), rows_written: piece.rows(), ..Outcome::default() };
    let copy = |proven: Proven| {
        let made = Made { at: proven.modified, rows: rows.clone(), ..making.made(unmade, listed.size) };
        copy_of(&head, tags.clone(), size, made, proven)
    };
    Ok(SourceRead::Whole(copies.into_iter().map(|proven| proven.map(copy)).collect()))
}
