//! Which target holds an object of a dataset that is split over several: pure.

mod quotas;
mod rendezvous;

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};
use skyfleet_transform::{Step, Transform};

pub(crate) use quotas::{Quotas, Survey};
pub(crate) use rendezvous::Rendezvous;

/// How the objects of a source are split over the targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharding {
    /// What decides.
    pub by: ShardBy,
    /// One for each target, in their order, and those that cannot be reached now.
    pub shards: Vec<Shard>,
    /// Objects with rows are cut between those into pieces of about so many bytes, which are split instead of them; `None` where all
    /// stay whole.
    pub piece_size: Option<NonZeroU64>,
}

/// What decides where an object goes. However it is decided, a target that is added takes over its share, and nothing else moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShardBy {
    /// The hash of its key: known without looking at any bucket.
    #[default]
    Hash,
    /// That all targets hold as many objects, by their weights.
    Count,
    /// That all targets hold as many bytes, by their weights.
    Size,
}

/// One target's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// What tells it from the others. With another name it is another shard, which holds other objects.
    pub name: String,
    /// How much of the whole it gets, beside the weights of the others.
    pub weight: NonZeroU32,
    /// The target's index; `None` of one that cannot be reached now. What that is to hold stays where it is.
    pub target: Option<usize>,
}

/// Why a source cannot be split so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSharding {
    /// There is not one shard for each target, in their order.
    #[error("the shards are not those of the {targets} targets: each target is one, in their order")]
    Targets {
        /// How many there are.
        targets: usize,
    },
    /// Nothing tells two shards apart.
    #[error("two shards are called {0:?}: give each target a name of its own")]
    SameName(String),
    /// Rows are to be compared that would lie in different pieces.
    #[error(
        "a transform that deduplicates sees all rows of an object, and of one that is cut into pieces only those of a piece: \
         deduplicate by a dataset of its own before, or leave out the size of pieces"
    )]
    Deduplicates,
}

impl Sharding {
    /// Whether every target can be reached.
    pub(crate) fn is_whole(&self) -> bool {
        self.shards.iter().all(|shard| shard.target.is_some())
    }

    /// Whether it can split a source over so many targets, and what comes of it by a transform.
    pub(crate) fn check(&self, targets: usize, transform: Option<&Transform>) -> Result<(), InvalidSharding> {
        let deduplicates =
            |transform: &Transform| transform.spec().steps.iter().any(|step| matches!(step, Step::Deduplicate(_)));
        if self.piece_size.is_some() && transform.is_some_and(deduplicates) {
            return Err(InvalidSharding::Deduplicates);
        }
        if !self.shards.iter().filter_map(|shard| shard.target).eq(0..targets) {
            return Err(InvalidSharding::Targets { targets });
        }
        let mut names = BTreeSet::new();
        match self.shards.iter().find(|shard| !names.insert(&shard.name)) {
            Some(shard) => Err(InvalidSharding::SameName(shard.name.clone())),
            None => Ok(()),
        }
    }
}

impl ShardBy {
    /// What an object of so many bytes counts for.
    pub(crate) fn measure(self, size: u64) -> u64 {
        match self {
            Self::Hash | Self::Count => 1,
            Self::Size => size,
        }
    }
}
