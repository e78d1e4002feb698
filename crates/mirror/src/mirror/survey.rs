//! Finds out what each target holds before objects are split over them by their number or size.

use tokio_util::sync::CancellationToken;

use super::rows::{Held, Row, Rows, Stopped};
use super::types::MirrorOptions;
use crate::shard::Survey;
use crate::state::{Book, TargetState};
use crate::{DatasetName, Replica, Sharding, StoreError};

/// Lists everything once, and counts. `None` when what one of the targets holds cannot be found out: nothing is moved on that.
pub(super) async fn survey(
    source: &Replica,
    targets: &[Replica],
    (options, sharding): (&MirrorOptions, &Sharding),
    sorted: &[bool],
    cancel: &CancellationToken,
) -> Result<Option<Survey>, Stopped> {
    let dataset = options.dataset.as_ref().map(|dataset| &dataset.name);
    let Ok(mut states) = remembered(source, targets, dataset, cancel).await else { return Ok(None) };
    let mut rows = Rows::start(source, targets, sorted, cancel);
    let mut survey = Survey::of(targets.len());
    while let Some(Row { key, source, targets }) = rows.next().await? {
        let mut holders = Vec::new();
        for (index, (state, held)) in states.iter_mut().zip(&targets).enumerate() {
            match (state.recall(&key).await, held) {
                (Err(_), _) | (_, None) => return Ok(None),
                (Ok(Some(_)), Some(Held::Object(_))) => holders.push(index),
                _ => {}
            }
        }
        if let Some(object) = source.filter(|object| options.copies(object)) {
            survey.add(sharding.by.measure(object.size), &holders);
        }
    }
    Ok(Some(survey))
}

async fn remembered(
    source: &Replica,
    targets: &[Replica],
    dataset: Option<&DatasetName>,
    cancel: &CancellationToken,
) -> Result<Vec<TargetState>, StoreError> {
    let mut states = Vec::with_capacity(targets.len());
    for target in targets {
        states.push(TargetState::open(Book::of(target, dataset, source.identity()), cancel).await?);
    }
    Ok(states)
}
