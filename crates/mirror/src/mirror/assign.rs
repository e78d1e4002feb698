//! Which targets are to hold an object.

use crate::shard::{Quotas, Rendezvous, Survey};
use crate::{ShardBy, Sharding};

/// What decides in the course of a pass.
pub(super) enum Assignment {
    /// Every target holds every object.
    All,
    ByHash(Rendezvous),
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
            Some(Sharding { by: ShardBy::Hash, shards }) => Self::ByHash(Rendezvous::new(shards)),
            Some(sharding) => survey.map_or(Self::AsHeld, |survey| {
                let quotas = Quotas::new(sharding, survey);
                Self::ByQuota { by: sharding.by, quotas }
            }),
        }
    }

    /// To be asked in the order of keys. `holders` are the targets that hold the object by an earlier pass, and whether those are
    /// known to be all.
    pub(super) fn of(&mut self, key: &str, size: u64, holders: (&[usize], bool)) -> Assigned {
        match (self, holders) {
            (Self::All, _) => Assigned::All,
            (Self::ByHash(rendezvous), _) => Assigned::To(rendezvous.shard_of(key)),
            (Self::ByQuota { by, quotas }, (holders, true)) => Assigned::To(quotas.assign(by.measure(size), holders)),
            (Self::ByQuota { .. } | Self::AsHeld, (holders, _)) => {
                holders.first().map_or(Assigned::Unknown, |holder| Assigned::To(*holder))
            }
        }
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
