//! Finds out what each target holds before objects are split over them by their number or size.

use tokio_util::sync::CancellationToken;

use super::rows::{Held, Listings, Row, Stopped};
use super::types::MirrorOptions;
use crate::shard::Survey;
use crate::state::{Book, Fit, TargetState};
use crate::{KeyRange, Replica, Sharding, StoreError};

/// What came of looking.
pub(super) enum Surveyed {
    Known(Survey),
    /// What this target holds cannot be found out: nothing is moved on that.
    Unknown {
        target: usize,
        error: StoreError,
    },
}

/// Lists everything once, and counts.
pub(super) async fn survey(
    source: &Replica,
    targets: &[Replica],
    (options, sharding): (&MirrorOptions, &Sharding),
    sorted: &[bool],
    cancel: &CancellationToken,
) -> Result<Surveyed, Stopped> {
    let dataset = options.dataset.as_ref().map(|dataset| &dataset.name);
    let mut states = Vec::with_capacity(targets.len());
    for (target, replica) in targets.iter().enumerate() {
        let adopts = options.adopted_proofs(replica, source);
        match TargetState::open(Book::of(replica, dataset, source.identity()), (None, adopts), cancel).await {
            Ok(state) => states.push(state),
            Err(error) => return Ok(Surveyed::Unknown { target, error }),
        }
    }
    let mut rows = Listings::start(source, targets, (&options.naming(), &KeyRange::default()), sorted, cancel);
    let mut survey = Survey::of(targets.len());
    while let Some(Row { key, source, targets: held }) = rows.next().await? {
        let mut holders = Vec::new();
        for (target, (state, held)) in states.iter_mut().zip(&held).enumerate() {
            match state.recall(&key, &|_| Fit::Stale).await {
                Err(error) => return Ok(Surveyed::Unknown { target, error }),
                Ok(Some(_)) if matches!(held, Some(Held::Object(_))) => holders.push(target),
                Ok(_) => {}
            }
        }
        if let Some(listed) = source.filter(|listed| options.copies(listed)) {
            survey.add(sharding.by.measure(listed.object.size), &holders);
        }
    }
    let failed = rows.failures().into_iter().enumerate().find_map(|(target, error)| Some((target, error?)));
    Ok(failed.map_or(Surveyed::Known(survey), |(target, error)| Surveyed::Unknown { target, error }))
}
