//! What is remembered of one target, in whichever way a pass does that.

use tokio_util::sync::CancellationToken;

use super::book::Book;
use super::page::StateEntry;
use super::portion_state::PortionState;
use super::proofs::{Fits, Proofs};
use super::target_state::TargetState;
use crate::{Portion, StoreError};

/// What a pass will ask of.
pub(crate) enum Asked<'a> {
    /// Everything. What workers have proven is taken over.
    All(Option<Proofs>),
    /// These keys, in their order.
    Keys(&'a [String]),
    /// A part, of which the proofs are told.
    Portion(Proofs, &'a Portion),
}

pub(crate) enum Memory {
    /// The pages, which are written anew where something changes.
    Pages(Box<TargetState>),
    /// The pages as they are, and what this worker proves.
    Proofs(Box<PortionState>),
}

impl Memory {
    pub(crate) async fn open(book: Book, asked: Asked<'_>, cancel: &CancellationToken) -> Result<Self, StoreError> {
        match asked {
            Asked::All(adopts) => TargetState::open(book, (None, adopts), cancel).await.map(Self::pages_of),
            Asked::Keys(keys) => TargetState::open(book, (Some(keys), None), cancel).await.map(Self::pages_of),
            Asked::Portion(proofs, portion) => {
                PortionState::open(book, (proofs, portion), cancel).await.map(|state| Self::Proofs(Box::new(state)))
            }
        }
    }

    fn pages_of(state: TargetState) -> Self {
        Self::Pages(Box::new(state))
    }

    pub(crate) fn pages(&self) -> Option<&TargetState> {
        match self {
            Self::Pages(state) => Some(state),
            Self::Proofs(_) => None,
        }
    }

    pub(crate) fn pages_mut(&mut self) -> Option<&mut TargetState> {
        match self {
            Self::Pages(state) => Some(state),
            Self::Proofs(_) => None,
        }
    }

    /// What is remembered of an object: see [`TargetState::recall`].
    pub(crate) async fn recall(&mut self, key: &str, fits: &Fits<'_>) -> Result<Option<StateEntry>, StoreError> {
        match self {
            Self::Pages(state) => state.recall(key, fits).await,
            Self::Proofs(state) => state.recall(key, fits).await,
        }
    }

    /// What was recalled still holds. What was proven stays where it is told.
    pub(crate) fn carry(&mut self, key: String, entry: StateEntry) {
        if let Self::Pages(state) = self {
            state.carry(key, entry);
        }
    }

    /// The object is being copied; what is known of the one that it takes the place of holds until then.
    pub(crate) fn expect(&mut self, key: String, known: Option<StateEntry>) {
        if let Self::Pages(state) = self {
            state.expect(key, known);
        }
    }

    /// What became of an object that was expected.
    pub(crate) fn settle(&mut self, key: &str, entry: Option<StateEntry>) {
        match (self, entry) {
            (Self::Pages(state), entry) => state.settle(key, entry),
            (Self::Proofs(state), Some(entry)) => state.prove(key, entry),
            (Self::Proofs(_), None) => {}
        }
    }

    /// An object that was expected did not come: what was known still holds.
    pub(crate) fn keep_known(&mut self, key: &str) {
        if let Self::Pages(state) = self {
            state.keep_known(key);
        }
    }

    /// Whether there is something to write.
    pub(crate) fn is_due(&self) -> bool {
        match self {
            Self::Pages(state) => state.is_due(),
            Self::Proofs(state) => state.is_due(),
        }
    }

    /// Whether so much waits for objects under way that no further object should be begun.
    pub(crate) fn is_waiting(&self) -> bool {
        self.pages().is_some_and(TargetState::is_waiting)
    }

    /// Writes what is ready, so that a pass that is killed loses little.
    pub(crate) async fn write(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Pages(state) => state.write().await,
            Self::Proofs(state) if state.is_due() => state.keep().await,
            Self::Proofs(_) => Ok(()),
        }
    }

    /// Keeps all that is known by now, in the middle of a pass.
    pub(crate) async fn keep(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Pages(state) => state.keep().await,
            Self::Proofs(state) => state.keep().await,
        }
    }

    /// Keeps all of it, at the end of a pass that has seen every object it was to look at.
    pub(crate) async fn finish(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Pages(state) => state.finish().await,
            Self::Proofs(state) => state.keep().await,
        }
    }
}
