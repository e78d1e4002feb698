//! Joins the source's listing with the targets', key by key.

use std::mem;

use tokio_util::sync::CancellationToken;

use super::changed::Looks;
use super::key_range::KeyRange;
use super::listing::{Broken, Listed, Listing};
use super::naming::Naming;
use crate::{Condition, ObjectFailure, ObjectSummary, Replica, StoreError};

/// What each side has under one key.
pub(super) struct Row {
    pub(super) key: String,
    pub(super) source: Option<Listed>,
    /// `None` for a target whose listing failed: what it holds is not known.
    pub(super) targets: Vec<Option<Held>>,
}

/// What a target holds.
pub(super) enum Held {
    Nothing,
    Object(ObjectSummary),
}

impl Held {
    pub(super) fn object(&self) -> Option<&ObjectSummary> {
        match self {
            Self::Nothing => None,
            Self::Object(object) => Some(object),
        }
    }

    /// That it is what the target holds still.
    pub(super) fn still(&self) -> Condition {
        match self {
            Self::Nothing => Condition::Absent,
            Self::Object(object) => Condition::seen(&object.etag),
        }
    }
}

/// Why there is no further row.
pub(super) enum Stopped {
    Source(StoreError),
    /// This side has to be sorted first: 0 is the source, then come the targets.
    Unordered(usize),
}

/// What comes next.
pub(super) enum Found {
    Row(Row),
    /// An object of the source that could not be looked at.
    Unread(ObjectFailure),
}

/// All that is to be looked at, in the order of keys.
pub(super) enum Rows {
    /// Everything.
    Listings(Box<Listings>),
    /// Some objects.
    Looks(Looks),
}

impl Rows {
    /// `None` at the end: of what a target that failed holds, nothing is known.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, Stopped> {
        match self {
            Self::Listings(listings) => Ok(listings.next().await?.map(Found::Row)),
            Self::Looks(looks) => looks.next().await.map_err(Stopped::Source),
        }
    }

    /// Why targets could not be looked at, in their order.
    pub(super) fn failures(&mut self) -> Vec<Option<StoreError>> {
        match self {
            Self::Listings(listings) => listings.failures(),
            Self::Looks(looks) => looks.failures(),
        }
    }
}

/// Listings that are read side by side.
pub(super) struct Listings {
    source: Listing,
    targets: Vec<Result<Listing, StoreError>>,
}

impl Listings {
    /// Starts all listings, of what the targets have in a range. `sorted` says which sides are sorted first.
    pub(super) fn start(
        source: &Replica,
        targets: &[Replica],
        (naming, range): (&Naming, &KeyRange),
        sorted: &[bool],
        cancel: &CancellationToken,
    ) -> Self {
        let sort = |side: usize| sorted.get(side).copied().unwrap_or_default();
        let as_they_are = Naming::default();
        let targets = targets.iter().enumerate();
        let targets = targets
            .map(|(index, target)| Ok(Listing::start(target, (&as_they_are, range), sort(index + 1), cancel)))
            .collect();
        Self { source: Listing::start(source, (naming, range), sort(0), cancel), targets }
    }

    /// The next key that any side has; `None` when every listing has ended whole or, of a target, failed.
    pub(super) async fn next(&mut self) -> Result<Option<Row>, Stopped> {
        let first = match self.source.peek().await {
            Ok(object) => object.map(|object| object.key.clone()),
            Err(Broken::Failed(error)) => return Err(Stopped::Source(error)),
            Err(Broken::Unordered) => return Err(Stopped::Unordered(0)),
        };
        let mut least = first;
        for (index, target) in self.targets.iter_mut().enumerate() {
            let Ok(listing) = target else { continue };
            match listing.peek().await {
                Ok(Some(object)) if least.as_ref().is_none_or(|least| object.key < *least) => {
                    least = Some(object.key.clone());
                }
                Ok(_) => {}
                Err(Broken::Failed(error)) => *target = Err(error),
                Err(Broken::Unordered) => return Err(Stopped::Unordered(index + 1)),
            }
        }
        let Some(key) = least else { return Ok(None) };
        let held = |target: &mut Result<Listing, StoreError>| {
            let listing = target.as_mut().ok()?;
            Some(listing.take(&key).map_or(Held::Nothing, |listed| Held::Object(listed.object)))
        };
        let targets = self.targets.iter_mut().map(held).collect();
        Ok(Some(Row { source: self.source.take(&key), targets, key }))
    }

    /// Why listings of targets failed, in their order.
    pub(super) fn failures(&mut self) -> Vec<Option<StoreError>> {
        mem::take(&mut self.targets).into_iter().map(Result::err).collect()
    }
}
