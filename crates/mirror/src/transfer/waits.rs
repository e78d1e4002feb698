//! For whom the copying of objects waits while others could go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Destination;

/// How long each target of a pass has held up the others.
#[derive(Debug)]
pub(crate) struct Waits {
    began: Instant,
    tally: Mutex<Tally>,
}

impl Waits {
    pub(crate) fn new(targets: usize) -> Self {
        Self { began: Instant::now(), tally: Mutex::new(Tally::new(targets)) }
    }

    /// The targets that have held up the others for longer.
    pub(crate) fn slow(&self, patience: Duration) -> Vec<usize> {
        self.change(|tally| tally.slow(patience))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Tally) -> T) -> T {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.advance(self.began.elapsed());
        change(&mut tally)
    }
}

/// Adds up for whom is waited: pure.
///
/// A target holds up the others as long as more than half of the copies that they share wait for it. That time counts for it, and all
/// other time against it, so whoever is slow for a moment, or less than half of the time, stays far from any patience.
#[derive(Debug)]
struct Tally {
    now: Duration,
    /// Copies under way that go to several targets.
    copies: usize,
    /// How many of them wait for each target.
    waiting: Vec<usize>,
    held_up: Vec<Duration>,
}

impl Tally {
    fn new(targets: usize) -> Self {
        Self { now: Duration::ZERO, copies: 0, waiting: vec![0; targets], held_up: vec![Duration::ZERO; targets] }
    }

    fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        if self.copies == 0 {
            return;
        }
        for (waiting, held_up) in self.waiting.iter().zip(&mut self.held_up) {
            let is_held_up = 2 * waiting > self.copies;
            *held_up = if is_held_up { held_up.saturating_add(passed) } else { held_up.saturating_sub(passed) };
        }
    }

    fn slow(&self, patience: Duration) -> Vec<usize> {
        let held_up = self.held_up.iter().enumerate();
        held_up.filter(|(_, held_up)| **held_up > patience).map(|(target, _)| target).collect()
    }

    fn wait_for(&mut self, target: usize) {
        if let Some(waiting) = self.waiting.get_mut(target) {
            *waiting += 1;
        }
    }

    fn wait_no_more_for(&mut self, target: usize) {
        if let Some(waiting) = self.waiting.get_mut(target) {
            *waiting = waiting.saturating_sub(1);
        }
    }
}

/// What a copy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// It reads.
    Reading,
    /// It cannot go on before somebody is done with the parts that they have.
    Held,
    /// It cannot go on before these have taken a piece.
    Full(Vec<usize>),
    /// All was read.
    Ending,
}

/// How far one destination is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Work {
    /// Parts that it has to do with.
    parts: usize,
    /// Whether it has all, or failed.
    ended: Option<bool>,
}

/// The destinations that others wait for: pure. Whoever has failed waits for nobody.
fn waited_for(stage: &Stage, work: &[Work]) -> Vec<usize> {
    let is_open = |place: usize| work[place].ended.is_none();
    let is_busy = |place: usize| match stage {
        Stage::Reading => false,
        Stage::Held => is_open(place) && work[place].parts > 0,
        Stage::Full(full) => is_open(place) && full.contains(&place),
        Stage::Ending => is_open(place),
    };
    let is_idle = |place: usize| work[place].ended != Some(false) && !is_busy(place);
    if !(0..work.len()).any(is_idle) {
        return Vec::new();
    }
    (0..work.len()).filter(|place| is_busy(*place)).collect()
}

/// One copy to several destinations; nothing is counted of one to a single one.
#[derive(Debug)]
pub(crate) struct Course(Option<Counted>);

#[derive(Debug)]
struct Counted {
    waits: Arc<Waits>,
    /// Which target each destination is.
    targets: Vec<usize>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    work: Vec<Work>,
    /// Those that were told to be waited for.
    told: Vec<usize>,
}

impl Course {
    /// Each destination is to begin.
    pub(crate) fn new(waits: Option<&Arc<Waits>>, destinations: &[Destination]) -> Arc<Self> {
        let waits = waits.filter(|_| destinations.len() > 1);
        let counted = waits.map(|waits| {
            waits.change(|tally| tally.copies += 1);
            let work = vec![Work { parts: 1, ended: None }; destinations.len()];
            let targets = destinations.iter().map(|destination| destination.stop.target).collect();
            let state = Mutex::new(State { stage: Stage::Held, work, told: Vec::new() });
            Counted { waits: waits.clone(), targets, state }
        });
        Arc::new(Self(counted))
    }

    /// A destination was handed a part.
    pub(crate) fn part(self: &Arc<Self>, place: usize) -> Busy {
        self.change(|state| state.work[place].parts += 1);
        Busy { course: self.clone(), place }
    }

    /// A destination has begun.
    pub(crate) fn has_begun(&self, place: usize) {
        self.change(|state| state.work[place].parts -= 1);
    }

    pub(crate) fn has_ended(&self, place: usize, is_well: bool) {
        self.change(|state| state.work[place].ended = Some(is_well));
    }

    pub(crate) fn is_reading(&self) {
        self.change(|state| state.stage = Stage::Reading);
    }

    pub(crate) fn is_held(&self) {
        self.change(|state| state.stage = Stage::Held);
    }

    pub(crate) fn is_full(&self, places: Vec<usize>) {
        self.change(|state| state.stage = Stage::Full(places));
    }

    pub(crate) fn is_ending(&self) {
        self.change(|state| state.stage = Stage::Ending);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let Some(Counted { waits, targets, state }) = &self.0 else { return };
        let mut state: MutexGuard<'_, State> = state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let now = waited_for(&state.stage, &state.work);
        if now == state.told {
            return;
        }
        waits.change(|tally| {
            for place in &state.told {
                tally.wait_no_more_for(targets[*place]);
            }
            for place in &now {
                tally.wait_for(targets[*place]);
            }
        });
        state.told = now;
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        self.is_reading();
        if let Some(Counted { waits, .. }) = &self.0 {
            waits.change(|tally| tally.copies = tally.copies.saturating_sub(1));
        }
    }
}

/// A part that a destination has to do with.
#[derive(Debug)]
pub(crate) struct Busy {
    course: Arc<Course>,
    place: usize,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let place = self.place;
        self.course.change(|state| state.work[place].parts = state.work[place].parts.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Stage, Tally, Work, waited_for};

    #[test]
    fn only_who_keeps_others_from_work_is_waited_for() {
        let (free, busy) = (Work::default(), Work { parts: 2, ended: None });
        let (done, failed) = (Work { parts: 0, ended: Some(true) }, Work { parts: 0, ended: Some(false) });
        let nobody: &[usize] = &[];
        for (stage, work, expected) in [
            (Stage::Reading, vec![free, busy], nobody),
            (Stage::Held, vec![free, busy], &[1]),
            (Stage::Held, vec![busy, busy], nobody),
            (Stage::Held, vec![free, free], nobody),
            (Stage::Held, vec![failed, busy], nobody),
            (Stage::Held, vec![busy, free, busy], &[0, 2]),
            (Stage::Full(vec![0]), vec![busy, busy], &[0]),
            (Stage::Full(vec![0, 1]), vec![busy, busy], nobody),
            (Stage::Full(vec![0]), vec![failed, busy], nobody),
            (Stage::Ending, vec![free, busy], nobody),
            (Stage::Ending, vec![done, busy], &[1]),
            (Stage::Ending, vec![done, free], &[1]),
            (Stage::Ending, vec![failed, busy], nobody),
            (Stage::Ending, vec![done, failed], nobody),
            (Stage::Ending, vec![free], nobody),
        ] {
            assert_eq!(waited_for(&stage, &work), expected, "{stage:?} {work:?}");
        }
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Of each second, how many of 8 copies wait for the first of two targets.
    fn is_slow(seconds: &[usize]) -> bool {
        let mut tally = Tally::new(2);
        tally.copies = 8;
        let mut is_slow = false;
        for (second, waiting) in (1..).zip(seconds) {
            tally.waiting[0] = *waiting;
            tally.advance(Duration::from_secs(second));
            assert!(!tally.slow(PATIENCE).contains(&1));
            is_slow |= tally.slow(PATIENCE) == [0];
        }
        is_slow
    }

    #[test]
    fn slow_is_who_holds_up_others_for_longer_than_their_patience() {
        assert!(!is_slow(&[8; 10]) && is_slow(&[8; 11]) && is_slow(&[5; 11]));
        assert!(!is_slow(&[4; 1000]), "half of the copies go on");
        assert!(!is_slow(&[8, 0].repeat(500)), "half of the time");
        assert!(is_slow(&[8, 8, 0].repeat(30)));
        assert!(!is_slow(&[&[8; 9][..], &[0; 9], &[8; 9], &[0; 9]].concat()), "for a moment, now and then");
    }

    #[test]
    fn time_without_copies_says_nothing() {
        let mut tally = Tally::new(2);
        (tally.copies, tally.waiting[1]) = (1, 1);
        tally.advance(Duration::from_secs(6));
        (tally.copies, tally.waiting[1]) = (0, 0);
        tally.advance(Duration::from_mins(10));
        (tally.copies, tally.waiting[1]) = (1, 1);
        tally.advance(Duration::from_secs(605));
        assert_eq!(tally.slow(PATIENCE), [1]);
    }

    proptest! {
        #[test]
        fn whoever_is_slow_was_so_for_more_than_half_of_some_time(
            seconds in prop::collection::vec(0..=8_usize, 1..60),
        ) {
            let held_up = |from: usize, to: usize| {
                let held_up = seconds[from..to].iter().filter(|waiting| **waiting > 4).count();
                let others = to - from - held_up;
                held_up > others + 10
            };
            let expected = (0..seconds.len()).any(|from| (from + 1..=seconds.len()).any(|to| held_up(from, to)));
            prop_assert_eq!(is_slow(&seconds), expected);
        }
    }
}
