//! One walk over all keys: compares, copies what differs, several objects at once, and removes at the end.

use std::sync::Arc;

use futures::future::join_all;
use skyfleet_transform::{Format, Outcome};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::aside::{Aside, stops};
use super::assign::Assignment;
use super::changed::{Looks, Origins};
use super::hand_over::Budget;
use super::keeping::PutAway;
use super::listing::Listed;
use super::naming::{How, Naming};
use super::publish::publish_everywhere;
use super::remove::remove_surplus;
use super::rows::{Found, Listings, Rows, Stopped};
use super::slots::{Order, Slots, slots};
use super::target::Target;
use super::types::{Deletion, MirrorEvent, MirrorOptions, MirrorProgress, MirrorReport, TargetError};
use crate::state::StateEntry;
use crate::transfer::made::{Making, Unmade, make_object};
use crate::transfer::put_away::{Leaving, Turns, put_away};
use crate::transfer::{Destination, SourceRead, Stop, Transfer, copy_object};
use crate::{Condition, KeyRange, MirrorError, ObjectSummary, Replica, StoreError};

/// Objects between two reports of how many were compared.
pub(super) const REPORT_EVERY: u64 = 1000;

/// What all tasks share.
pub(super) struct Shared {
    pub(super) source: Replica,
    pub(super) transfer: Transfer,
    /// Where objects are not copied as they are.
    pub(super) making: Option<Making>,
    pub(super) turns: Arc<Turns>,
    pub(super) progress: MirrorProgress,
}

pub(super) struct Round<'a> {
    pub(super) shared: Arc<Shared>,
    pub(super) options: &'a MirrorOptions,
    pub(super) targets: Vec<Target>,
    pub(super) report: MirrorReport,
    pub(super) assignment: Assignment,
    pub(super) scope: Scope,
    pub(super) naming: Arc<Naming>,
    /// The object that was paid for last to be looked through before it is cut.
    scanned: Option<String>,
    /// The one that was handed over last so.
    told: Option<String>,
    pub(super) budget: &'a mut Budget,
    pub(super) running: JoinSet<Done>,
    /// Where each object has one target.
    pub(super) slots: Option<Slots<Order>>,
    /// Where targets may be set aside.
    pub(super) aside: Option<Aside>,
    pub(super) stops: Vec<Stop>,
    /// Every further read would meet the same error.
    pub(super) source_is_lost: Option<StoreError>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything.
    All,
    /// Some objects.
    Some,
    /// What has keys in a range: it is copied, and all else is for who looks at everything.
    Range,
}

/// Of which rows the share of rejected ones is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Share {
    /// So far, in the middle of a pass: few rows say nothing.
    SoFar,
    OfAll,
}

pub(super) enum Ended {
    Whole(Box<MirrorReport>),
    Unordered(usize),
}

/// A target that needs an object.
pub(super) struct Needed {
    pub(super) target: usize,
    /// As what it was seen to be.
    pub(super) condition: Condition,
    /// Whether records of an earlier version of it lie there that could not be transformed.
    pub(super) had_dead_letters: bool,
    /// What is remembered of what it has now.
    pub(super) remembered: Option<StateEntry>,
    /// What must be put away first.
    pub(super) leaving: Option<Leaving>,
}

/// What was done with one object.
pub(super) enum Done {
    Copied(Attempted),
    PutAway(PutAway),
}

/// How one object went.
pub(super) struct Attempted {
    pub(super) object: ObjectSummary,
    /// The key that it has at the source.
    pub(super) source_key: String,
    pub(super) how: How,
    /// The targets, in the order of the copies.
    pub(super) indices: Vec<usize>,
    pub(super) ways: Vec<Way>,
    /// At which of them it was not to be written, since what it has now could not be put away.
    pub(super) refusals: Vec<Option<StoreError>>,
    /// How the others went, in their order.
    pub(super) outcome: Result<SourceRead, StoreError>,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        source: Replica,
        targets: Vec<Target>,
        (options, assignment): (&'a MirrorOptions, Assignment),
        budget: &'a mut Budget,
        cancel: CancellationToken,
        progress: MirrorProgress,
    ) -> Self {
        let transfer = Transfer::new(options.limits, options.verification, cancel).within(options.source_limits);
        let transfer = if options.dataset.is_some() { transfer.with_sha256() } else { transfer };
        let naming = Arc::new(options.naming());
        let stops = stops(targets.len(), &transfer.cancel);
        let (transfer, aside) = Aside::of(options, targets.len(), transfer);
        let turns = Arc::<Turns>::default();
        let aside = aside.map(|(patience, waits, transfer)| {
            let (source, turns, progress) = (source.clone(), turns.clone(), progress.clone());
            let making = Making::of(options, naming.clone()).map(Making::aside);
            let shared = Arc::new(Shared { source, transfer, making, turns, progress });
            Aside::new(patience, waits, shared, targets.len())
        });
        let making = Making::of(options, naming.clone());
        Self {
            shared: Arc::new(Shared { source, transfer, making, turns, progress }),
            aside,
            stops,
            slots: slots(options, targets.len()),
            options,
            targets,
            report: MirrorReport::default(),
            assignment,
            scope: Scope::All,
            naming,
            scanned: None,
            told: None,
            budget,
            running: JoinSet::new(),
            source_is_lost: None,
        }
    }

    /// Looks at everything.
    pub(super) async fn run(mut self, sorted: &[bool]) -> Result<Ended, MirrorError> {
        self.set_aside_who_was_slow();
        self.run_within(&KeyRange::default(), sorted).await
    }

    /// Looks at what has keys in a range, and only copies.
    pub(super) async fn run_in(self, range: &KeyRange, sorted: &[bool]) -> Result<Ended, MirrorError> {
        Self { scope: Scope::Range, ..self }.run_within(range, sorted).await
    }

    async fn run_within(self, range: &KeyRange, sorted: &[bool]) -> Result<Ended, MirrorError> {
        let replicas: Vec<_> = self.targets.iter().map(|target| target.replica.clone()).collect();
        let Shared { source, transfer, .. } = &*self.shared;
        let listings = Listings::start(source, &replicas, (&self.naming, range), sorted, &transfer.cancel);
        self.run_over(Rows::Listings(Box::new(listings))).await
    }

    /// Looks at these objects only. What else the targets hold stays, and no manifest is published.
    pub(super) async fn run_for(self, origins: Origins) -> Result<MirrorReport, MirrorError> {
        let replicas: Vec<_> = self.targets.iter().map(|target| target.replica.clone()).collect();
        let Shared { source, transfer, .. } = &*self.shared;
        let looks = Looks::start(source, &replicas, origins, &self.naming, &transfer.cancel);
        match (Self { scope: Scope::Some, ..self }).run_over(Rows::Looks(looks)).await? {
            Ended::Whole(report) => Ok(*report),
            // What is asked for by its key comes in the order of keys.
            Ended::Unordered(_) => Ok(MirrorReport::default()),
        }
    }

    async fn run_over(mut self, mut rows: Rows) -> Result<Ended, MirrorError> {
        let stopped = self.walk(&mut rows).await.err();
        if stopped.is_some() {
            for target in 0..self.targets.len() {
                self.drop_waiting(target);
            }
        }
        while self.take_next().await {
            self.write().await;
        }
        for (target, failure) in self.targets.iter().zip(rows.failures()) {
            if let Some(error) = failure {
                target.give_up(error);
            }
        }
        let cancelled = self.shared.transfer.cancel.is_cancelled();
        let rejected = self.too_many_rejected(Share::OfAll);
        let is_whole = stopped.is_none() && !cancelled && self.source_is_lost.is_none() && rejected.is_none();
        // Those that are set aside come last: nobody waits for them.
        for target in self.targets.iter_mut().filter(|target| !target.is_set_aside()) {
            target.keep(is_whole).await;
        }
        if is_whole {
            if self.scope == Scope::All {
                self.sweep().await;
                publish_everywhere(&mut self).await;
            }
            if self.scope != Scope::Range {
                remove_surplus(&mut self).await;
            }
        }
        self.end_aside(is_whole).await;
        let report = self.end();
        match stopped {
            _ if cancelled => Err(MirrorError::Cancelled),
            Some(Stopped::Source(error)) => Err(MirrorError::of_source(error)),
            Some(Stopped::Unordered(side)) => Ok(Ended::Unordered(side)),
            None if rejected.is_some() => rejected.map_or(Err(MirrorError::Cancelled), Err),
            None => match report {
                Ok(report) => Ok(Ended::Whole(Box::new(report))),
                Err(error) => Err(MirrorError::of_source(error)),
            },
        }
    }

    async fn walk(&mut self, rows: &mut Rows) -> Result<(), Stopped> {
        while self.goes_on() {
            while self.running.len() >= self.shared.transfer.limits.objects.max(1) || self.is_held_up() {
                if !self.take_next().await {
                    break;
                }
                self.write().await;
            }
            self.take_ended();
            self.write().await;
            match rows.next().await? {
                Some(Found::Row(row)) => self.look_at(row).await,
                Some(Found::Unread(failure)) => self.not_looked_at(failure).await,
                None => break,
            }
        }
        Ok(())
    }

    /// Whether any further object may be begun.
    pub(super) fn goes_on(&self) -> bool {
        self.source_is_lost.is_none()
            && self.too_many_rejected(Share::SoFar).is_none()
            && self.targets.iter().any(|target| !target.is_given_up())
    }

    /// Why the dataset must not be named: too many of its records could not be transformed.
    fn too_many_rejected(&self, share: Share) -> Option<MirrorError> {
        let limits = self.options.transforming.as_ref()?.limits;
        let Outcome { rejected, rows_read: read, .. } = self.report.rows;
        let percent = limits.most_rejected_percent;
        // Of a part of them, a share says nothing.
        if self.scope == Scope::Range && percent > 0 {
            return None;
        }
        let exceeds = match share {
            Share::SoFar if percent > 0 => limits.exceeds_already(rejected, read),
            Share::SoFar | Share::OfAll => limits.exceeds(rejected, read),
        };
        exceeds.then_some(MirrorError::TooManyRejected { rejected, read, percent })
    }

    /// Writes what is ready of what is remembered.
    async fn write(&mut self) {
        for target in &mut self.targets {
            target.write().await;
        }
    }

    /// Throws away what is left of large objects that are not at the source any more.
    async fn sweep(&self) {
        if self.options.dry_run {
            return;
        }
        // Of an object that was left, a journal may be there that nobody has looked at.
        let is_looked_at = |target: &&Target| !target.is_given_up() && target.report.lacks_nothing();
        for target in self.targets.iter().filter(is_looked_at) {
            if let Some(journals) = &target.journals {
                journals.sweep(&self.shared.transfer.cancel).await;
            }
        }
    }

    /// Begins to copy an object to the targets that need it.
    pub(super) fn copy(&mut self, listed: Listed, needed_by: Vec<Needed>) {
        let looked_through = self.looked_through(&listed);
        let Listed { object, source_key, how } = listed;
        let bytes = object.size + looked_through;
        if !self.budget.allowance.allows(bytes) {
            // Whoever has its first piece looks it through for the others too.
            let is_told = looked_through > 0 && self.told == source_key;
            if looked_through > 0 {
                self.told = source_key;
            }
            let bytes = if is_told { object.size } else { bytes };
            return self.hand_over(object, bytes, needed_by);
        }
        let is_slow = |needed: &Needed| self.targets[needed.target].is_set_aside();
        let (slow, needed_by): (Vec<_>, Vec<_>) = needed_by.into_iter().partition(is_slow);
        for needed in slow {
            self.copy_aside(&object, (source_key.as_deref().unwrap_or(&object.key), &how), needed);
        }
        if needed_by.is_empty() {
            return;
        }
        let indices: Vec<_> = needed_by.iter().map(|needed| needed.target).collect();
        if let Err(cost) = self.budget.spending.reserve(bytes) {
            self.report.left.add(object.size, cost);
            for Needed { target, remembered, .. } in needed_by {
                self.targets[target].report.left.add(object.size, cost);
                self.targets[target].carry(&object.key, remembered);
            }
            return;
        }
        self.budget.allowance.take(bytes);
        self.report.source_bytes += bytes;
        if looked_through > 0 {
            self.scanned.clone_from(&source_key);
        }
        for target in &indices {
            let (key, bytes, modified) = (object.key.clone(), object.size, object.modified);
            (self.shared.progress)(MirrorEvent::Differs { target: *target, key, bytes, modified });
        }
        if self.options.dry_run {
            for index in indices {
                let report = &mut self.targets[index].report;
                report.copied += 1;
                report.copied_bytes += object.size;
            }
            return;
        }
        let ways: Vec<_> = needed_by.into_iter().map(|needed| self.way(&object.key, needed)).collect();
        let source_key = source_key.unwrap_or_else(|| object.key.clone());
        self.begin(Order { object, source_key, how, indices, ways });
    }

    /// How an object gets to a target that expects it from now on.
    pub(super) fn way(&mut self, key: &str, needed: Needed) -> Way {
        let Needed { target, condition, had_dead_letters, remembered, leaving } = needed;
        let stop = self.stops[target].clone();
        let target = &mut self.targets[target];
        target.puts_away |= leaving.is_some();
        target.expect(key, remembered);
        let Target { replica, journals, .. } = target;
        let (store, key, journals) = (replica.store.clone(), replica.key(key), journals.clone());
        Way { destination: Destination { store, key, condition, journals, stop }, had_dead_letters, leaving }
    }

    /// Leaves an object to others. What is known of what the targets have of it stays so.
    fn hand_over(&mut self, object: ObjectSummary, bytes: u64, needed_by: Vec<Needed>) {
        let ObjectSummary { key, modified, .. } = object;
        self.report.handed_over.add(bytes);
        let targets = needed_by.iter().map(|needed| needed.target).collect();
        for Needed { target, remembered, .. } in needed_by {
            let target = &mut self.targets[target];
            target.report.handed_over.add(bytes);
            target.carry(&key, remembered);
        }
        (self.shared.progress)(MirrorEvent::HandedOver { key, bytes, modified, targets });
    }

    /// Bytes that are read beside an object's own: CSV is looked through once before its first piece is read.
    fn looked_through(&self, listed: &Listed) -> u64 {
        match &listed.how {
            How::Piece(cut) if cut.format == Format::Csv && self.scanned != listed.source_key => cut.whole,
            _ => 0,
        }
    }

    /// The error is that of a source that was lost on the way.
    fn end(mut self) -> Result<MirrorReport, StoreError> {
        (self.shared.progress)(MirrorEvent::Compared(self.report.compared % REPORT_EVERY));
        self.report.targets = self.targets.into_iter().map(Target::end).collect();
        if self.report.source_failures > 0 && self.options.deletion != Deletion::Never {
            for target in &mut self.report.targets {
                target.error.get_or_insert(TargetError::SourceIncomplete);
            }
        }
        match self.source_is_lost {
            Some(error) => Err(error),
            None => Ok(self.report),
        }
    }
}

/// How an object gets to a target.
pub(super) struct Way {
    pub(super) destination: Destination,
    had_dead_letters: bool,
    leaving: Option<Leaving>,
}

pub(super) async fn attempt(shared: &Shared, order: Order) -> Attempted {
    let Order { object, source_key, how, indices, ways } = order;
    let refusals = put_away_first(shared, &ways).await;
    let open = || ways.iter().zip(&indices).zip(&refusals).filter(|(_, refusal)| refusal.is_none());
    let destinations: Vec<_> = open().map(|((way, _), _)| way.destination.clone()).collect();
    let targets: Vec<_> = open().map(|((_, index), _)| *index).collect();
    let had_dead_letters = open().map(|((way, _), _)| way.had_dead_letters).collect();
    let sent = |index: usize, bytes| (shared.progress)(MirrorEvent::Sent { target: targets[index], bytes });
    let Shared { source, transfer, making, .. } = shared;
    let outcome = match making {
        _ if destinations.is_empty() => Ok(SourceRead::Whole(Vec::new())),
        Some(making) if making.makes(&how) => {
            let unmade = Unmade { key: source_key.clone(), how: how.clone(), had_dead_letters };
            make_object(source, (&object, &unmade), &destinations, (making, transfer), sent).await
        }
        _ => copy_object(source, &object, &destinations, transfer, sent).await,
    };
    Attempted { object, source_key, how, indices, ways, refusals, outcome }
}

/// Puts away what each target has now, where that is to be kept: why it may not be overwritten there.
async fn put_away_first(shared: &Shared, ways: &[Way]) -> Vec<Option<StoreError>> {
    let put = |way: &Way| {
        let (store, leaving) = (way.destination.store.clone(), way.leaving.clone());
        async move { put_away(&store, &leaving?, &shared.turns, &shared.transfer).await.err() }
    };
    join_all(ways.iter().map(put)).await
}
