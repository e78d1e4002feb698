//! Reads the parts of an object, and hands each to all targets that want it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Transfer;
use super::live::{Broken, End, Ending, Pieces};
use super::object_reader::Pinned;
use super::part::Cut;
use super::reader::{ChunkReader, KEPT_AS_IT_IS, Parts};
use super::waits::{Busy, Course};
use crate::ObjectStore;
use crate::content::{Digesting, Digests};

/// A part on its way to one target. Its memory is given back when the last target is done with it.
pub(crate) struct Part {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) pieces: Pieces,
    pub(crate) room: Arc<Option<OwnedSemaphorePermit>>,
    /// For one that is sent while it is read.
    pub(crate) live: Option<LiveSource>,
    /// As long as the target has to do with it.
    pub(crate) busy: Busy,
}

/// Of what version a part is, where it begins there and how large it is, and whether its checksum is the store's to tell.
#[derive(Clone)]
pub(crate) struct LiveSource {
    pub(crate) pinned: Pinned,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) is_told: bool,
}

/// The way to one destination.
pub(crate) struct Lane {
    /// Of the destination, among all.
    pub(crate) place: usize,
    pub(crate) parts: Sender<Part>,
    /// Parts from the first on that it has already.
    pub(crate) has: usize,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Whether parts may be sent while they are read, as far as this upload is concerned.
    pub(crate) may_be_live: bool,
    /// Whether one had to be read again.
    pub(crate) had_to_read_again: Arc<AtomicBool>,
}

impl Lane {
    async fn takes_live_parts(&self) -> bool {
        self.may_be_live && !self.had_to_read_again.load(Ordering::Relaxed) && self.store.takes_live_parts().await
    }
}

async fn all_take_live_parts(lanes: &[&Lane]) -> bool {
    !join_all(lanes.iter().map(|lane| lane.takes_live_parts())).await.contains(&false)
}

/// Pieces of a part that is sent while it is read, which wait to be sent.
const LIVE_PIECES: usize = 2;

/// Bytes of such a part that are somewhere between the source's connection and the targets': of pieces of up to 408 KiB those that
/// wait, one in the hand and what a connection buffers.
const ON_THE_WAY: u64 = 2 * 1024 * 1024;

/// Pieces of a part at most: of two in a row, one is of so many bytes.
fn most_pieces(size: u64) -> usize {
    usize::try_from(2 * size.div_ceil(KEPT_AS_IT_IS as u64) + 1).unwrap_or(usize::MAX)
}

/// All that was read, with what earlier passes had.
pub(crate) struct Read {
    pub(crate) size: u64,
    pub(crate) digests: Digests,
}

/// Reads all parts after the first `done`, and hands each to every target that still takes them: what they came to, or nothing
/// when no target takes any more.
pub(crate) async fn read_parts<R: ChunkReader>(
    mut parts: Parts<'_, R>,
    (cut, done): (&Cut, usize),
    lanes: &[Lane],
    mut digesting: Digesting,
    (transfer, course): (&Transfer, &Arc<Course>),
) -> Result<Option<Read>, R::Error> {
    let pinned = parts.pinned().filter(|_| cut.least_parts() > 1 && !cut.is_open() && !transfer.keeps_parts);
    let mut offset: u64 = (1..=done).filter_map(|number| cut.part(number)).sum();
    for (number, size) in (done + 1..).map_while(|number| Some((number, cut.part(number)?))) {
        let is_told = matches!(digesting, Digesting::Told(_));
        let again = pinned.clone().map(|pinned| LiveSource { pinned, offset, size, is_told });
        let room = parts.room.take();
        let Some(Begun { ways, end }) = begin_part(lanes, (number, size), again, room, (transfer, course)).await else {
            return Ok(None);
        };
        offset += pass_on(&mut parts, size, &mut digesting, ways, course).await?;
        let (digests, whole) = digesting.end_part();
        let whole = whole.map(Arc::new);
        let is_full = cut.part(number + 1).is_none();
        let is_last = if cut.is_open() { parts.has_ended().await? } else { is_full };
        let of_all = is_last.then(|| digesting.finish());
        if let Some(of_all) = &of_all {
            // Nobody may complete an object before its source has confirmed all of it.
            parts.end().await?;
            parts.confirm(of_all)?;
        }
        let ending = match *cut {
            Cut::Open { part, most } if is_full && !is_last => Err(Broken::TooLarge { most, part }),
            _ => Ok(End { digests, whole, is_last }),
        };
        // Nobody listens where all have failed.
        let _lost = end.send(Some(ending));
        if let Some(digests) = of_all {
            return Ok(Some(Read { size: offset, digests }));
        }
    }
    // An object has at least one part, and a start never has all of them: it is too large, and no target takes it.
    Ok(None)
}

/// A part that was handed to the targets that want it: the ways of its pieces, and of what it came to.
struct Begun {
    ways: Vec<(usize, Sender<Bytes>)>,
    end: watch::Sender<Ending>,
}

/// Hands a part that is to be read to every target that does not have it. It is sent while it is read where all of them can take
/// that and it can be read `again`. What was read ahead has its room. `None` when no target takes any more.
async fn begin_part(
    lanes: &[Lane],
    (number, size): (usize, u64),
    again: Option<LiveSource>,
    room: Option<OwnedSemaphorePermit>,
    (transfer, course): (&Transfer, &Arc<Course>),
) -> Option<Begun> {
    let wanting: Vec<_> = lanes.iter().filter(|lane| number > lane.has && !lane.parts.is_closed()).collect();
    let live = match again {
        Some(again) if all_take_live_parts(&wanting).await => Some(again),
        _ => None,
    };
    let (held, most) = if live.is_some() { (size.min(ON_THE_WAY), LIVE_PIECES) } else { (size, most_pieces(size)) };
    course.is_held();
    let room = match room {
        None => transfer.room().take(held).await,
        taken => taken,
    };
    let room = Arc::new(room);
    let (end, ended) = watch::channel(None);
    let begin = wanting.iter().map(|lane| {
        let (piece, pieces) = mpsc::channel(most);
        let pieces = Pieces { pieces, end: ended.clone() };
        let (room, live, busy) = (room.clone(), live.clone(), course.part(lane.place));
        let part = Part { number, pieces, room, live, busy };
        async move { lane.parts.send(part).await.ok().map(|()| (lane.place, piece)) }
    });
    let ways = join_all(begin).await.into_iter().flatten().collect();
    course.is_reading();
    let is_taken = lanes.iter().any(|lane| !lane.parts.is_closed());
    is_taken.then_some(Begun { ways, end })
}

/// Reads a part and hands its pieces on; gives its bytes. The slowest target is waited for.
async fn pass_on<R: ChunkReader>(
    parts: &mut Parts<'_, R>,
    size: u64,
    digesting: &mut Digesting,
    ways: Vec<(usize, Sender<Bytes>)>,
    course: &Course,
) -> Result<u64, R::Error> {
    let mut left = size;
    while left > 0 {
        let piece = parts.next(left).await?;
        if piece.is_empty() {
            break;
        }
        left -= piece.len() as u64;
        digesting.update(&piece);
        // Who no longer takes it has failed, or reads the part again. Most have room for it, and there is nobody to wait for.
        let (mut full, mut places) = (Vec::new(), Vec::new());
        for (place, way) in &ways {
            if let Err(TrySendError::Full(piece)) = way.try_send(piece.clone()) {
                full.push(way.send(piece));
                places.push(*place);
            }
        }
        if !full.is_empty() {
            course.is_full(places);
            join_all(full).await;
            course.is_reading();
        }
    }
    Ok(size - left)
}
