//! What is remembered of one target where only a part of it is brought by a worker: what earlier passes have left is read, and what is
//! new is told in files of this worker.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::adopted::{Proven, merge};
use super::book::Book;
use super::index::overlaps;
use super::page::StateEntry;
use super::proofs::{Fits, ProofName, Proofs, choose};
use super::recall::{Recall, Turned};
use super::unsaved::Unsaved;
use crate::{Portion, StoreError};

/// What a worker that vanishes has done for nothing, at most, of small objects: a file is small, too.
const KEPT_EVERY: Duration = Duration::from_secs(10);
/// Records after which a file is left as it is, and another begins: each is written again and again until then.
const ENOUGH_RECORDS: usize = 4096;

pub(crate) struct PortionState {
    recall: Recall,
    proofs: Proofs,
    /// What was proven of this unit before, by any worker.
    proven: Proven,
    /// What the file holds that is written now.
    own: BTreeMap<String, StateEntry>,
    name: ProofName,
    unsaved: Unsaved,
    kept: Instant,
}

impl PortionState {
    pub(crate) async fn open(
        book: Book,
        (proofs, portion): (Proofs, &Portion),
        cancel: &CancellationToken,
    ) -> Result<Self, StoreError> {
        let index = book.index(cancel).await?;
        let overlapping = overlaps(&index.pages, &portion.range);
        let pages = index.pages.into_iter().zip(overlapping).filter(|(_, overlaps)| *overlaps);
        let recall = Recall::start(book, pages.collect(), cancel);
        let Portion { unit, worker, .. } = *portion;
        let (mut proven, mut own) = (Proven::new(), BTreeMap::new());
        let mut name = ProofName { unit, worker, number: 1 };
        for there in proofs.names(Some(unit), cancel).await? {
            let records = proofs.read(there, cancel).await?.unwrap_or_default();
            if there.worker == worker {
                (name, own) = (there, records.iter().cloned().collect());
            }
            merge(&mut proven, records);
        }
        let mut state = Self { recall, proofs, proven, own, name, unsaved: Unsaved::default(), kept: Instant::now() };
        state.begin_another();
        Ok(state)
    }

    /// What is known of an object, and fits best. Keys are to be asked for in their order.
    pub(crate) async fn recall(&mut self, key: &str, fits: &Fits<'_>) -> Result<Option<StateEntry>, StoreError> {
        let remembered = self.remembered(key).await?;
        let proofs = self.proven.remove(key).unwrap_or_default();
        Ok(choose(remembered, proofs, fits).entry)
    }

    async fn remembered(&mut self, key: &str) -> Result<Option<StateEntry>, StoreError> {
        loop {
            while let Some((next, _)) = self.recall.peek() {
                if next.as_str() > key {
                    return Ok(None);
                }
                let record = self.recall.next();
                if let Some((_, entry)) = record.filter(|(next, _)| next == key) {
                    return Ok(Some(entry));
                }
            }
            if matches!(self.recall.turn().await?, Turned::Ended) {
                return Ok(None);
            }
        }
    }

    /// An object was proven.
    pub(crate) fn prove(&mut self, key: &str, entry: StateEntry) {
        self.unsaved.add(entry.size);
        self.own.insert(key.to_owned(), entry);
    }

    pub(crate) fn is_due(&self) -> bool {
        self.unsaved.is_due() || !self.unsaved.is_nothing() && self.kept.elapsed() >= KEPT_EVERY
    }

    /// Keeps all that was proven by now, if anything new was.
    pub(crate) async fn keep(&mut self) -> Result<(), StoreError> {
        if self.unsaved.is_nothing() {
            return Ok(());
        }
        (self.unsaved, self.kept) = (Unsaved::default(), Instant::now());
        self.proofs.write(self.name, self.own.iter().map(|(key, entry)| (key.as_str(), entry))).await?;
        self.begin_another();
        Ok(())
    }

    /// Begins another file where this one is full.
    fn begin_another(&mut self) {
        if self.own.len() >= ENOUGH_RECORDS {
            self.own.clear();
            self.name.number += 1;
        }
    }
}
