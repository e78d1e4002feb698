//! Which versions of a dataset stay: pure.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ManifestDigest;

/// Which versions of a dataset stay at its targets. The one that was published last always does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest stay at most, the one published last included.
    pub newest: usize,
    /// One that was replaced by the next one longer ago does not stay.
    pub replaced_within: Option<SignedDuration>,
    /// These stay in any case.
    pub pinned: BTreeSet<ManifestDigest>,
    /// What time it is, where that is not for the clock to say.
    pub now: Option<Timestamp>,
}

impl Retention {
    /// So many stay at most in any case: what tells of them is held in memory.
    pub const MOST: usize = 100;

    /// No older version stays.
    #[must_use]
    pub fn only_the_newest() -> Self {
        Self { newest: 1, replaced_within: None, pinned: BTreeSet::new(), now: None }
    }

    /// Of the versions, the newest first, those that stay.
    pub(super) fn stay(&self, history: &[Version], now: Timestamp) -> Vec<Version> {
        let is_recent = |replaced: Option<Timestamp>| match (self.replaced_within, replaced) {
            (Some(within), Some(replaced)) => now.duration_since(replaced) <= within,
            // Not known to be old.
            _ => true,
        };
        let stays = |(place, version): &(usize, &Version)| {
            let replaced = place.checked_sub(1).and_then(|next| history[next].published);
            *place == 0
                || self.pinned.contains(&version.digest)
                || (*place < self.newest.min(Self::MOST) && is_recent(replaced))
        };
        history.iter().enumerate().filter(stays).map(|(_, version)| *version).collect()
    }
}

/// A version of a dataset that a target holds: what its manifest names can be loaded there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The digest of its manifest.
    pub digest: ManifestDigest,
    /// When it became the newest there; `None` of one that was published when no versions were kept yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Timestamp>,
}

/// The versions of a dataset whose manifests are `there` (with the times at which those were written), the newest first. What is
/// `remembered` of them tells their order; where that is lost, the times do.
pub(super) fn history(
    newest: ManifestDigest,
    remembered: Option<&[Version]>,
    there: &HashMap<ManifestDigest, Timestamp>,
    now: Timestamp,
) -> Vec<Version> {
    let older = remembered.map_or_else(|| by_time(there), <[_]>::to_vec);
    let is_new = remembered.and_then(<[_]>::first).is_none_or(|last| last.digest != newest);
    let known = older.iter().find(|version| version.digest == newest).and_then(|version| version.published);
    let written = |digest: &ManifestDigest| there.get(digest).copied();
    let published = if is_new { Some(now) } else { known.or_else(|| written(&newest)).or(Some(now)) };
    let older = older.into_iter().filter(|version| version.digest != newest);
    let older = older.filter_map(|Version { digest, published }| {
        let written = written(&digest)?;
        Some(Version { digest, published: published.or(Some(written)) })
    });
    std::iter::once(Version { digest: newest, published }).chain(older).collect()
}

fn by_time(there: &HashMap<ManifestDigest, Timestamp>) -> Vec<Version> {
    let mut all: Vec<_> =
        there.iter().map(|(digest, written)| Version { digest: *digest, published: Some(*written) }).collect();
    all.sort_unstable_by_key(|version| std::cmp::Reverse((version.published, version.digest)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sha256;
    use proptest::prelude::*;

    fn digest(number: u8) -> ManifestDigest {
        ManifestDigest(Sha256::of(&[number]))
    }

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn version(number: u8, hour: i64) -> Version {
        Version { digest: digest(number), published: Some(at(hour)) }
    }

    fn retention(newest: usize, hours: Option<i64>) -> Retention {
        Retention { newest, replaced_within: hours.map(SignedDuration::from_hours), ..Retention::only_the_newest() }
    }

    #[test]
    fn versions_stay_by_number_and_by_the_time_since_they_were_replaced() {
        let history = [version(4, 40), version(3, 30), version(2, 20), version(1, 10)];
        for (retention, now, stay) in [
            (retention(1, None), 40, 1),
            (retention(3, None), 1000, 3),
            (retention(9, None), 1000, 4),
            // The third was replaced at 40, the second at 30, the first at 20.
            (retention(9, Some(10)), 40, 3),
            (retention(9, Some(10)), 50, 2),
            (retention(9, Some(10)), 51, 1),
            (retention(2, Some(100)), 40, 2),
            (retention(9, Some(0)), 40, 2),
        ] {
            assert_eq!(retention.stay(&history, at(now)), history[..stay], "{retention:?} {now}");
        }
        let pinned = Retention { pinned: [digest(1)].into(), ..retention(2, Some(1)) };
        assert_eq!(pinned.stay(&history, at(1000)), [history[0], history[3]]);
    }

    #[test]
    fn what_is_remembered_tells_the_order_and_else_the_times() {
        let there: HashMap<_, _> = [(digest(1), at(1)), (digest(2), at(2)), (digest(3), at(2))].into();
        let remembered = [version(2, 5), Version { digest: digest(1), published: None }, version(9, 0)];
        let found = history(digest(3), Some(&remembered), &there, at(7));
        assert_eq!(found, [version(3, 7), version(2, 5), version(1, 1)], "one whose manifest is gone is none");
        // Back to an older one: it is the newest again, and not there twice.
        assert_eq!(history(digest(1), Some(&remembered), &there, at(7)), [version(1, 7), version(2, 5)]);
        // Nothing new.
        assert_eq!(history(digest(2), Some(&remembered), &there, at(7)), [version(2, 5), version(1, 1)]);
        let found = history(digest(1), None, &there, at(7));
        assert_eq!((found[0], found.len(), found[1].published), (version(1, 7), 3, Some(at(2))));
        assert_eq!(history(digest(1), Some(&[]), &there, at(7)), [version(1, 7)], "those were never kept whole");
    }

    proptest! {
        #[test]
        fn the_newest_stays_and_time_and_fewer_only_take_away(
            hours in prop::collection::vec(0..50_i64, 1..120),
            newest in 1..120_usize,
            within in prop::option::of(0..60_i64),
            pin in 0..120_usize,
            later in 0..100_i64,
        ) {
            let mut hours = hours;
            hours.sort_unstable();
            let mut history: Vec<_> = (0..).zip(&hours).map(|(number, hour)| version(number, *hour)).collect();
            history.reverse();
            let now = hours.last().copied().unwrap_or_default();
            let pinned = history.get(pin).map(|version| version.digest);
            let retention = Retention { pinned: pinned.into_iter().collect(), ..retention(newest, within) };
            let stay = retention.stay(&history, at(now));
            prop_assert_eq!(stay.first(), history.first());
            prop_assert!(pinned.is_none_or(|pinned| stay.iter().any(|version| version.digest == pinned)));
            prop_assert!(stay.len() <= newest.min(Retention::MOST) + retention.pinned.len());
            // In the order they were in, and deciding once more changes nothing.
            prop_assert_eq!(&retention.stay(&stay, at(now)), &stay);
            let after = retention.stay(&history, at(now + later));
            prop_assert!(after.iter().all(|version| stay.contains(version)));
            let fewer = Retention { newest: newest.div_ceil(2), ..retention.clone() }.stay(&history, at(now));
            prop_assert!(fewer.iter().all(|version| stay.contains(version)));
            // One that does not stay is beyond the number, or was replaced too long ago.
            for (place, version) in history.iter().enumerate().skip(1) {
                let replaced = history[place - 1].published.map(|replaced| at(now).duration_since(replaced));
                let is_old = within.zip(replaced).is_some_and(|(within, ago)| ago > SignedDuration::from_hours(within));
                let is_beyond = place >= newest.min(Retention::MOST);
                let is_pinned = Some(version.digest) == pinned;
                prop_assert_eq!(stay.contains(version), is_pinned || !is_old && !is_beyond);
            }
        }
    }
}
