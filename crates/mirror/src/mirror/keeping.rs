//! Puts away what leaves the newest version of a dataset, where older ones are kept.

use super::round::{Done, Round};
use super::types::MirrorEvent;
use crate::state::StateEntry;
use crate::transfer::put_away::{Leaving, put_away};
use crate::{ObjectFailure, StoreError};

/// What became of a content that was to be put away, of an object that the newest version does not name.
pub(super) struct PutAway {
    target: usize,
    key: String,
    outcome: Result<(), StoreError>,
}

impl Round<'_> {
    /// An object belongs to the newest version no more. What is remembered of it holds until its content was put away: whoever
    /// overwrites or removes it later knows nothing of it.
    pub(super) fn begin_to_put_away(
        &mut self,
        target: usize,
        key: &str,
        remembered: Option<StateEntry>,
        leaving: Leaving,
    ) {
        let of = &mut self.targets[target];
        of.puts_away = true;
        of.expect(key, remembered);
        let (store, shared, key) = (of.replica.store.clone(), self.shared.clone(), key.to_owned());
        self.running.spawn(async move {
            let outcome = put_away(&store, &leaving, &shared.turns, &shared.transfer).await;
            Done::PutAway(PutAway { target, key, outcome })
        });
    }

    pub(super) fn was_put_away(&mut self, PutAway { target: index, key, outcome }: PutAway) {
        let target = &mut self.targets[index];
        match outcome {
            Ok(()) => target.forget(&key),
            Err(error) => {
                target.keep_remembered(&key);
                let failure = ObjectFailure { key, error };
                target.failed(failure.clone());
                (self.shared.progress)(MirrorEvent::Failed { target: Some(index), failure });
            }
        }
    }
}
