//! Puts records beside the targets' objects that could not be transformed.

use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::mpsc;

use super::Making;
use crate::cancel::cancellable;
use crate::dataset::document::jsonl;
use crate::transfer::fan_out::{Content, Start, fan_out};
use crate::transfer::part::Size;
use crate::transfer::reader::ChunkReader;
use crate::transfer::{Destination, Transfer};
use crate::{Condition, StoreError, TransferLimits};

/// Apart from the memory of the objects themselves: these wait for records that only come when the objects go on.
const MEMORY: u64 = 24 * 1024 * 1024;

/// Writes what comes, or removes what lies there where nothing does: how that went at each destination.
///
/// What came before a transform failed is kept: it says why.
pub(super) async fn write_dead_letters(
    mut letters: mpsc::Receiver<Bytes>,
    destinations: &[Destination],
    had_some: &[bool],
    making: &Making,
    transfer: &Transfer,
) -> Vec<Result<(), StoreError>> {
    let destination = |Destination { store, key, .. }: &Destination| Destination {
        store: store.clone(),
        key: making.dead_letters_key(key),
        condition: Condition::Any,
        journals: None,
    };
    let destinations: Vec<_> = destinations.iter().map(destination).collect();
    let Some(first) = letters.recv().await else {
        let removals = destinations.iter().zip(had_some).map(async |(Destination { store, key, .. }, had_some)| {
            if *had_some { cancellable(&transfer.cancel, store.place(), store.delete(key)).await } else { Ok(()) }
        });
        return join_all(removals).await;
    };
    let limits = TransferLimits { memory: MEMORY, parts: 1, ..transfer.limits };
    let transfer = Transfer::new(limits, transfer.verification, transfer.cancel.clone());
    let attributes = jsonl();
    let content = Content::new(Size::Open { source: 0 }, &attributes);
    let (start, sent) = (Start::afresh(destinations.len()), |_, _| ());
    let mut letters = Letters { first: Some(first), rest: letters };
    match fan_out(&mut letters, &content, &destinations, start, &transfer, sent).await {
        Ok(written) => written.into_iter().map(|written| written.map(drop)).collect(),
        Err(never) => match never {},
    }
}

struct Letters {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Bytes>,
}

impl ChunkReader for Letters {
    type Error = std::convert::Infallible;

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Self::Error> {
        let first = self.first.take();
        Ok(if first.is_some() { first } else { self.rest.recv().await })
    }
}
