//! Reads what workers have proven, unit by unit, one ahead of who asks.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::page::{Record, StateEntry};
use super::proofs::{ProofName, Proofs};
use crate::StoreError;

/// By the key, what each of the workers has proven of an object.
pub(super) type Proven = BTreeMap<String, Vec<StateEntry>>;

/// The proofs of a work. Units are in the order of keys and have none in common.
pub(super) struct Adopted {
    current: Proven,
    /// Those that are still to come; it ends behind the last one, or with an error.
    units: mpsc::Receiver<Result<Proven, StoreError>>,
    _task: AbortOnDropHandle<()>,
}

impl Adopted {
    pub(super) async fn start(proofs: Proofs, cancel: &CancellationToken) -> Result<Self, StoreError> {
        let (sender, units) = mpsc::channel(1);
        let (names, cancel) = (proofs.names(None, cancel).await?, cancel.clone());
        let task = tokio::spawn(async move {
            for unit in names.chunk_by(|one, other| one.unit == other.unit) {
                let proven = read(&proofs, unit, &cancel).await;
                let failed = proven.is_err();
                if sender.send(proven).await.is_err() || failed {
                    return;
                }
            }
        });
        Ok(Self { current: Proven::new(), units, _task: AbortOnDropHandle::new(task) })
    }

    /// What was proven of an object. Keys are to be asked for in their order.
    pub(super) async fn of(&mut self, key: &str) -> Result<Vec<StateEntry>, StoreError> {
        loop {
            while let Some(first) = self.current.first_entry() {
                if first.key().as_str() > key {
                    return Ok(Vec::new());
                }
                let is_it = first.key() == key;
                let proven = first.remove();
                if is_it {
                    return Ok(proven);
                }
            }
            match self.units.recv().await {
                Some(unit) => self.current = unit?,
                None => return Ok(Vec::new()),
            }
        }
    }
}

/// What these files tell together.
pub(super) async fn read(
    proofs: &Proofs,
    names: &[ProofName],
    cancel: &CancellationToken,
) -> Result<Proven, StoreError> {
    let mut proven = Proven::new();
    for name in names {
        merge(&mut proven, proofs.read(*name, cancel).await?.unwrap_or_default());
    }
    Ok(proven)
}

pub(super) fn merge(proven: &mut Proven, records: Vec<Record>) {
    for (key, entry) in records {
        proven.entry(key).or_default().push(entry);
    }
}
