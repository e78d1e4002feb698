//! Sets targets aside that are so slow that the others wait for them: they go on by themselves, as far as they come while the others do.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::naming::How;
use super::round::{Attempted, Done, Needed, Round, Scope, Shared, Way, attempt};
use super::slots::Order;
use super::target::Target;
use super::types::{MirrorEvent, MirrorOptions};
use crate::transfer::waits::Waits;
use crate::transfer::{SourceRead, Stop, Transfer};
use crate::{ObjectSummary, StoreError, StoreErrorKind};

/// Between two looks at who is slow.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// For targets that may be set aside.
pub(super) struct Aside {
    patience: Duration,
    began: Instant,
    waits: Arc<Waits>,
    /// With a share of what the pass may use.
    shared: Arc<Shared>,
    /// What is copied to targets that are set aside, each object to one.
    running: JoinSet<Done>,
    /// How many objects are under way to each target so.
    under_way: Vec<usize>,
}

impl Aside {
    /// Splits what a pass may use, where a target of it may be set aside.
    pub(super) fn of(
        options: &MirrorOptions,
        targets: usize,
        transfer: Transfer,
    ) -> (Transfer, Option<(Duration, Arc<Waits>, Transfer)>) {
        let Some(patience) = options.patience.filter(|_| targets > 1 && !options.dry_run) else {
            return (transfer, None);
        };
        let cancel = transfer.cancel.child_token();
        let (mut transfer, share) = transfer.split(cancel);
        let waits = Arc::new(Waits::new(targets));
        transfer.waits = Some(waits.clone());
        (transfer, Some((patience, waits, share)))
    }

    pub(super) fn new(patience: Duration, waits: Arc<Waits>, shared: Arc<Shared>, targets: usize) -> Self {
        Self { patience, began: Instant::now(), waits, shared, running: JoinSet::new(), under_way: vec![0; targets] }
    }

    fn cancel(&self) -> &CancellationToken {
        &self.shared.transfer.cancel
    }

    fn has_slot(&self, target: usize) -> bool {
        self.under_way[target] < self.shared.transfer.limits.objects
    }
}

/// How each target is stopped by itself.
pub(super) fn stops(targets: usize, cancel: &CancellationToken) -> Vec<Stop> {
    (0..targets).map(|target| Stop::of_target(target, cancel)).collect()
}

/// Which of these targets to set aside, of which some are slow and some are of no account: never the last one. Pure.
fn to_set_aside(slow: &[usize], is_going: &[bool]) -> Vec<usize> {
    let slow: Vec<_> = slow.iter().copied().filter(|target| is_going.get(*target) == Some(&true)).collect();
    let going = is_going.iter().filter(|is_going| **is_going).count();
    slow.into_iter().take(going.saturating_sub(1)).collect()
}

/// What comes next.
enum Next {
    Done(Result<Done, JoinError>),
    Aside(Result<Done, JoinError>),
    Look,
}

impl Round<'_> {
    /// Takes the next object that has ended; `false` when none is under way to targets that go on together.
    pub(super) async fn take_next(&mut self) -> bool {
        loop {
            if self.running.is_empty() {
                return false;
            }
            let Some(aside) = &mut self.aside else {
                let Some(done) = self.running.join_next().await else { return false };
                self.take(done);
                return true;
            };
            let waits = Instant::now();
            let next = tokio::select! {
                Some(done) = self.running.join_next() => Next::Done(done),
                Some(done) = aside.running.join_next() => Next::Aside(done),
                () = tokio::time::sleep(LOOK_EVERY.min(aside.patience)) => Next::Look,
            };
            self.waited(waits.elapsed());
            match next {
                Next::Done(done) => {
                    self.take(done);
                    return true;
                }
                Next::Aside(done) => self.take_aside(done),
                Next::Look => {}
            }
            self.set_aside_who_is_slow();
        }
    }

    /// Takes all that has ended by now, and looks who is slow.
    pub(super) fn take_ended(&mut self) {
        while let Some(done) = self.running.try_join_next() {
            self.take(done);
        }
        while let Some(done) = self.aside.as_mut().and_then(|aside| aside.running.try_join_next()) {
            self.take_aside(done);
        }
        self.set_aside_who_is_slow();
    }

    fn set_aside_who_is_slow(&mut self) {
        let Some(aside) = self.aside.as_ref().filter(|_| self.scope == Scope::All) else { return };
        let by_slots = self.slow_by_slots(aside.patience, aside.began.elapsed());
        let slow = by_slots.unwrap_or_else(|| aside.waits.slow(aside.patience));
        self.set_aside(&slow);
    }

    /// Sets those aside that were slow the last time.
    pub(super) fn set_aside_who_was_slow(&mut self) {
        if self.aside.is_some() {
            let slow: Vec<_> = self.options.aside.iter().copied().collect();
            self.set_aside(&slow);
        }
    }

    fn set_aside(&mut self, slow: &[usize]) {
        if slow.is_empty() {
            return;
        }
        let is_going = |target: &Target| !target.is_given_up() && !target.is_set_aside();
        let is_going: Vec<_> = self.targets.iter().map(is_going).collect();
        for index in to_set_aside(slow, &is_going) {
            let bucket = &*self.targets[index].replica.store.place().bucket;
            tracing::info!(bucket, "the others wait for this target: it goes on by itself");
            self.stops[index].cancel.cancel();
            let waiting = self.drop_waiting(index);
            self.targets[index].report.left_behind = Some(waiting);
        }
    }

    /// Whether a copy was stopped since its target was set aside.
    pub(super) fn was_set_aside(&self, target: usize, error: &StoreError) -> bool {
        let is_cancelled = error.kind == StoreErrorKind::Cancelled && !self.shared.transfer.cancel.is_cancelled();
        is_cancelled && self.targets[target].is_set_aside() && !self.targets[target].is_given_up()
    }

    fn was_stopped(&self, target: usize, Attempted { outcome, .. }: &Attempted) -> bool {
        let error = match outcome {
            Ok(SourceRead::Whole(copies)) => copies.iter().find_map(|copy| copy.as_ref().err()),
            Ok(SourceRead::Vanished) => None,
            Err(error) => Some(error),
        };
        error.is_some_and(|error| self.was_set_aside(target, error))
    }

    /// Copies an object to a target that is set aside, or leaves it behind.
    pub(super) fn copy_aside(&mut self, object: &ObjectSummary, (source_key, how): (&str, &How), needed: Needed) {
        let index = needed.target;
        if !self.has_slot_aside(index) {
            let target = &mut self.targets[index];
            target.carry(&object.key, needed.remembered);
            return target.leave_behind();
        }
        let (key, bytes, modified) = (object.key.clone(), object.size, object.modified);
        (self.shared.progress)(MirrorEvent::Differs { target: index, key, bytes, modified });
        let way = self.way(&object.key, needed);
        self.go_on_aside(index, (object.clone(), source_key.to_owned(), how.clone()), way);
    }

    /// Goes on with an object that is expected at a target that is set aside, or leaves it behind.
    pub(super) fn go_on_aside(&mut self, index: usize, listed: (ObjectSummary, String, How), mut way: Way) {
        let (object, source_key, how) = listed;
        if !self.has_slot_aside(index) {
            self.targets[index].keep_remembered(&object.key);
            return self.targets[index].leave_behind();
        }
        // The object is read once more.
        if let Err(cost) = self.budget.spending.reserve(object.size) {
            self.report.left.add(object.size, cost);
            self.targets[index].report.left.add(object.size, cost);
            return self.targets[index].keep_remembered(&object.key);
        }
        self.report.source_bytes += object.size;
        let Some(aside) = &mut self.aside else { return };
        aside.under_way[index] += 1;
        let stopped = self.stops[index].clone();
        way.destination.stop = stopped.by(aside.cancel());
        let shared = aside.shared.clone();
        aside.running.spawn(async move {
            // What was noted of it is gone on with.
            shared.transfer.cancel.run_until_cancelled(stopped.ended()).await;
            let order = Order { object, source_key, how, indices: vec![index], ways: vec![way] };
            Done::Copied(attempt(&shared, order).await)
        });
    }

    fn has_slot_aside(&self, target: usize) -> bool {
        let has_slot =
            self.aside.as_ref().is_some_and(|aside| aside.has_slot(target) && !aside.cancel().is_cancelled());
        has_slot && !self.targets[target].has_much_waiting()
    }

    fn take_aside(&mut self, done: Result<Done, JoinError>) {
        let attempted = match done {
            Ok(Done::Copied(attempted)) => attempted,
            other => return self.take(other),
        };
        let Some(index) = attempted.indices.first().copied() else { return };
        if let Some(aside) = &mut self.aside {
            aside.under_way[index] -= 1;
        }
        // Nobody else sees what becomes of it.
        if self.slots.is_some() && !self.was_stopped(index, &attempted) {
            let came =
                |read: &SourceRead| matches!(read, SourceRead::Whole(copies) if copies.iter().all(Result::is_ok));
            if attempted.outcome.as_ref().is_ok_and(came) {
                self.stops[index].progress();
            }
            return self.take_copies(attempted);
        }
        let Attempted { object, refusals, outcome, .. } = attempted;
        let outcome = match (refusals.into_iter().flatten().next(), outcome) {
            (Some(refusal), _) => Err(refusal),
            (None, Ok(SourceRead::Whole(copies))) => match copies.into_iter().next() {
                Some(copy) => copy,
                None => return,
            },
            // The others have seen, or will see, what to do about that.
            (None, Ok(SourceRead::Vanished) | Err(_)) => {
                self.targets[index].keep_remembered(&object.key);
                return self.targets[index].leave_behind();
            }
        };
        match outcome {
            Err(error) if self.was_set_aside(index, &error) => {
                self.targets[index].keep_remembered(&object.key);
                self.targets[index].leave_behind();
            }
            Ok(copy) => {
                self.stops[index].progress();
                self.copied(index, &object, Ok(copy));
            }
            Err(error) => self.copied(index, &object, Err(error)),
        }
    }

    /// Ends what is under way to targets that are set aside, and keeps what they have. After a pass that is whole they get a last while,
    /// and at least the time in which something comes to each: else a very slow one would never get anything.
    pub(super) async fn end_aside(&mut self, is_whole: bool) {
        let Some(patience) = self.aside.as_ref().map(|aside| aside.patience) else { return };
        let deadline = Instant::now() + patience;
        while is_whole && (Instant::now() < deadline || self.awaits_progress_aside()) {
            let Some(aside) = &mut self.aside else { return };
            tokio::select! {
                done = aside.running.join_next() => match done {
                    Some(done) => self.take_aside(done),
                    None => break,
                },
                () = tokio::time::sleep(LOOK_EVERY.min(patience)) => {}
            }
        }
        if let Some(aside) = &self.aside {
            aside.cancel().cancel();
        }
        while let Some(aside) = &mut self.aside {
            let Some(done) = aside.running.join_next().await else { break };
            self.take_aside(done);
        }
        for (target, stop) in self.targets.iter_mut().zip(&self.stops).filter(|(target, _)| target.is_set_aside()) {
            stop.ended().await;
            target.keep(false).await;
        }
    }

    fn awaits_progress_aside(&self) -> bool {
        let Some(aside) = self.aside.as_ref().filter(|aside| !aside.cancel().is_cancelled()) else { return false };
        aside.under_way.iter().zip(&self.stops).any(|(under_way, stop)| *under_way > 0 && !stop.has_progressed())
    }
}

#[cfg(test)]
mod tests {
    use super::to_set_aside;

    #[test]
    fn the_last_one_that_goes_is_never_set_aside() {
        let nobody: &[usize] = &[];
        for (slow, is_going, expected) in [
            (vec![], vec![true, true], nobody),
            (vec![1], vec![true, true], &[1]),
            (vec![0, 1], vec![true, true], &[0]),
            (vec![0, 2], vec![true, true, true], &[0, 2]),
            (vec![1], vec![false, true], nobody),
            (vec![1, 2], vec![true, false, true], &[2]),
            (vec![0], vec![true], nobody),
            (vec![0], vec![false, false], nobody),
        ] {
            assert_eq!(to_set_aside(&slow, &is_going), expected, "{slow:?} {is_going:?}");
        }
    }
}
