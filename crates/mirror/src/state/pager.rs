//! Fills the pages of a pass from what those of the last one say and what is copied now: pure.
//!
//! Pages end where they ended before, so that a change rewrites the page it is on and a pass that changes nothing rewrites none.
//! One that has grown too long is split in half, and one that has shrunk to an eighth of that goes together with the next.

use std::collections::BTreeMap;

use super::index::PageRef;
use super::page::StateEntry;

/// Pages under way.
#[derive(Debug)]
pub(super) struct Pager {
    /// Records of a page at most.
    most: usize,
    /// In the order of keys. `None` for one that is not written yet, or has nothing to say.
    pages: Vec<Option<PageRef>>,
    /// Those that nothing is added to any more and that are not written yet, by their place among all.
    closed: BTreeMap<usize, Closed>,
    open: Vec<Slot>,
    /// The page of the last pass that the open one repeats so far.
    repeats: Option<PageRef>,
}

#[derive(Debug)]
struct Closed {
    slots: Vec<Slot>,
    awaited: usize,
}

#[derive(Debug)]
struct Slot {
    key: String,
    entry: Entry,
}

#[derive(Debug)]
enum Entry {
    Known(StateEntry),
    /// Its object is being copied. What was known of the one that it takes the place of holds until then.
    Awaited(Option<StateEntry>),
    Nothing,
}

/// A page, as far as it is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Page<'a> {
    Written(&'a PageRef),
    Unwritten(Vec<(&'a str, &'a StateEntry)>),
}

impl Pager {
    pub(super) fn new(most: usize) -> Self {
        Self { most, pages: Vec::new(), closed: BTreeMap::new(), open: Vec::new(), repeats: None }
    }

    /// A page of the last pass begins.
    pub(super) fn begin(&mut self, page: &PageRef) {
        self.repeats = (self.open.is_empty() && page.from.is_none()).then(|| page.clone());
    }

    /// What was known still holds.
    pub(super) fn carry(&mut self, key: String, entry: StateEntry) {
        self.push(key, Entry::Known(entry));
    }

    /// What was not known of an object here is known now.
    pub(super) fn renew(&mut self, key: String, entry: StateEntry) {
        self.repeats = None;
        self.push(key, Entry::Known(entry));
    }

    /// An object is being copied, and what was known until now: see [`Self::settle`] and [`Self::keep`].
    pub(super) fn expect(&mut self, key: String, known: Option<StateEntry>) {
        self.repeats = None;
        self.push(key, Entry::Awaited(known));
    }

    /// What became of an object that was expected.
    pub(super) fn settle(&mut self, key: &str, entry: Option<StateEntry>) {
        self.end_waiting(key, |_| entry);
    }

    /// An object that was expected did not come: what was known still holds.
    pub(super) fn keep(&mut self, key: &str) {
        self.end_waiting(key, |known| known);
    }

    fn end_waiting(&mut self, key: &str, now: impl FnOnce(Option<StateEntry>) -> Option<StateEntry>) {
        let end = |slot: &mut Slot| {
            let known = match std::mem::replace(&mut slot.entry, Entry::Nothing) {
                Entry::Awaited(known) => known,
                Entry::Known(_) | Entry::Nothing => None,
            };
            slot.entry = now(known).map_or(Entry::Nothing, Entry::Known);
        };
        for closed in self.closed.values_mut() {
            if closed.slots.last().is_some_and(|last| key <= last.key.as_str()) {
                if let Some(slot) = find(&mut closed.slots, key) {
                    end(slot);
                    closed.awaited -= 1;
                }
                return;
            }
        }
        if let Some(slot) = find(&mut self.open, key) {
            end(slot);
        }
    }

    /// The page of the last pass has ended.
    pub(super) fn boundary(&mut self) {
        // A short one goes together with what follows: else keys that come one by one at the end would have a page each.
        if self.open.len() >= self.most / 8 {
            self.end();
        }
    }

    /// A page of the last pass still holds as it is, unread.
    pub(super) fn take_over(&mut self, page: PageRef) {
        self.end();
        self.pages.push(Some(page));
    }

    /// No key follows.
    pub(super) fn end(&mut self) {
        if let Some(page) = self.repeats.take()
            && page.records == self.open.len()
        {
            self.open.clear();
            self.pages.push(Some(page));
        } else {
            self.close(self.open.len());
        }
    }

    /// A closed page that waits for nothing but to be written: its place and records.
    pub(super) fn ready(&self) -> Option<(usize, Vec<(&str, &StateEntry)>)> {
        let (place, closed) = self.closed.iter().find(|(_, closed)| closed.awaited == 0)?;
        Some((*place, known(&closed.slots)))
    }

    /// That page was written; `None` when it had no records.
    pub(super) fn written(&mut self, place: usize, page: Option<PageRef>) {
        self.closed.remove(&place);
        self.pages[place] = page;
    }

    /// Closed pages that wait for objects.
    pub(super) fn waiting(&self) -> usize {
        self.closed.len()
    }

    /// All pages so far, in the order of keys.
    pub(super) fn pages(&self) -> impl Iterator<Item = Page<'_>> {
        let closed = self.pages.iter().enumerate().filter_map(|(place, page)| match page {
            Some(page) => Some(Page::Written(page)),
            None => self.closed.get(&place).map(|closed| Page::Unwritten(known(&closed.slots))),
        });
        closed.chain((!self.open.is_empty()).then(|| Page::Unwritten(known(&self.open))))
    }

    fn push(&mut self, key: String, entry: Entry) {
        self.open.push(Slot { key, entry });
        if self.open.len() > self.most {
            self.open.retain(|slot| !matches!(slot.entry, Entry::Nothing));
        }
        if self.open.len() > self.most {
            self.close(self.most / 2);
        }
    }

    /// Closes a page of the first so many that are open.
    fn close(&mut self, count: usize) {
        self.repeats = None;
        let rest = self.open.split_off(count);
        let slots = std::mem::replace(&mut self.open, rest);
        if !slots.is_empty() {
            let awaited = slots.iter().filter(|slot| matches!(slot.entry, Entry::Awaited(_))).count();
            self.closed.insert(self.pages.len(), Closed { slots, awaited });
            self.pages.push(None);
        }
    }
}

fn find<'a>(slots: &'a mut [Slot], key: &str) -> Option<&'a mut Slot> {
    let place = slots.binary_search_by(|slot| slot.key.as_str().cmp(key)).ok()?;
    Some(&mut slots[place])
}

fn known(slots: &[Slot]) -> Vec<(&str, &StateEntry)> {
    let known = slots.iter().filter_map(|slot| match &slot.entry {
        Entry::Known(entry) | Entry::Awaited(Some(entry)) => Some((slot.key.as_str(), entry)),
        Entry::Awaited(None) | Entry::Nothing => None,
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::super::page::{Record, StateEntry};
    use super::{Page, PageRef, Pager};

    fn entry(version: u64) -> StateEntry {
        let etag = version.to_string();
        StateEntry {
            size: 1,
            sha256: None,
            source_etag: etag.clone(),
            source_modified: 1,
            target_etag: etag,
            made: None,
        }
    }

    const MOST: usize = 16;

    /// Pages as they lie in a bucket.
    #[derive(Debug, Default, Clone, PartialEq)]
    struct Shelf(Vec<(PageRef, Vec<Record>)>);

    impl Shelf {
        fn all(&self) -> BTreeMap<String, StateEntry> {
            self.0.iter().flat_map(|(_, records)| records.clone()).collect()
        }

        fn sizes(&self) -> Vec<usize> {
            self.0.iter().map(|(_, records)| records.len()).collect()
        }
    }

    /// A pass over `keys` with their versions; those that are not known so are copied, and the copies end late and in any order.
    /// Gives the pages, and how many were written.
    fn pass(old: &Shelf, keys: &BTreeMap<String, u64>, late: usize) -> (Shelf, usize) {
        let (mut pager, mut flying) = (Pager::new(MOST), Vec::new());
        let mut before = old.0.iter();
        let mut page: Vec<Record> = Vec::new();
        let mut is_begun = false;
        let mut written: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for (key, version) in keys {
            let known = loop {
                page.retain(|(known, _)| known >= key);
                if let Some((known, _)) = page.first() {
                    break (known == key).then(|| page.remove(0).1);
                }
                if is_begun {
                    pager.boundary();
                }
                let Some((next, records)) = before.next() else {
                    is_begun = false;
                    break None;
                };
                pager.begin(next);
                (page, is_begun) = (records.clone(), true);
            };
            if let Some(known) = known.filter(|known| *known == entry(*version)) {
                pager.carry(key.clone(), known);
            } else {
                pager.expect(key.clone(), None);
                flying.push((key.clone(), *version));
            }
            if flying.len() > late {
                let (key, version) = flying.remove(flying.len() / 2);
                pager.settle(&key, Some(entry(version)));
            }
            write(&mut pager, &mut written);
        }
        pager.end();
        for (key, version) in flying {
            pager.settle(&key, Some(entry(version)));
        }
        write(&mut pager, &mut written);
        assert_eq!(pager.waiting(), 0);
        let before: BTreeMap<_, _> = old.0.iter().map(|(page, records)| (page.name.clone(), records.clone())).collect();
        let shelf = pager.pages().map(|page| match page {
            Page::Written(page) => (page.clone(), written.get(&page.name).or(before.get(&page.name)).unwrap().clone()),
            Page::Unwritten(_) => panic!("all is known"),
        });
        let shelf = Shelf(shelf.collect());
        let news = written.keys().filter(|name| !before.contains_key(*name)).count();
        (shelf, news)
    }

    fn write(pager: &mut Pager, written: &mut BTreeMap<String, Vec<Record>>) {
        while let Some((place, records)) = pager.ready() {
            let records: Vec<Record> =
                records.into_iter().map(|(key, entry)| (key.to_owned(), entry.clone())).collect();
            let first = records.first().map(|(key, _)| key.clone());
            let page = PageRef { name: format!("{records:?}"), records: records.len(), first, from: None };
            pager.written(place, (!records.is_empty()).then(|| page.clone()));
            written.insert(page.name, records);
        }
    }

    fn wanted(keys: &BTreeMap<String, u64>) -> BTreeMap<String, StateEntry> {
        keys.iter().map(|(key, version)| (key.clone(), entry(*version))).collect()
    }

    #[test]
    fn a_change_writes_the_page_it_is_on() {
        let mut keys: BTreeMap<_, _> = (0..100).map(|number| (format!("{number:03}"), 1)).collect();
        let (first, _) = pass(&Shelf::default(), &keys, 0);
        assert_eq!(first.sizes(), [vec![8; 11], vec![12]].concat());
        keys.insert("050".to_owned(), 2);
        let (second, written) = pass(&first, &keys, 0);
        assert_eq!((second.sizes(), written), (first.sizes(), 1));
        keys.extend((0..12).map(|number| (format!("050-{number:02}"), 1)));
        let (third, written) = pass(&second, &keys, 0);
        assert_eq!(third.sizes(), [vec![8; 7], vec![12], vec![8; 4], vec![12]].concat());
        assert_eq!((third.all(), written), (wanted(&keys), 2));
        // All but one of a page go: it goes together with the next.
        (17..24).for_each(|number| _ = keys.remove(&format!("{number:03}")));
        let (fourth, written) = pass(&third, &keys, 0);
        assert_eq!((fourth.all(), fourth.sizes()[2], written), (wanted(&keys), 9, 1));
    }

    #[test]
    fn keys_that_come_one_by_one_at_the_end_share_pages() {
        let (mut shelf, mut keys) = (Shelf::default(), BTreeMap::new());
        for number in 0..64 {
            keys.insert(format!("{number:03}"), 1);
            shelf = pass(&shelf, &keys, 0).0;
        }
        assert_eq!(shelf.all(), wanted(&keys));
        assert!(shelf.sizes().len() <= 64 / (MOST / 8), "{:?}", shelf.sizes());
    }

    #[test]
    fn what_is_not_known_yet_is_left_out_of_what_is_kept_meanwhile() {
        let mut pager = Pager::new(MOST);
        pager.expect("a".to_owned(), None);
        pager.carry("b".to_owned(), entry(1));
        assert_eq!(pager.pages().collect::<Vec<_>>(), [Page::Unwritten(vec![("b", &entry(1))])]);
        pager.end();
        assert_eq!((pager.waiting(), pager.ready()), (1, None));
        pager.settle("a", None);
        assert_eq!(pager.ready(), Some((0, vec![("b", &entry(1))])));
    }

    #[test]
    fn what_an_object_takes_the_place_of_is_known_until_it_came() {
        for (came, left) in [(false, Some(entry(1))), (true, Some(entry(2)))] {
            let mut pager = Pager::new(MOST);
            pager.expect("a".to_owned(), Some(entry(1)));
            assert_eq!(pager.pages().collect::<Vec<_>>(), [Page::Unwritten(vec![("a", &entry(1))])]);
            pager.end();
            assert_eq!(pager.ready(), None);
            if came {
                pager.settle("a", Some(entry(2)));
            } else {
                pager.keep("a");
            }
            let (_, records) = pager.ready().unwrap();
            assert_eq!(records.first().map(|(_, entry)| (*entry).clone()), left);
        }
    }

    #[test]
    fn what_is_renewed_is_written() {
        let keys: BTreeMap<_, _> = ["a", "b"].map(|key| (key.to_owned(), 1)).into();
        let (shelf, _) = pass(&Shelf::default(), &keys, 0);
        for (renews, version) in [(false, 1), (true, 2)] {
            let mut pager = Pager::new(MOST);
            pager.begin(&shelf.0[0].0);
            pager.carry("a".to_owned(), entry(1));
            if renews {
                pager.renew("b".to_owned(), entry(2));
            } else {
                pager.carry("b".to_owned(), entry(1));
            }
            pager.end();
            let written = pager.ready().map(|(_, records)| records[1].1.clone());
            assert_eq!(written, renews.then(|| entry(version)));
        }
    }

    fn keys() -> impl Strategy<Value = BTreeMap<String, u64>> {
        prop::collection::btree_map("[a-e]{1,4}", 0..3u64, 0..120)
    }

    proptest! {
        #[test]
        fn all_is_remembered_and_a_pass_that_changes_nothing_writes_nothing(
            passes in prop::collection::vec((keys(), 0..40usize), 1..5),
        ) {
            let mut shelf = Shelf::default();
            for (keys, late) in passes {
                shelf = pass(&shelf, &keys, late).0;
                prop_assert_eq!(shelf.all(), wanted(&keys));
                let (last, others) = shelf.0.split_last().map_or((None, &[][..]), |(last, others)| (Some(last), others));
                prop_assert!(others.iter().all(|(_, records)| (MOST / 8..=MOST).contains(&records.len())));
                prop_assert!(last.is_none_or(|(_, records)| records.len() <= MOST));
                let names: BTreeSet<_> = shelf.0.iter().map(|(page, _)| page.name.clone()).collect();
                prop_assert_eq!(names.len(), shelf.0.len());
                let (again, written) = pass(&shelf, &keys, late);
                prop_assert_eq!((&again, written), (&shelf, 0));
            }
        }
    }
}
