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
    /// What members shall hold, as the hub's status says: for a while more than is wanted, where some wait for others.
    decided: Shares,
    /// Replicas that the hub's status gives places to.
    placed: i64,
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
    /// The version of the object that has it, once the hub has answered.
    version: Option<u64>,
    /// Whether the hub's status has it.
    decided: bool,
    /// The last object that is different for it.
    arrived: Option<Instant>,
}

/// A change that has reached every member it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) name: String,
    pub(crate) sent: Instant,
    /// The version of the object that had it.
    pub(crate) version: Option<u64>,
    /// When the last member had it; `None` when no member that answers was concerned.
    pub(crate) arrived: Option<Instant>,
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
        Some(model.placed)
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
        model.change = Some(Change {
            wanted,
            before: model.decided.clone(),
            sent: at,
            version: None,
            decided: false,
            arrived: None,
        });
    }

    /// The hub has taken the change, and this version of the object has it.
    pub(crate) fn accepted(&mut self, name: &str, version: Option<u64>) {
        if let Some(change) = self.models.get_mut(name).and_then(|model| model.change.as_mut()) {
            change.version = version;
        }
    }

    /// The change was refused: it is not waited for.
    pub(crate) fn forget(&mut self, name: &str) {
        if let Some(model) = self.models.get_mut(name) {
            model.change = None;
        }
    }

    /// The hub's status was seen: what each member shall hold, and how many replicas have places.
    pub(crate) fn seen(&mut self, name: &str, decided: Shares, placed: i64, look: Look) {
        let model = self.models.entry(name.to_owned()).or_default();
        model.look = look;
        (model.decided, model.placed) = (decided, placed);
        if let Some(change) = model.change.as_mut().filter(|change| change.wanted == placed) {
            change.decided = true;
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
        let Some(Change { decided: true, before, .. }) = &model.change else { return };
        let share = |shares: &Shares, member: &str| shares.get(member).copied().unwrap_or(0);
        let concerned = |member: &str| share(before, member) != share(&model.decided, member);
        let members = model.decided.keys().chain(before.keys());
        let told = members
            .filter(|member| concerned(member) && !self.silent.contains(*member))
            .all(|member| share(&model.decided, member) == share(&model.held, member));
        if !told {
            return;
        }
        if let Some(Change { sent, version, arrived, .. }) = model.change.take() {
            self.done.push(Done { name: name.to_owned(), sent, version, arrived });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(pairs: &[(&str, i64)]) -> Shares {
        pairs.iter().map(|(member, replicas)| ((*member).to_owned(), *replicas)).collect()
    }

    /// A ledger in which a fourth replica is asked for of a ModelDeployment with two in `a` and one in `b`, at the second 10.
    fn changed() -> (Ledger, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let at = move |second| start + Duration::from_secs(second);
        let mut ledger = Ledger::default();
        ledger.arrived("m", "a", 2, at(1));
        ledger.arrived("m", "b", 1, at(1));
        ledger.seen("m", shares(&[("a", 2), ("b", 1)]), 3, Look::Ready);
        assert_eq!((ledger.settled("m"), ledger.count_settled()), (Some(3), 1));
        ledger.begin("m", 4, at(10));
        (ledger, at)
    }

    fn done(sent: Instant, arrived: Option<Instant>) -> Vec<Done> {
        vec![Done { name: "m".to_owned(), sent, version: None, arrived }]
    }

    #[test]
    fn a_change_is_done_when_the_last_member_was_told() {
        let (mut ledger, at) = changed();
        assert_eq!(ledger.settled("m"), None);
        ledger.seen("m", shares(&[("a", 2), ("b", 1)]), 3, Look::Ready);
        ledger.seen("m", shares(&[("a", 1), ("b", 3)]), 4, Look::Answered);
        ledger.arrived("m", "b", 3, at(25));
        assert_eq!((ledger.under_way(), ledger.take_done()), (1, vec![]));
        ledger.arrived("m", "a", 1, at(30));
        assert_eq!((ledger.under_way(), ledger.take_done()), (0, done(at(10), Some(at(30)))));
    }

    #[test]
    fn an_object_may_be_seen_before_its_decision() {
        let (mut ledger, at) = changed();
        ledger.arrived("m", "b", 2, at(20));
        ledger.seen("m", shares(&[("a", 2), ("b", 2)]), 4, Look::Answered);
        assert_eq!(ledger.take_done(), done(at(10), Some(at(20))));
    }

    #[test]
    fn a_silent_member_is_not_waited_for_and_gives_no_time() {
        let (mut ledger, at) = changed();
        ledger.ignore(BTreeSet::from(["b".to_owned()]));
        ledger.seen("m", shares(&[("a", 2), ("b", 2)]), 4, Look::Answered);
        assert_eq!(ledger.take_done(), done(at(10), None));
        assert_eq!(ledger.settled("m"), Some(4), "it will not be Ready");
        ledger.ignore(BTreeSet::new());
        assert_eq!(ledger.settled("m"), None);
    }

    #[test]
    fn what_is_kept_until_others_serve_is_told_too() {
        let (mut ledger, at) = changed();
        ledger.seen("m", shares(&[("a", 3), ("b", 2)]), 4, Look::Answered);
        ledger.arrived("m", "a", 3, at(20));
        assert_eq!(ledger.under_way(), 1);
        ledger.arrived("m", "b", 2, at(21));
        assert_eq!((ledger.take_done(), ledger.settled("m")), (done(at(10), Some(at(21))), None));
    }

    #[test]
    fn what_an_earlier_change_left_undone_is_not_waited_for() {
        let (mut ledger, at) = changed();
        ledger.seen("m", shares(&[("a", 4), ("b", 0)]), 4, Look::Answered);
        ledger.arrived("m", "a", 4, at(20));
        assert_eq!(ledger.give_up(at(21)), [Duration::from_secs(11)], "b still holds one");
        ledger.begin("m", 5, at(25));
        ledger.seen("m", shares(&[("a", 5), ("b", 0)]), 5, Look::Answered);
        ledger.arrived("m", "a", 5, at(30));
        assert_eq!((ledger.under_way(), ledger.take_done()), (0, done(at(25), Some(at(30)))));
    }
}
