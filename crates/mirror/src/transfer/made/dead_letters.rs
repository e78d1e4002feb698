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
use crate::{Condition, StoreError, StoreErrorKind, TransferLimits};

/// Apart from the memory of the objects themselves: these wait for records that only come when the objects go on.
const MEMORY: u64 = 24 * 1024 * 1024;

/// Writes what comes: how that went at each destination. Of a transform that fails nothing is kept: its error says why.
pub(super) async fn write_dead_letters(
    mut letters: mpsc::Receiver<Bytes>,
    destinations: &[Destination],
    making: &Making,
    transfer: &Transfer,
) -> Vec<Result<(), StoreError>> {
    let destination = |Destination { store, key, stop, .. }: &Destination| Destination {
        store: store.clone(),
        key: making.dead_letters_key(key),
        condition: Condition::Any,
        journals: None,
        stop: stop.clone(),
    };
    let destinations: Vec<_> = destinations.iter().map(destination).collect();
    let Some(first) = letters.recv().await.filter(|chunk| !chunk.is_empty()) else {
        return vec![Ok(()); destinations.len()];
    };
    let limits = TransferLimits { memory: MEMORY, parts: 1, ..transfer.limits };
    let transfer = Transfer::new(limits, transfer.verification, transfer.cancel.clone());
    let attributes = jsonl();
    let content = Content::new(Size::Open { source: 0 }, &attributes);
    let (start, sent) = (Start::afresh(destinations.len()), |_, _| ());
    let cut_short = || destinations[0].failed(StoreErrorKind::Cancelled, "the transform failed");
    let mut letters = Letters { first: Some(first), rest: letters, cut_short };
    match fan_out(&mut letters, &content, &destinations, start, &transfer, sent).await {
        Ok(written) => written.into_iter().map(|written| written.map(drop)).collect(),
        Err(error) => vec![Err(error); destinations.len()],
    }
}

/// Removes those of an earlier version of an object that has none any more, where there were some.
pub(super) async fn remove_dead_letters(
    destinations: &[Destination],
    had_some: &[bool],
    making: &Making,
    transfer: &Transfer,
) -> Vec<Result<(), StoreError>> {
    let removals = destinations.iter().zip(had_some).map(|(Destination { store, key, .. }, had_some)| async move {
        let key = making.dead_letters_key(key);
        if *had_some { cancellable(&transfer.cancel, store.place(), store.delete(&key)).await } else { Ok(()) }
    });
    join_all(removals).await
}

struct Letters<F> {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Bytes>,
    cut_short: F,
}

impl<F: Fn() -> StoreError + Send> ChunkReader for Letters<F> {
    type Error = StoreError;

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        match self.rest.recv().await {
            Some(chunk) => Ok((!chunk.is_empty()).then_some(chunk)),
            None => Err((self.cut_short)()),
        }
    }
}
