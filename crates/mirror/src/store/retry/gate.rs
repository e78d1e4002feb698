//! What every attempt of a store's requests has to pass.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::window::{Answer, InFlight, Slot, Window};
use crate::pace::Pace;
use crate::{RetryClass, StoreError};

/// Timers are as late as this.
const SLACK: Duration = Duration::from_millis(10);

/// Bounds the requests in flight to a store, and those of a second. Clones are one gate.
///
/// An attempt holds its slot until its answer is there; one that is to be tried again gives it back before it waits. Of an object
/// that is read, this is the start of the answer: what a store refuses is a request, and one it has begun to serve is none of the
/// next. A body may wait for a slow target as long as it takes, and would keep listings and other reads from asking; how many
/// bodies are open is bounded by the objects in flight.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    window: Mutex<Window>,
    /// Whoever holds it is next, so that nobody is overtaken: of all that wait, only the first looks for room.
    turn: tokio::sync::Mutex<()>,
    left: Notify,
    pace: Option<Pace>,
}

impl Gate {
    pub(super) fn new(bounds: InFlight, per_second: Option<NonZeroU32>) -> Self {
        Self(Arc::new(Inner {
            window: Mutex::new(Window::new(bounds)),
            turn: tokio::sync::Mutex::default(),
            left: Notify::new(),
            pace: per_second.map(|rate| Pace::new(rate.into(), SLACK)),
        }))
    }

    /// Makes an attempt when it is its turn.
    pub(super) async fn pass<T>(&self, attempt: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let mut passing = self.0.enter().await;
        let outcome = attempt.await;
        passing.answer = match &outcome {
            Ok(_) => Answer::Taken,
            Err(error) => told_by(error),
        };
        outcome
    }

    /// Waits until one more request may be sent, by an attempt that has passed and consists of several.
    pub(super) async fn another(&self) {
        self.0.paced().await;
    }

    pub(super) fn is_wide_open(&self) -> bool {
        self.0.window().is_at_its_largest()
    }
}

/// That an object is not there, or changed, is an answer like any other.
fn told_by(error: &StoreError) -> Answer {
    match error.retry() {
        RetryClass::Throttled => Answer::Refused,
        RetryClass::Permanent => Answer::Taken,
        RetryClass::Transient => Answer::Nothing,
    }
}

impl Inner {
    async fn enter(&self) -> Passing<'_> {
        let _turn = self.turn.lock().await;
        // Room first: who was given a moment would miss it while there is none.
        while !self.window().has_room() {
            self.left.notified().await;
        }
        self.paced().await;
        loop {
            // Not in the condition of an `if`, which would hold the lock until its end.
            let slot = self.window().enter();
            if let Some(slot) = slot {
                return Passing { gate: self, slot, answer: Answer::Nothing };
            }
            self.left.notified().await;
        }
    }

    async fn paced(&self) {
        if let Some(pace) = &self.pace {
            pace.take(1).await;
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt under way. One that is given up gives its slot back too.
struct Passing<'a> {
    gate: &'a Inner,
    slot: Slot,
    answer: Answer,
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.gate.window().leave(&self.slot, self.answer);
        self.gate.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::{Gate, InFlight};
    use crate::{Place, StoreError, StoreErrorKind};

    fn gate(most: u32, per_second: Option<u32>) -> Gate {
        Gate::new(InFlight { least: 1, most }, per_second.and_then(NonZeroU32::new))
    }

    fn error(kind: StoreErrorKind) -> StoreError {
        Place { endpoint: "e".into(), bucket: "b".into(), prefix: "".into() }.error(kind, "ask", "")
    }

    /// So many attempts, each a second long: the most that were in flight at once.
    async fn most_at_once(gate: &Gate, attempts: usize) -> usize {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let attempt = || async {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_secs(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        join_all((0..attempts).map(|_| gate.pass(attempt()))).await;
        most.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_leaves_half_of_them_in_flight() {
        let gate = gate(8, None);
        assert_eq!(most_at_once(&gate, 40).await, 8);
        let refuse = || {
            gate.pass(async {
                sleep(Duration::from_secs(1)).await;
                Err::<(), _>(error(StoreErrorKind::Throttled))
            })
        };
        join_all((0..8).map(|_| refuse())).await;
        assert_eq!(most_at_once(&gate, 4).await, 4);
        assert_eq!(most_at_once(&gate, 9).await, 5, "and one more after a round that was taken");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_gives_its_slot_back() {
        let gate = gate(1, None);
        let given_up = tokio::time::timeout(Duration::from_secs(1), gate.pass(std::future::pending::<Result<(), _>>()));
        let waits = tokio::time::timeout(Duration::from_millis(500), gate.pass(async { Ok(()) }));
        let last = gate.pass(async { Ok(()) });
        let (given_up, waits, last) = tokio::join!(given_up, waits, last);
        assert!(given_up.is_err() && waits.is_err() && last.is_ok());
    }

    /// Attempts of any length and outcome, a third of them given up on the way: all end, and no slot is lost.
    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let gate = gate(4, Some(100));
        let attempt = async |number: u64| {
            let (length, patience) =
                (number * 37 % 101, if number.is_multiple_of(3) { number * 53 % 2000 } else { 1_000_000 });
            let request = async {
                sleep(Duration::from_millis(length)).await;
                match number % 5 {
                    0 => Err(error(StoreErrorKind::Throttled)),
                    1 => Err(error(StoreErrorKind::Unavailable)),
                    _ => Ok(()),
                }
            };
            tokio::time::timeout(Duration::from_millis(patience), gate.pass(request)).await.is_ok()
        };
        let ended = join_all((0..500).map(attempt)).await;
        assert!((0_u64..500).zip(ended).all(|(number, ended)| ended || number.is_multiple_of(3)));
        assert_eq!(gate.0.window().in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_pass_in_the_order_they_came_and_at_the_rate() {
        let gate = gate(2, Some(10));
        let (start, order) = (Instant::now(), std::sync::Mutex::new(Vec::new()));
        let attempt = |number: usize| {
            let order = &order;
            gate.pass(async move {
                order.lock().unwrap().push((number, start.elapsed().as_millis() / 50 * 50));
                Ok(())
            })
        };
        join_all((0..4).map(attempt)).await;
        assert_eq!(*order.lock().unwrap(), [(0, 0), (1, 100), (2, 200), (3, 300)]);
    }
}
