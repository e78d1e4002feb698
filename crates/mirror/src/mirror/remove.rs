//! Removes what the source does not have, where that is asked for.

use super::round::Round;
use super::types::{Deletion, MirrorEvent, TargetError};
use crate::removal::remove_all;
use crate::surplus::Removal;
use crate::{ObjectFailure, StoreError};

/// Called only when the listings of the source and of every target that is not given up have ended whole.
pub(super) async fn remove_surplus(round: &mut Round<'_>) {
    let shared = round.shared.clone();
    let is_dry = round.options.dry_run;
    let incomplete = round.report.source_failures > 0;
    for (index, target) in round.targets.iter_mut().enumerate() {
        target.report.surplus = target.surplus.count();
        let Deletion::Surplus(most) = round.options.deletion else { continue };
        // A dataset loses what it had once its manifest without that is there.
        let is_early = round.options.dataset.is_some() && !is_dry && target.report.manifest.is_none();
        if incomplete || is_early || target.is_given_up() || !target.report.left.is_nothing() {
            continue;
        }
        let objects = match std::mem::take(&mut target.surplus).removal(most) {
            Removal::Remove { objects, left } => {
                target.report.error = (left > 0).then_some(TargetError::MoreToRemove(left));
                objects
            }
            Removal::TooMany { surplus, held } => {
                target.report.error = Some(TargetError::TooManyDeletions { surplus, held });
                continue;
            }
        };
        if is_dry {
            target.report.removed += objects.len() as u64;
            for (key, _) in objects {
                (shared.progress)(MirrorEvent::Removed { target: index, key });
            }
            continue;
        }
        let replica = target.replica.clone();
        let (at_once, cancel) = (shared.transfer.limits.objects, &shared.transfer.cancel);
        let told = |key: String, removed: Result<bool, StoreError>| match removed {
            Ok(false) => {}
            Ok(true) => {
                target.report.removed += 1;
                (shared.progress)(MirrorEvent::Removed { target: index, key });
            }
            Err(error) => {
                let failure = ObjectFailure { key, error };
                target.failed(failure.clone());
                (shared.progress)(MirrorEvent::Failed { target: Some(index), failure });
            }
        };
        remove_all(&shared.source, &replica, objects, at_once, cancel, told).await;
    }
}
