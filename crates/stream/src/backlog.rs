//! What was said to have changed and is not mirrored yet.
//!
//! Two kinds of passes work on it. One looks at everything (a listing) and is the truth: what it has seen is mirrored, told or not. The
//! other looks at the keys that were told. Whatever that cannot bring to a target is left to the next listing, so that what is kept stays
//! bounded however long a target fails.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

/// Keys that are kept at most; of more it is only kept that there are some, and a listing finds them.
const MOST_KEYS: usize = 100_000;
/// Bytes of keys that are kept at most.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Changes of one source on their way to its targets.
#[derive(Debug)]
pub struct Backlog {
    /// When each key was first said to have changed, since it was looked at last.
    waiting: BTreeMap<String, Timestamp>,
    /// Bytes of those keys.
    bytes: usize,
    /// The last key that was taken: the next ones follow, so that all have their turn.
    cursor: String,
    /// The keys that are looked at now.
    looked_at: BTreeMap<String, Timestamp>,
    /// The oldest change of which the key is not known.
    unknown: Option<Timestamp>,
    listing: Option<Listing>,
    /// When the last listing began that brought every target up to date.
    listed: Option<Timestamp>,
    targets: Vec<Target>,
}

#[derive(Debug, Clone, Default)]
struct Target {
    /// The oldest change that it does not have and that only a listing will bring.
    behind: Option<Timestamp>,
    /// Objects that were removed since the last listing.
    removed: u64,
    /// What the listing under way found missing, and is copying.
    copying: BTreeMap<String, Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Listing {
    began: Timestamp,
    /// The oldest change that was told before it began: it will see it.
    covers: Option<Timestamp>,
}

/// How a look at some keys went for one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetOutcome {
    /// Keys that it did not get.
    pub failed: BTreeSet<String>,
    /// Nothing is known to have arrived.
    pub gave_up: bool,
    /// Objects that were removed.
    pub removed: u64,
}

/// How a look at some keys went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookOutcome {
    /// It came to its end.
    Ended {
        /// Keys that could not be read from the source.
        unread: BTreeSet<String>,
        /// For each target that was looked at, by its place among all.
        targets: BTreeMap<usize, TargetOutcome>,
    },
    /// It was cut off, or the source could not be asked.
    Failed,
}

impl LookOutcome {
    /// Whether everything arrived that was looked at.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let arrived = |target: &TargetOutcome| target.failed.is_empty() && !target.gave_up;
        match self {
            Self::Ended { unread, targets } => unread.is_empty() && targets.values().all(arrived),
            Self::Failed => false,
        }
    }
}

impl Backlog {
    /// Of a mirror with so many targets, of which nothing is known: a listing is due.
    #[must_use]
    pub fn new(targets: usize, now: Timestamp) -> Self {
        Self {
            waiting: BTreeMap::new(),
            bytes: 0,
            cursor: String::new(),
            looked_at: BTreeMap::new(),
            unknown: Some(now),
            listing: None,
            listed: None,
            targets: vec![Target::default(); targets],
        }
    }

    /// Somebody says that an object may have changed, or, without a key, that something has. A time that is not told, is still to come,
    /// or lies before what the last listing has seen anyway, says nothing: the change counts from now on.
    pub fn tell(&mut self, key: Option<&str>, at: Option<Timestamp>, now: Timestamp) {
        let is_news = |at: &Timestamp| *at <= now && self.listed.is_none_or(|listed| *at >= listed);
        let since = at.filter(is_news).unwrap_or(now);
        let Some(key) = key else { return self.tell_unknown(since) };
        if let Some(known) = self.waiting.get_mut(key) {
            *known = since.min(*known);
        } else if self.waiting.len() < MOST_KEYS && self.bytes + key.len() <= MOST_BYTES {
            self.bytes += key.len();
            self.waiting.insert(key.to_owned(), since);
        } else {
            self.tell_unknown(since);
        }
    }

    fn tell_unknown(&mut self, since: Timestamp) {
        self.unknown = least([self.unknown, Some(since)]);
    }

    /// Whether there is something that only a listing will find.
    #[must_use]
    pub fn needs_listing(&self) -> bool {
        self.unknown.is_some()
    }

    /// Keys that wait to be looked at.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Changes that are known and not mirrored everywhere.
    #[must_use]
    pub fn pending(&self) -> usize {
        let copying = self.targets.iter().map(|target| target.copying.len()).max();
        self.waiting.len() + self.looked_at.len() + copying.unwrap_or_default()
    }

    /// Of each target, whether it gets the keys that are looked at: not where only a listing helps.
    #[must_use]
    pub fn in_step(&self) -> Vec<bool> {
        self.targets.iter().map(|target| target.behind.is_none()).collect()
    }

    /// Of each target, how many objects were removed from it since the last listing.
    #[must_use]
    pub fn removed(&self) -> Vec<u64> {
        self.targets.iter().map(|target| target.removed).collect()
    }

    /// Takes so many keys to look at them, in their order.
    pub fn take(&mut self, most: usize) -> Vec<String> {
        let mut from = std::mem::take(&mut self.cursor);
        if self.waiting.range(from.clone()..).next().is_none() {
            from = String::new();
        }
        let taken: Vec<_> = self.waiting.range(from..).take(most).map(|(key, _)| key.clone()).collect();
        for key in &taken {
            if let Some(since) = self.waiting.remove(key) {
                self.bytes -= key.len();
                self.looked_at.insert(key.clone(), since);
            }
        }
        self.cursor = taken.last().map(|last| format!("{last}\0")).unwrap_or_default();
        taken
    }

    /// The look at the keys that were taken last has ended.
    pub fn end_look(&mut self, outcome: &LookOutcome) {
        let looked_at = std::mem::take(&mut self.looked_at);
        let all = looked_at.values().min().copied();
        for (index, target) in self.targets.iter_mut().enumerate() {
            let missing = match outcome {
                LookOutcome::Failed => all,
                LookOutcome::Ended { unread, targets } => match targets.get(&index) {
                    Some(outcome) => {
                        target.removed += outcome.removed;
                        let failed = outcome.failed.iter().chain(unread).filter_map(|key| looked_at.get(key)).min();
                        if outcome.gave_up { all } else { failed.copied() }
                    }
                    // It is behind anyway.
                    None => all,
                },
            };
            target.behind = least([target.behind, missing]);
        }
    }

    /// A pass over everything begins. What was told by now, it will see.
    pub fn begin_listing(&mut self, now: Timestamp) {
        let told = self.waiting.values().chain(self.looked_at.values()).min().copied();
        self.waiting.clear();
        self.looked_at.clear();
        self.bytes = 0;
        self.listing = Some(Listing { began: now, covers: least([told, self.unknown.take()]) });
        self.targets.iter_mut().for_each(|target| target.copying.clear());
    }

    /// The listing found that a target does not have an object, which was changed then.
    pub fn found_missing(&mut self, target: usize, key: &str, changed: Timestamp) {
        if let Some(target) = self.targets.get_mut(target) {
            target.copying.insert(key.to_owned(), changed);
        }
    }

    /// It has it now.
    pub fn found_copied(&mut self, target: usize, key: &str) {
        if let Some(target) = self.targets.get_mut(target) {
            target.copying.remove(key);
        }
    }

    /// The pass over everything has ended; for each target, whether it has all of it now. Where the source could not be listed, none
    /// has.
    pub fn end_listing(&mut self, complete: &[bool]) {
        let Some(Listing { began, covers }) = self.listing.take() else { return };
        let has = |index: usize| complete.get(index).copied().unwrap_or_default();
        for (index, target) in self.targets.iter_mut().enumerate() {
            let copying = std::mem::take(&mut target.copying).into_values().min();
            if has(index) {
                (target.behind, target.removed) = (None, 0);
            } else {
                // Since when is not known better where nothing was told: from when on it was looked for.
                target.behind = least([target.behind, covers, copying]).or(Some(began));
            }
        }
        if (0..self.targets.len()).all(has) {
            self.listed = Some(began);
        }
    }

    /// How old the oldest change is that this target is known not to have.
    #[must_use]
    pub fn lag(&self, target: usize, now: Timestamp) -> Option<SignedDuration> {
        let Target { behind, copying, .. } = self.targets.get(target)?;
        let told = self.waiting.values().chain(self.looked_at.values()).chain(copying.values()).min().copied();
        let covers = self.listing.and_then(|listing| listing.covers);
        let oldest = least([told, *behind, self.unknown, covers])?;
        Some(now.duration_since(oldest).max(SignedDuration::ZERO))
    }

    /// The lag of the target that is furthest behind.
    #[must_use]
    pub fn longest_lag(&self, now: Timestamp) -> Option<SignedDuration> {
        (0..self.targets.len()).filter_map(|target| self.lag(target, now)).max()
    }
}

fn least<const N: usize>(times: [Option<Timestamp>; N]) -> Option<Timestamp> {
    times.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    /// Listed once, at second 100.
    fn listed(targets: usize) -> Backlog {
        let mut backlog = Backlog::new(targets, at(100));
        assert!(backlog.needs_listing());
        backlog.begin_listing(at(100));
        backlog.end_listing(&vec![true; targets]);
        assert!(!backlog.needs_listing() && backlog.longest_lag(at(1000)).is_none());
        backlog
    }

    fn lag(backlog: &Backlog, now: i64) -> Vec<Option<i64>> {
        (0..backlog.targets.len()).map(|target| backlog.lag(target, at(now)).map(|lag| lag.as_secs())).collect()
    }

    fn ended(targets: &[(usize, &[&str])]) -> LookOutcome {
        let outcome = |failed: &[&str]| TargetOutcome {
            failed: failed.iter().map(|key| (*key).to_owned()).collect(),
            ..TargetOutcome::default()
        };
        let targets = targets.iter().map(|(index, failed)| (*index, outcome(failed))).collect();
        LookOutcome::Ended { unread: BTreeSet::new(), targets }
    }

    #[test]
    fn lag_is_the_age_of_the_oldest_change_that_is_not_mirrored() {
        let mut backlog = listed(2);
        backlog.tell(Some("b"), Some(at(130)), at(140));
        backlog.tell(Some("a"), Some(at(120)), at(141));
        backlog.tell(Some("b"), Some(at(125)), at(142));
        assert_eq!(lag(&backlog, 150), [Some(30), Some(30)]);
        assert_eq!(backlog.take(10), ["a", "b"]);
        backlog.tell(Some("c"), Some(at(145)), at(145));
        assert_eq!((lag(&backlog, 150), backlog.pending()), (vec![Some(30), Some(30)], 3));
        // The second target lacks b: only a listing brings it, and it is not asked for more meanwhile.
        backlog.end_look(&ended(&[(0, &[]), (1, &["b"])]));
        assert_eq!((lag(&backlog, 150), backlog.in_step()), (vec![Some(5), Some(25)], vec![true, false]));
        assert_eq!(backlog.take(10), ["c"]);
        backlog.end_look(&ended(&[(0, &[])]));
        assert_eq!(lag(&backlog, 150), [None, Some(25)]);
        backlog.begin_listing(at(160));
        assert_eq!(lag(&backlog, 160), [None, Some(35)]);
        backlog.end_listing(&[true, true]);
        assert_eq!((lag(&backlog, 170), backlog.in_step()), (vec![None, None], vec![true, true]));
    }

    #[test]
    fn times_that_say_nothing_count_from_now_on() {
        let mut backlog = listed(1);
        for told in [None, Some(at(200)), Some(at(99))] {
            backlog.tell(Some("a"), told, at(150));
            assert_eq!(lag(&backlog, 151), [Some(1)], "{told:?}");
            let _all = backlog.take(1);
            backlog.end_look(&ended(&[(0, &[])]));
        }
    }

    #[test]
    fn a_listing_brings_what_was_told_before_it_and_what_nobody_told() {
        let mut backlog = listed(1);
        backlog.tell(Some("a"), None, at(110));
        backlog.tell(None, None, at(120));
        assert!(backlog.needs_listing());
        backlog.begin_listing(at(130));
        assert_eq!((backlog.waiting(), lag(&backlog, 130)), (0, vec![Some(20)]), "it is not there yet");
        backlog.tell(Some("b"), None, at(140));
        backlog.found_missing(0, "untold", at(105));
        assert_eq!(lag(&backlog, 150), [Some(45)]);
        backlog.found_copied(0, "untold");
        assert_eq!(lag(&backlog, 150), [Some(40)]);
        backlog.end_listing(&[true]);
        assert_eq!(
            (backlog.waiting(), lag(&backlog, 150)),
            (1, vec![Some(10)]),
            "what was told meanwhile is looked at"
        );
    }

    #[test]
    fn a_listing_that_fails_is_as_if_it_had_not_been() {
        let mut backlog = listed(2);
        backlog.tell(Some("a"), None, at(110));
        backlog.begin_listing(at(130));
        backlog.end_listing(&[]);
        assert_eq!(lag(&backlog, 150), [Some(40), Some(40)]);
        let mut fresh = Backlog::new(1, at(100));
        fresh.begin_listing(at(110));
        fresh.end_listing(&[false]);
        assert_eq!(lag(&fresh, 150), [Some(50)], "nothing was ever brought there");
        let mut quiet = listed(2);
        quiet.begin_listing(at(200));
        quiet.end_listing(&[true, false]);
        assert_eq!(lag(&quiet, 260), [None, Some(60)], "nothing is known of it since");
    }

    #[test]
    fn a_look_that_was_cut_off_is_left_to_a_listing() {
        let mut backlog = listed(1);
        backlog.tell(Some("a"), None, at(110));
        let _all = backlog.take(1);
        backlog.end_look(&LookOutcome::Failed);
        assert_eq!((lag(&backlog, 120), backlog.in_step()), (vec![Some(10)], vec![false]));
    }

    #[test]
    fn keys_have_their_turn_whatever_their_names() {
        let mut backlog = listed(1);
        for key in ["a", "b", "c"] {
            backlog.tell(Some(key), None, at(110));
        }
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.extend(backlog.take(1));
            backlog.end_look(&ended(&[(0, &[])]));
            // The first one changes all the time.
            backlog.tell(Some("a"), None, at(111));
        }
        assert_eq!(turns, ["a", "b", "c", "a"]);
        assert_eq!(backlog.bytes, backlog.waiting.keys().map(String::len).sum::<usize>());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut backlog = listed(1);
        for number in 0..MOST_KEYS + 5 {
            backlog.tell(Some(&number.to_string()), Some(at(110)), at(120));
        }
        assert_eq!((backlog.waiting(), backlog.needs_listing()), (MOST_KEYS, true));
        let mut long = listed(1);
        for number in 0..70 {
            long.tell(Some(&format!("{number}{}", "x".repeat(1 << 19))), None, at(120));
        }
        assert!(long.bytes <= MOST_BYTES && long.needs_listing());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Change { key: u8, told: u8 },
        Look { most: usize, fails: bool },
        List { whole: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..12u8, 0..4u8).prop_map(|(key, told)| Step::Change { key, told }),
            3 => (1..5usize, prop::bool::weighted(0.2)).prop_map(|(most, fails)| Step::Look { most, fails }),
            1 => prop::bool::weighted(0.7).prop_map(|whole| Step::List { whole }),
        ]
    }

    proptest! {
        /// Beside a world in which it is known what the target really has.
        #[test]
        fn nothing_that_was_told_is_lost_and_lag_is_never_too_small(steps in prop::collection::vec(step(), 1..80)) {
            let mut backlog = listed(1);
            // What was changed when, and not mirrored; and of that, what was told.
            let (mut missing, mut told) = (BTreeMap::new(), BTreeMap::new());
            let mut now = 100;
            for step in steps {
                now += 1;
                match step {
                    Step::Change { key, told: times } => {
                        let key = key.to_string();
                        missing.entry(key.clone()).or_insert(now);
                        for _ in 0..times {
                            told.entry(key.clone()).or_insert(now);
                            backlog.tell(Some(&key), Some(at(now)), at(now));
                        }
                    }
                    Step::Look { most, fails } if backlog.in_step() == [true] => {
                        let taken = backlog.take(most);
                        if fails {
                            backlog.end_look(&LookOutcome::Failed);
                        } else {
                            for key in taken {
                                missing.remove(&key);
                                told.remove(&key);
                            }
                            backlog.end_look(&ended(&[(0, &[])]));
                        }
                    }
                    Step::Look { .. } => {}
                    Step::List { whole } => {
                        backlog.begin_listing(at(now));
                        if whole {
                            missing.clear();
                            told.clear();
                        }
                        backlog.end_listing(&[whole]);
                    }
                }
                let known = told.values().min().map(|since| now - since);
                let said = backlog.lag(0, at(now)).map(|lag| lag.as_secs());
                prop_assert!(said >= known, "{known:?} {said:?}");
                if said.is_some() {
                    prop_assert!(!told.is_empty() || backlog.in_step() == [false] || backlog.pending() > 0);
                }
            }
            // In the end a listing, and all is there.
            backlog.begin_listing(at(now));
            backlog.end_listing(&[true]);
            while !backlog.take(3).is_empty() {
                backlog.end_look(&ended(&[(0, &[])]));
            }
            prop_assert_eq!(backlog.lag(0, at(now + 1)), None);
        }
    }
}
