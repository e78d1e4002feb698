//! What was changed, what was decided and what has arrived: pure, fed with events and their times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Replicas by member; what is not there is 0.
pub(crate) type Shares = BTreeMap<String, i64>;

/// All ModelDeployments of the benchmark.
#[derive(Default)]
pub(crate) struct Ledger {
    models: BTreeMap<String, Model>,
    /// Members that are not waited for.
    silent: BTreeSet<String>,
    done: Vec<Done>,
}

#[derive(Default)]
struct Model {
    /// As the hub's status says.
    decided: Shares,
    /// As the members were told.
    held: Shares,
    look: Look,
    change: Option<Change>,
}

/// What the hub's status says of a ModelDeployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is of an earlier spec.
    #[default]
    Old,
    /// It answers the spec as it is.
    Answered,
    /// All is as asked.
    Ready,
}

struct Change {
    wanted: i64,
    /// What was decided before. Where it was the same the change is not to be waited for.
    before: Shares,
    sent: Instant,
    decided: Option<Instant>,
    /// The last object that is different for it.
    arrived: Option<Instant>,
}

/// A change that has reached every member it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// When the last member had it; `None` when no member that answers was concerned.
    pub(crate) arrived: Option<Instant>,
    /// From the decision's being seen on the hub to the last object.
    pub(crate) decision_to_object: Option<Duration>,
    /// From the sending of the change to the last object.
    pub(crate) change_to_object: Option<Duration>,
}

impl Ledger {
    /// How many ModelDeployments have settled.
    pub(crate) fn count_settled(&self) -> usize {
        self.models.values().filter(|model| self.is_settled(model)).count()
    }

    /// How many changes are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.models.values().filter(|model| model.change.is_some()).count()
    }

    /// From now on these members are not waited for.
    pub(crate) fn ignore(&mut self, silent: BTreeSet<String>) {
        self.silent = silent;
    }

    /// Replicas that are decided for a ModelDeployment that has settled; `None` for one that has not.
    pub(crate) fn settled(&self, name: &str) -> Option<i64> {
        let model = self.models.get(name).filter(|model| self.is_settled(model))?;
        Some(model.decided.values().sum())
    }

    /// Whether nothing is under way. With replicas in a member that is not heard, a ModelDeployment cannot be Ready.
    fn is_settled(&self, model: &Model) -> bool {
        let partly_silent = || model.decided.keys().any(|member| self.silent.contains(member));
        let calm = match model.look {
            Look::Ready => true,
            Look::Answered => partly_silent(),
            Look::Old => false,
        };
        calm && model.change.is_none()
    }

    /// A change is about to be sent.
    pub(crate) fn begin(&mut self, name: &str, wanted: i64, at: Instant) {
        let model = self.models.entry(name.to_owned()).or_default();
        model.look = Look::Old;
        model.change = Some(Change { wanted, before: model.decided.clone(), sent: at, decided: None, arrived: None });
    }

    /// The change was refused: it is not waited for.
    pub(crate) fn forget(&mut self, name: &str) {
        if let Some(model) = self.models.get_mut(name) {
            model.change = None;
        }
    }

    /// The hub's status was seen.
    pub(crate) fn seen(&mut self, name: &str, decided: Shares, look: Look, at: Instant) {
        let model = self.models.entry(name.to_owned()).or_default();
        model.look = look;
        model.decided = decided;
        let sum: i64 = model.decided.values().sum();
        if let Some(change) = model.change.as_mut().filter(|change| change.wanted == sum) {
            change.decided.get_or_insert(at);
        }
        self.settle(name);
    }

    /// A member was told how many replicas it shall hold.
    pub(crate) fn arrived(&mut self, name: &str, member: &str, replicas: i64, at: Instant) {
        let model = self.models.entry(name.to_owned()).or_default();
        let before = model.held.insert(member.to_owned(), replicas).unwrap_or(0);
        if let Some(change) = model.change.as_mut().filter(|_| before != replicas) {
            change.arrived = Some(at);
        }
        self.settle(name);
    }

    /// The changes that are done since the last call.
    pub(crate) fn take_done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }

    /// Gives up on what is under way: the age of each change.
    pub(crate) fn give_up(&mut self, now: Instant) -> Vec<Duration> {
        let changes = self.models.values_mut().filter_map(|model| model.change.take());
        changes.map(|change| now.saturating_duration_since(change.sent)).collect()
    }

    fn settle(&mut self, name: &str) {
        let Some(model) = self.models.get_mut(name) else { return };
        let Some(Change { decided: Some(decided), before, .. }) = &model.change else { return };
        let decided = *decided;
        let share = |shares: &Shares, member: &str| shares.get(member).copied().unwrap_or(0);
        let concerned = |member: &str| share(before, member) != share(&model.decided, member);
        let members = model.decided.keys().chain(before.keys());
        let told = members
            .filter(|member| concerned(member) && !self.silent.contains(*member))
            .all(|member| share(&model.decided, member) == share(&model.held, member));
        if !told {
            return;
        }
        if let Some(change) = model.change.take() {
            let since = |from: Instant| change.arrived.map(|arrived| arrived.saturating_duration_since(from));
            self.done.push(Done {
                arrived: change.arrived,
                decision_to_object: since(decided),
                change_to_object: since(change.sent),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(pairs: &[(&str, i64)]) -> Shares {
        pairs.iter().map(|(member, replicas)| ((*member).to_owned(), *replicas)).collect()
    }

    struct Fixture {
        start: Instant,
        ledger: Ledger,
    }

    impl Fixture {
        /// Two replicas in `a`, one in `b`, all ready; a fourth is asked for at 10 ms.
        fn new() -> Self {
            let start = Instant::now();
            let mut ledger = Ledger::default();
            ledger.arrived("m", "a", 2, start);
            ledger.arrived("m", "b", 1, start);
            ledger.seen("m", shares(&[("a", 2), ("b", 1)]), Look::Ready, start);
            assert_eq!(ledger.settled("m"), Some(3));
            let mut fixture = Self { start, ledger };
            let at = fixture.at(10);
            fixture.ledger.begin("m", 4, at);
            fixture
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }
    }

    #[test]
    fn a_change_is_done_when_the_last_member_was_told() {
        let mut fixture = Fixture::new();
        let [at_15, at_20, at_25, at_30] = [15, 20, 25, 30].map(|at| fixture.at(at));
        let ledger = &mut fixture.ledger;
        assert_eq!(ledger.settled("m"), None);
        ledger.seen("m", shares(&[("a", 2), ("b", 1)]), Look::Ready, at_15);
        ledger.seen("m", shares(&[("a", 1), ("b", 3)]), Look::Answered, at_20);
        ledger.arrived("m", "b", 3, at_25);
        assert_eq!((ledger.under_way(), ledger.take_done()), (1, vec![]));
        ledger.arrived("m", "a", 1, at_30);
        let done = Done {
            arrived: Some(at_30),
            decision_to_object: Some(Duration::from_millis(10)),
            change_to_object: Some(Duration::from_millis(20)),
        };
        assert_eq!((ledger.under_way(), ledger.take_done()), (0, vec![done]));
    }

    #[test]
    fn an_object_may_be_seen_before_its_decision() {
        let mut fixture = Fixture::new();
        let [at_20, at_21] = [20, 21].map(|at| fixture.at(at));
        fixture.ledger.arrived("m", "b", 2, at_20);
        fixture.ledger.seen("m", shares(&[("a", 2), ("b", 2)]), Look::Answered, at_21);
        let done = fixture.ledger.take_done();
        assert_eq!(done[0].decision_to_object, Some(Duration::ZERO));
        assert_eq!(done[0].change_to_object, Some(Duration::from_millis(10)));
    }

    #[test]
    fn a_silent_member_is_not_waited_for_and_gives_no_time() {
        let mut fixture = Fixture::new();
        let at_20 = fixture.at(20);
        fixture.ledger.ignore(BTreeSet::from(["b".to_owned()]));
        fixture.ledger.seen("m", shares(&[("a", 2), ("b", 2)]), Look::Answered, at_20);
        let done = fixture.ledger.take_done();
        assert_eq!(done, [Done { arrived: None, decision_to_object: None, change_to_object: None }]);
        assert_eq!(fixture.ledger.settled("m"), Some(4), "it will not be Ready");
        fixture.ledger.ignore(BTreeSet::new());
        assert_eq!(fixture.ledger.settled("m"), None);
    }

    #[test]
    fn what_an_earlier_change_left_undone_is_not_waited_for() {
        let mut fixture = Fixture::new();
        let [at_20, at_25, at_30] = [20, 25, 30].map(|at| fixture.at(at));
        let ledger = &mut fixture.ledger;
        ledger.seen("m", shares(&[("a", 4), ("b", 0)]), Look::Answered, at_20);
        ledger.arrived("m", "a", 4, at_20);
        assert_eq!(ledger.give_up(at_20).len(), 1, "b still holds one");
        ledger.begin("m", 5, at_25);
        ledger.seen("m", shares(&[("a", 5), ("b", 0)]), Look::Answered, at_25);
        ledger.arrived("m", "a", 5, at_30);
        assert_eq!(ledger.take_done()[0].arrived, Some(at_30));
    }

    #[test]
    fn what_never_arrives_has_an_age() {
        let mut fixture = Fixture::new();
        let at_60 = fixture.at(60);
        assert_eq!(fixture.ledger.give_up(at_60), [Duration::from_millis(50)]);
        assert_eq!(fixture.ledger.under_way(), 0);
    }
}
