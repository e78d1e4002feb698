//! What each target needs of an object.

use super::assign::Assigned;
use super::judge::{Wanted, fit, is_settled};
use super::listing::Listed;
use super::naming::How;
use super::round::{Needed, REPORT_EVERY, Round, Scope};
use super::rows::{Held, Row};
use super::target::Target;
use super::types::MirrorEvent;
use crate::ObjectFailure;
use crate::state::{Fit, StateEntry};
use crate::transfer::put_away::Leaving;

impl Round<'_> {
    pub(super) async fn look_at(&mut self, row: Row) {
        match row.source {
            Some(listed) if self.options.filter.keeps(listed.source_key()) => self.compare(listed, row.targets).await,
            Some(_) => self.leave(&row.key, row.targets, false).await,
            None => {
                let is_wanted = !self.options.sources_of(&row.key).is_empty();
                self.leave(&row.key, row.targets, is_wanted).await;
            }
        }
    }

    /// What is known of an object stays so: it is looked at again.
    pub(super) async fn not_looked_at(&mut self, failure: ObjectFailure) {
        for target in &mut self.targets {
            let remembered = target.recall(&failure.key, &|_| Fit::Stale).await;
            target.carry(&failure.key, remembered);
        }
        self.source_failed(failure);
    }

    async fn compare(&mut self, listed: Listed, targets: Vec<Option<Held>>) {
        let object = &listed.object;
        self.report.compared += 1;
        self.report.compared_bytes += object.size;
        if self.report.compared.is_multiple_of(REPORT_EVERY) {
            (self.shared.progress)(MirrorEvent::Compared(REPORT_EVERY));
        }
        let in_bounds = self.options.is_in_bounds(&listed);
        let naming = self.naming.clone();
        let wanted = Wanted { in_dataset: self.options.dataset.is_some(), made_by: naming.made_by(&listed.how) };
        let (assigned, recalled) = self.share_out(&listed, &targets, wanted).await;
        let mut recalled = recalled.into_iter();
        let (mut needed_by, mut rows) = (Vec::new(), None);
        for (index, held) in targets.into_iter().enumerate() {
            let target = &mut self.targets[index];
            let mut remembered = if let Some(remembered) = recalled.next() {
                remembered
            } else {
                let there = held.as_ref().and_then(Held::object);
                target.recall(&object.key, &|entry| fit((Some(object), wanted), there, entry)).await
            };
            if !assigned.is_for(index) {
                self.leave_to(assigned, index, &object.key, held, remembered);
                continue;
            }
            let is_needed = match &held {
                // What it holds is not known.
                None => false,
                Some(Held::Nothing) => true,
                Some(Held::Object(held)) => {
                    target.surplus.shared();
                    !is_settled(object, held, remembered.as_ref(), wanted)
                }
            };
            let made = remembered.as_ref().and_then(|entry| entry.made.as_ref());
            let had_dead_letters = made.is_some_and(|made| made.rows.rejected > 0);
            if let (false, Some(made)) = (is_needed, made) {
                rows = Some(made.rows.clone());
            }
            match &held {
                Some(Held::Object(held)) if !is_needed && remembered.is_none() => target.found(object, held),
                _ if !in_bounds || !is_needed => target.carry(&object.key, remembered.take()),
                _ => {}
            }
            let Some(held) = held else { continue };
            if !is_needed {
                target.report.settled += 1;
                target.report.settled_bytes += if let Held::Object(held) = &held { held.size } else { 0 };
            } else if in_bounds && !target.is_given_up() {
                let leaving = self.leaving(index, Some(&held), remembered.as_ref());
                let had_some = matches!(held, Held::Object(_)) || remembered.is_some();
                self.targets[index].loses |= had_some && leaving.is_none();
                let condition = held.still();
                needed_by.push(Needed { target: index, condition, had_dead_letters, remembered, leaving });
            }
        }
        // Of one that is read for who is set aside alone, nobody else counts the rows.
        if let (Some(rows), true) = (rows, needed_by.iter().all(|needed| self.targets[needed.target].is_set_aside())) {
            self.report.rows.add(&rows);
        }
        match &listed.how {
            _ if needed_by.is_empty() => {}
            How::Refused(why) => self.refuse(&listed, why, needed_by),
            How::Whole | How::Piece(_) => self.copy(listed, needed_by),
        }
    }

    /// Which targets are to hold the object, and what is remembered of it at each, where that had to be looked at.
    async fn share_out(
        &mut self,
        listed: &Listed,
        held: &[Option<Held>],
        wanted: Wanted<'_>,
    ) -> (Assigned, Vec<Option<StateEntry>>) {
        if self.options.sharding.is_none() {
            return (Assigned::All, Vec::new());
        }
        let object = &listed.object;
        let mut remembered = Vec::with_capacity(held.len());
        for (target, held) in self.targets.iter_mut().zip(held) {
            let there = held.as_ref().and_then(Held::object);
            let fits = |entry: &StateEntry| fit((Some(object), wanted), there, entry);
            remembered.push(target.recall(&object.key, &fits).await);
        }
        if !self.options.is_in_bounds(listed) {
            return (Assigned::Unknown, remembered);
        }
        let is_known = |(target, held): (&Target, &Option<Held>)| !target.is_given_up() && held.is_some();
        let all_known = self.targets.iter().zip(held).all(is_known);
        let holds = |index: &usize| matches!(held[*index], Some(Held::Object(_))) && remembered[*index].is_some();
        let holders: Vec<_> = (0..held.len()).filter(holds).collect();
        (self.assignment.of(&object.key, object.size, (&holders, all_known)), remembered)
    }

    /// The source does not have it, or it is not to be copied.
    async fn leave(&mut self, key: &str, targets: Vec<Option<Held>>, is_wanted: bool) {
        if self.scope == Scope::Range {
            return;
        }
        for (index, held) in targets.into_iter().enumerate() {
            let there = held.as_ref().and_then(Held::object);
            let fits = |entry: &StateEntry| fit((None, Wanted::default()), there, entry);
            let mut remembered = self.targets[index].recall(key, &fits).await;
            let leaving = self.leaving(index, held.as_ref(), remembered.as_ref());
            let target = &mut self.targets[index];
            target.loses |= held.is_some() && remembered.is_some() && leaving.is_none();
            let is_unknown = held.is_none() && target.manner.keeps_versions;
            match held {
                Some(Held::Object(held)) if is_wanted => target.surplus.add(key.to_owned(), held.etag),
                Some(_) if is_wanted || leaving.is_some() => {}
                // For a pass with another filter, or that can list it; a dataset is what its own filter keeps.
                _ => {
                    let stays = is_wanted || is_unknown || self.options.dataset.is_none();
                    target.carry(key, remembered.take().filter(|_| stays));
                }
            }
            if let Some(leaving) = leaving {
                self.begin_to_put_away(index, key, remembered, leaving);
            }
        }
    }

    /// Another target is to hold the object, or it is not known which.
    fn leave_to(
        &mut self,
        assigned: Assigned,
        index: usize,
        key: &str,
        held: Option<Held>,
        remembered: Option<StateEntry>,
    ) {
        if self.scope == Scope::Range {
            return;
        }
        let leaving = self.leaving(index, held.as_ref(), remembered.as_ref());
        let target = &mut self.targets[index];
        match (assigned, held) {
            (Assigned::To(other), Some(Held::Object(held))) => {
                target.surplus.add_moved(key.to_owned(), held.etag, other);
                if let Some(leaving) = leaving {
                    self.begin_to_put_away(index, key, remembered, leaving);
                }
            }
            (Assigned::To(_), Some(Held::Nothing)) => {}
            _ => target.carry(key, remembered),
        }
    }

    /// What must be put away of an object that a target holds before it is no more remembered.
    fn leaving(&self, index: usize, held: Option<&Held>, remembered: Option<&StateEntry>) -> Option<Leaving> {
        let Some(Held::Object(held)) = held else { return None };
        self.targets[index].content_of(self.options.dataset.as_ref(), held, remembered)
    }
}
