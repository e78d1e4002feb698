//! Brings one object from its source to all targets that need it.

mod attempt;
mod copy;
mod destination;
pub(crate) mod egress;
mod fan_out;
pub(crate) mod journal;
mod lane;
mod ledger;
pub(crate) mod live;
pub(crate) mod made;
pub(crate) mod object_reader;
pub(crate) mod parallel_reader;
pub(crate) mod part;
pub(crate) mod put_away;
pub(crate) mod reader;
pub(crate) mod room;
mod server_copy;
pub(crate) mod source_limits;
pub(crate) mod source_tags;
pub(crate) mod stop;
mod upload_parts;
pub(crate) mod waits;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::pace::Pace;
use crate::{SourceLimits, TransferLimits};
pub(crate) use copy::{Copy, SourceRead, copy_object};
pub(crate) use destination::Destination;
pub(crate) use fan_out::{Content, Proven, Start, fan_out};
pub(crate) use part::Size;
use room::Room;
pub(crate) use stop::Stop;
use waits::Waits;

/// How a copy is proven to be one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verification {
    /// By the checksum that the target's store checked the content against, or by reading back where it tells none.
    #[default]
    Checksum,
    /// By reading every copy back.
    ReadBack,
}

/// What all copies of a pass share.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) limits: TransferLimits,
    pub(crate) verification: Verification,
    /// Whether the SHA-256 of every object is wanted.
    pub(crate) sha256: bool,
    pub(crate) cancel: CancellationToken,
    /// Of what is read from the source.
    pub(crate) pace: Option<Arc<Pace>>,
    /// Whether no part may be sent before all of it was read.
    pub(crate) keeps_parts: bool,
    /// Told for which targets others wait, where that matters.
    pub(crate) waits: Option<Arc<Waits>>,
    /// For parts on their way to targets.
    room: Room,
    /// For what is read ahead of them. Apart, or an object could wait for room for a part that its own next bytes take.
    ahead: Room,
    large: Semaphore,
}

/// What is set aside of what a pass may use: a quarter.
const SHARE: usize = 4;

/// What a source that gives its bytes in bursts may make up for.
const SLACK: Duration = Duration::from_millis(100);

impl Transfer {
    pub(crate) fn new(limits: TransferLimits, verification: Verification, cancel: CancellationToken) -> Self {
        let ahead = limits.memory / 3;
        let room = Room::new(limits.memory - ahead);
        let large = Semaphore::new(limits.large_objects.max(1));
        Self {
            limits,
            verification,
            sha256: false,
            cancel,
            pace: None,
            keeps_parts: false,
            waits: None,
            room,
            ahead: Room::new(ahead),
            large,
        }
    }

    /// For those who name contents by their SHA-256.
    pub(crate) fn with_sha256(self) -> Self {
        Self { sha256: true, ..self }
    }

    /// With what may leave the source. Where that is little, parts are kept until they were taken: none is read twice for that it
    /// costs, and no store waits in the middle of one for bytes that are held back.
    pub(crate) fn within(self, limits: SourceLimits) -> Self {
        let pace = limits.bandwidth.map(|rate| Arc::new(Pace::new(rate, SLACK)));
        Self { keeps_parts: pace.is_some() || limits.egress.is_some(), pace, ..self }
    }

    /// Sets aside a share of all that it may use, for copies that are stopped by `cancel`.
    pub(crate) fn split(self, cancel: CancellationToken) -> (Self, Self) {
        let TransferLimits { objects, large_objects, memory, .. } = self.limits;
        let share = TransferLimits {
            objects: (objects / SHARE).max(1),
            large_objects: (large_objects / SHARE).max(1),
            memory: memory / SHARE as u64,
            ..self.limits
        };
        let rest = TransferLimits { memory: memory - share.memory, ..self.limits };
        let Self { verification, sha256, pace, keeps_parts, .. } = self;
        let of = |limits, cancel| Self {
            sha256,
            pace: pace.clone(),
            keeps_parts,
            ..Self::new(limits, verification, cancel)
        };
        (of(rest, self.cancel), of(share, cancel))
    }

    /// Waits until an object of this size may begin; held until it has ended.
    pub(crate) async fn turn(&self, size: u64) -> Option<SemaphorePermit<'_>> {
        if self.limits.is_large(size) { self.large.acquire().await.ok() } else { None }
    }

    pub(crate) fn room(&self) -> Room {
        self.room.clone()
    }

    /// Room for what is read ahead; none where bytes are held back or paid for: those that are read in vain would be, too.
    pub(crate) fn room_ahead(&self) -> Option<Room> {
        (!self.keeps_parts).then(|| self.ahead.clone())
    }
}
