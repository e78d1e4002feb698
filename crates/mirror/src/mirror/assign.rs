//! Which targets are to hold an object.

use crate::shard::{Quotas, Rendezvous, Survey};
use crate::{ShardBy, Sharding};

/// What decides in the course of a pass.
pub(super) enum Assignment {
    /// Every target holds every object.
    All,
    /// Of each shard, its target, where that can be reached.
    ByHash(Rendezvous, Vec<Option<usize>>),
    ByQuota {
        by: ShardBy,
        quotas: Quotas,
    },
    /// What nobody holds goes nowhere, and nothing moves: what one of the targets holds could not be found out.
    AsHeld,
}

/// The targets of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assigned {
    All,
    To(usize),
    /// Not to be told now. It stays where it is.
    Unknown,
}

impl Assignment {
    /// By what each target holds, where that matters and is known.
    pub(super) fn new(sharding: Option<&Sharding>, survey: Option<&Survey>) -> Self {
        match sharding {
            None => Self::All,
            Some(Sharding { by: ShardBy::Hash, shards, .. }) => {
                Self::ByHash(Rendezvous::new(shards), shards.iter().map(|shard| shard.target).collect())
            }
            Some(sharding) => survey.map_or(Self::AsHeld, |survey| {
                let quotas = Quotas::new(sharding, survey);
                Self::ByQuota { by: sharding.by, quotas }
            }),
        }
    }

    /// To be asked in the order of keys. `holders` are the targets that hold the object by an earlier pass, and whether those are
    /// known to be all.
    pub(super) fn of(&mut self, key: &str, size: u64, holders: (&[usize], bool)) -> Assigned {
        let (holders, all_known) = holders;
        let decided = match self {
            Self::All => return Assigned::All,
            Self::ByHash(rendezvous, targets) => targets.get(rendezvous.shard_of(key)).copied().flatten(),
            Self::ByQuota { by, quotas } if all_known => Some(quotas.assign(by.measure(size), holders)),
            Self::ByQuota { .. } | Self::AsHeld => None,
        };
        decided.or(holders.first().copied()).map_or(Assigned::Unknown, Assigned::To)
    }
}

impl Assigned {
    pub(super) fn is_for(self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::To(target) => target == index,
            Self::Unknown => false,
        }
    }
}
