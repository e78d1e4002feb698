//! Which objects of a target may be removed: pure.

/// Objects beyond so many wait for another round: to remember more would take memory without a bound.
const MOST_REMEMBERED: usize = 100_000;

/// The largest share of a target's objects that a pass removes, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MostDeleted(u8);

impl MostDeleted {
    /// A share of at most 100 percent; more is taken as 100.
    #[must_use]
    pub fn percent(percent: u8) -> Self {
        Self(percent.min(100))
    }

    fn allows(self, surplus: u64, held: u64) -> bool {
        // In u128 no number of objects overflows.
        u128::from(surplus) * 100 <= u128::from(held) * u128::from(self.0)
    }
}

impl Default for MostDeleted {
    /// A tenth.
    fn default() -> Self {
        Self(10)
    }
}

/// What a target holds that the source does not, while the listings go on.
#[derive(Debug, Default)]
pub(crate) struct Surplus {
    held: u64,
    count: u64,
    moved: u64,
    /// Objects that were removed since all of them were last looked at.
    removed: u64,
    /// Of `count`, those that are no loss.
    spared: u64,
    objects: Vec<SurplusObject>,
}

/// An object that a target is not to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SurplusObject {
    pub(crate) key: String,
    /// What names its version.
    pub(crate) etag: String,
    /// The target that holds it instead; `None` for one that the source does not have.
    pub(crate) moved_to: Option<usize>,
}

/// What is to be done with it once both listings have ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Remove these, each after a last look; so many more wait for another round.
    Remove { objects: Vec<SurplusObject>, left: u64 },
    /// More than may be removed: nothing is.
    TooMany { surplus: u64, held: u64 },
}

impl Surplus {
    /// Of a target of which only some objects are looked at: so many others it holds, and so many were removed before, in turns like
    /// this one: many small losses are no smaller than a large one.
    pub(crate) fn among(others: u64, removed: u64) -> Self {
        Self { held: others + removed, removed, ..Self::default() }
    }

    /// The target holds an object, which the source has too.
    pub(crate) fn shared(&mut self) {
        self.held += 1;
    }

    /// The target holds an object that the source does not have.
    pub(crate) fn add(&mut self, key: String, etag: String) {
        self.held += 1;
        self.count += 1;
        self.remember(SurplusObject { key, etag, moved_to: None });
    }

    /// The target holds an object that another target is to hold.
    pub(crate) fn add_moved(&mut self, key: String, etag: String, to: usize) {
        self.held += 1;
        self.moved += 1;
        self.remember(SurplusObject { key, etag, moved_to: Some(to) });
    }

    /// The keys of those that the source does not have, as far as they are remembered.
    pub(crate) fn lost(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().filter(|object| object.moved_to.is_none()).map(|object| object.key.as_str())
    }

    /// So many of those are no loss, and do not count for the share.
    pub(crate) fn spare(&mut self, objects: u64) {
        self.spared = objects.min(self.count);
    }

    fn remember(&mut self, object: SurplusObject) {
        if self.objects.len() < MOST_REMEMBERED {
            self.objects.push(object);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// To be asked only when both listings have ended whole. What moved is no loss, and does not count for the share.
    pub(crate) fn removal(self, most: MostDeleted) -> Removal {
        let lost = self.count - self.spared;
        if lost > 0 && !most.allows(lost + self.removed, self.held) {
            return Removal::TooMany { surplus: lost, held: self.held };
        }
        let left = self.count + self.moved - self.objects.len() as u64;
        Removal::Remove { objects: self.objects, left }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_REMEMBERED, MostDeleted, Removal, Surplus};

    fn surplus(shared: u64, extra: u64) -> Surplus {
        let mut surplus = Surplus::default();
        (0..shared).for_each(|_| surplus.shared());
        (0..extra).for_each(|number| surplus.add(number.to_string(), String::new()));
        surplus
    }

    #[test]
    fn a_tenth_may_go_and_not_one_more() {
        let most = MostDeleted::default();
        assert!(matches!(surplus(90, 10).removal(most), Removal::Remove { objects, left: 0 } if objects.len() == 10));
        assert_eq!(surplus(89, 11).removal(most), Removal::TooMany { surplus: 11, held: 100 });
        assert_eq!(surplus(0, 1).removal(most), Removal::TooMany { surplus: 1, held: 1 }, "an empty source");
        assert!(matches!(surplus(0, 1).removal(MostDeleted::percent(200)), Removal::Remove { .. }));
        assert_eq!(surplus(5, 0).removal(most), Removal::Remove { objects: vec![], left: 0 });
    }

    #[test]
    fn what_goes_little_by_little_is_counted_together() {
        let removal = |removed: u64| {
            let mut surplus = Surplus::among(99 - removed, removed);
            surplus.add("one".to_owned(), String::new());
            surplus.removal(MostDeleted::default())
        };
        assert!(matches!(removal(9), Removal::Remove { objects, left: 0 } if objects.len() == 1));
        assert_eq!(removal(10), Removal::TooMany { surplus: 1, held: 100 });
        let none = Surplus::among(0, 10).removal(MostDeleted::default());
        assert!(matches!(none, Removal::Remove { .. }), "nothing is to go");
    }

    #[test]
    fn what_moved_is_no_loss() {
        let mut surplus = surplus(1, 0);
        (0..9).for_each(|number| surplus.add_moved(number.to_string(), String::new(), 1));
        assert_eq!((surplus.count(), surplus.moved()), (0, 9));
        let removal = surplus.removal(MostDeleted::default());
        assert!(matches!(removal, Removal::Remove { objects, left: 0 } if objects.len() == 9));
    }

    #[test]
    fn what_is_cut_anew_is_no_loss() {
        let mut surplus = surplus(1, 9);
        surplus.spare(9);
        let removal = surplus.removal(MostDeleted::percent(0));
        assert!(matches!(removal, Removal::Remove { objects, left: 0 } if objects.len() == 9));
    }

    #[test]
    fn what_is_not_remembered_is_counted() {
        let extra = MOST_REMEMBERED as u64 + 7;
        let removal = surplus(0, extra).removal(MostDeleted::percent(100));
        assert!(matches!(removal, Removal::Remove { objects, left: 7 } if objects.len() == MOST_REMEMBERED));
    }
}
