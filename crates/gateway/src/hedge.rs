//! Requests that take long are sent to a second endpoint too, and whoever answers well first answers.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use skyfleet_balance::hedging::Settings;
use skyfleet_balance::{budget, hedging};
use tokio::time::timeout;

use crate::areas::Tried;
use crate::attempts::Outgoing;
use crate::backend::{Backend, InFlight};
use crate::config::{Endpoint, HedgingConfig};
use crate::counters::HedgeCounters;
use crate::deadline::{Deadline, in_time};
use crate::outcome::{Outcome, ask};
use crate::route::Route;
use crate::worker::Worker;

/// The hedges of one route. They survive changes of the configuration.
pub(crate) struct Hedges {
    began: Instant,
    state: Mutex<State>,
    counters: HedgeCounters,
}

struct State {
    config: HedgingConfig,
    hedging: hedging::Hedging,
}

/// A request that may be hedged.
pub(crate) struct Race<'a> {
    pub(crate) hedges: &'a Hedges,
    pub(crate) outgoing: &'a Outgoing,
    pub(crate) route: &'a Route,
    pub(crate) worker: &'a Worker,
    pub(crate) backend: &'a Arc<Backend>,
    pub(crate) affinity: Option<u64>,
    pub(crate) deadline: Option<Deadline>,
}

impl Hedges {
    pub(crate) fn new(config: HedgingConfig, counters: HedgeCounters) -> Self {
        let state = State { hedging: of(config), config };
        Self { began: Instant::now(), state: Mutex::new(state), counters }
    }

    pub(crate) fn configure(&self, config: HedgingConfig) {
        let mut state = self.state();
        if state.config != config {
            *state = State { hedging: of(config), config };
        }
    }

    /// A request begins.
    pub(crate) fn begin(&self) {
        self.state().hedging.begin(self.began.elapsed());
    }

    /// Time without a first byte after which a request may be hedged.
    fn after(&self) -> Duration {
        self.state().hedging.after()
    }

    fn allow(&self) -> bool {
        self.state().hedging.allow(true, true, self.began.elapsed())
    }

    fn give_back(&self) {
        self.state().hedging.give_back(self.began.elapsed());
    }

    // A panic while the lock is held ends one request; the budget stays within its bounds.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Race<'_> {
    /// Asks the endpoint of `in_flight`, and if that takes long another one. Whose outcome it is is in flight then: the other one was
    /// given up, which closes its connection, or has failed, and is among those that were tried.
    pub(crate) async fn run(
        &self,
        (in_flight, is_hedged): (&mut InFlight, &mut bool),
        tried: &mut Vec<Tried>,
    ) -> Outcome {
        let mut first = pin!(self.ask(in_flight.endpoint.clone()));
        if let Ok(outcome) = timeout(self.hedges.after(), &mut first).await {
            return outcome;
        }
        let Some(other) = self.other(in_flight, tried) else { return first.await };
        self.hedges.counters.sent.inc();
        *is_hedged = true;
        let mut second = pin!(self.ask(other.endpoint.clone()));
        match select(first.as_mut(), second.as_mut()).await {
            Either::Left((outcome, _)) if outcome.is_final() => outcome,
            Either::Left((outcome, _)) => {
                note(&outcome, in_flight, tried);
                *in_flight = other;
                let outcome = second.await;
                self.hedges.counters.won.inc_by(outcome.is_good().into());
                outcome
            }
            Either::Right((outcome, _)) if outcome.is_final() => {
                self.hedges.counters.won.inc_by(outcome.is_good().into());
                *in_flight = other;
                outcome
            }
            Either::Right((outcome, _)) => {
                note(&outcome, &other, tried);
                drop(other);
                first.await
            }
        }
    }

    async fn ask(&self, endpoint: Arc<Endpoint>) -> Outcome {
        let asked = ask(self.outgoing.copy(), &endpoint, (self.route, self.worker), self.outgoing.progress());
        match in_time(self.deadline, asked).await {
            Ok(Ok(answered)) => Outcome::Answered(answered),
            Ok(Err(unanswered)) => Outcome::Failed(unanswered.error),
            Err(overdue) => Outcome::Overdue(overdue),
        }
    }

    /// Another endpoint than the first, if one has room and the budget covers it.
    fn other(&self, first: &InFlight, tried: &[Tried]) -> Option<InFlight> {
        if !self.hedges.allow() {
            return None;
        }
        let tried: Vec<_> = tried.iter().copied().chain([first.tried]).collect();
        // With nobody else to ask, the pool comes back to those that were.
        let other = self.backend.pick(self.affinity, &tried).ok().filter(|other| other.endpoint != first.endpoint);
        if other.is_none() {
            self.hedges.give_back();
        }
        other
    }
}

/// One of the two has failed while the other may still do it.
fn note(outcome: &Outcome, in_flight: &InFlight, tried: &mut Vec<Tried>) {
    if let Some(failure) = outcome.failure(false) {
        in_flight.failed(failure);
    }
    tried.push(in_flight.tried);
}

fn of(HedgingConfig { after, budget_percent }: HedgingConfig) -> hedging::Hedging {
    let budget = budget::Settings { ratio: f64::from(budget_percent) / 100.0, ..budget::Settings::default() };
    hedging::Hedging::new(&Settings { after, budget })
}
