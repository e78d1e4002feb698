//! What is remembered of one target, in the course of a pass.

use std::collections::HashSet;

use tokio_util::sync::CancellationToken;

use super::adopted::Adopted;
use super::book::Book;
use super::index::{Index, PageRef, touched};
use super::page::StateEntry;
use super::pager::{Page, Pager};
use super::proofs::{Fits, Known, Proofs, choose};
use super::recall::{Recall, Turned};
use super::unsaved::Unsaved;
use crate::{ManifestDigest, StoreError, Version};

/// Records of a page at most: about a megabyte of them.
const MOST_RECORDS: usize = 4096;
/// Pages that wait for objects under way, at most, before the pass waits with them.
const MOST_WAITING: usize = 8;

pub(crate) struct TargetState {
    book: Book,
    /// What lies there.
    index: Index,
    /// The versions that are kept, the newest first; to be written with the index.
    versions: Option<Vec<Version>>,
    /// Names of pages that lie there.
    there: HashSet<String>,
    recall: Recall,
    /// What workers have proven that may not be remembered yet.
    adopted: Option<Adopted>,
    /// The key that was asked for last, where what is known of it is not remembered yet.
    renewed: Option<String>,
    pager: Pager,
    unsaved: Unsaved,
    /// Whether what is not asked for holds still.
    keeps_others: bool,
    /// Whether all that the pass found remembered was named by a manifest.
    was_named: bool,
}

impl TargetState {
    /// Begins to read what earlier passes have left. With `asked`, in the order of keys, only these will be asked for, and what is
    /// remembered of others stays. What workers have proven is taken over as it is asked for.
    pub(crate) async fn open(
        book: Book,
        (asked, adopts): (Option<&[String]>, Option<Proofs>),
        cancel: &CancellationToken,
    ) -> Result<Self, StoreError> {
        let index = book.index(cancel).await?;
        let there = index.pages.iter().map(|page| page.name.clone()).collect();
        let read = asked.map_or_else(|| vec![true; index.pages.len()], |keys| touched(&index.pages, keys));
        let recall = Recall::start(book.clone(), index.pages.iter().cloned().zip(read).collect(), cancel);
        let (versions, was_named) = (index.versions.clone(), index.manifest.is_some());
        let (pager, unsaved) = (Pager::new(MOST_RECORDS), Unsaved::default());
        let keeps_others = asked.is_some();
        let adopted = match adopts {
            Some(proofs) => Some(Adopted::start(proofs, cancel).await?),
            None => None,
        };
        let renewed = None;
        Ok(Self { book, index, versions, there, recall, adopted, renewed, pager, unsaved, keeps_others, was_named })
    }

    /// From now on versions are kept: the one that is there now is the first.
    pub(crate) fn keep_versions(&mut self) {
        if let (Some(versions), Some(digest)) = (&mut self.versions, self.index.manifest)
            && versions.is_empty()
        {
            versions.push(Version { digest, published: None });
        }
    }

    /// What is remembered of an object. Keys are to be asked for in their order; what is not said of one before the next is
    /// asked for, is forgotten. Where workers have proven it too, it is what fits best.
    pub(crate) async fn recall(&mut self, key: &str, fits: &Fits<'_>) -> Result<Option<StateEntry>, StoreError> {
        let remembered = self.turn_to(key).await?;
        let Some(adopted) = &mut self.adopted else { return Ok(remembered) };
        let Known { entry, is_proof } = choose(remembered, adopted.of(key).await?, fits);
        self.renewed = is_proof.then(|| key.to_owned());
        // No manifest names what only a worker knows.
        self.was_named &= !is_proof;
        Ok(entry)
    }

    /// What the pages say of an object.
    async fn turn_to(&mut self, key: &str) -> Result<Option<StateEntry>, StoreError> {
        loop {
            while let Some((next, _)) = self.recall.peek() {
                if next.as_str() > key {
                    return Ok(None);
                }
                match self.recall.next() {
                    Some((next, entry)) if next == key => return Ok(Some(entry)),
                    Some((other, entry)) if self.keeps_others => self.pager.carry(other, entry),
                    _ => {}
                }
            }
            if self.recall.is_before_untouched(key) || !self.turn().await? {
                return Ok(None);
            }
        }
    }

    /// Turns to the next page, if there is one.
    async fn turn(&mut self) -> Result<bool, StoreError> {
        if self.recall.has_page() {
            self.pager.boundary();
        }
        match self.recall.turn().await? {
            Turned::Page(page) => self.pager.begin(page),
            Turned::Untouched(page) => self.pager.take_over(page),
            // The same content may have to be written again.
            Turned::Lost(page) => _ = self.there.remove(&page.name),
            Turned::Ended => return Ok(false),
        }
        Ok(true)
    }

    /// How many objects are remembered, about: of a page that was written anew in part the whole counts.
    pub(crate) fn remembered(&self) -> u64 {
        self.index.pages.iter().map(|page| page.records as u64).sum()
    }

    /// What was recalled still holds.
    pub(crate) fn carry(&mut self, key: String, entry: StateEntry) {
        if self.renewed.as_ref() == Some(&key) {
            self.unsaved.adopt();
            self.pager.renew(key, entry);
        } else {
            self.pager.carry(key, entry);
        }
    }

    /// The object is being copied; what is known of the one that it takes the place of holds until then.
    pub(crate) fn expect(&mut self, key: String, known: Option<StateEntry>) {
        self.pager.expect(key, known);
    }

    /// What became of an object that was expected.
    pub(crate) fn settle(&mut self, key: &str, entry: Option<StateEntry>) {
        if let Some(entry) = &entry {
            self.unsaved.add(entry.size);
        }
        self.pager.settle(key, entry);
    }

    /// An object that was expected did not come: what was known still holds.
    pub(crate) fn keep_known(&mut self, key: &str) {
        self.pager.keep(key);
    }

    /// Whether there is something to write.
    pub(crate) fn is_due(&self) -> bool {
        self.pager.waiting() > 0 || self.unsaved.is_due()
    }

    /// Whether so much waits for objects under way that no further object should be begun.
    pub(crate) fn is_waiting(&self) -> bool {
        self.pager.waiting() > MOST_WAITING
    }

    /// Writes what is ready, and from time to time the index too, so that a pass that is killed loses little.
    pub(crate) async fn write(&mut self) -> Result<(), StoreError> {
        self.write_pages().await?;
        if self.unsaved.is_due() { self.keep().await } else { Ok(()) }
    }

    /// Keeps all that is known by now, in the middle of a pass, if anything new is.
    pub(crate) async fn keep(&mut self) -> Result<(), StoreError> {
        if self.unsaved.is_nothing() {
            return Ok(());
        }
        self.unsaved = Unsaved::default();
        let mut pages = self.pages().await?;
        pages.extend(self.recall.rest());
        self.replace_index(pages, None).await
    }

    /// Keeps all of it, at the end of a pass that has seen every object it was to look at.
    pub(crate) async fn finish(&mut self) -> Result<(), StoreError> {
        if self.keeps_others {
            self.keep_others().await?;
        }
        self.pager.end();
        let pages = self.pages().await?;
        if pages == self.index.pages {
            return Ok(());
        }
        self.replace_index(pages, None).await?;
        // Those of passes that were killed. A pass over some keys is too small to look for them.
        if self.keeps_others { Ok(()) } else { self.book.sweep(&self.index).await }
    }

    /// What comes after the last key that was asked for.
    async fn keep_others(&mut self) -> Result<(), StoreError> {
        loop {
            while let Some((other, entry)) = self.recall.next() {
                self.pager.carry(other, entry);
            }
            if !self.turn().await? {
                return Ok(());
            }
        }
    }

    /// The digest of all that is remembered, where that was told before.
    pub(crate) fn manifest(&self) -> Option<ManifestDigest> {
        self.index.manifest
    }

    /// Whether all that the pass found remembered was named by a manifest: an earlier pass that published it ended its work there.
    pub(crate) fn was_named(&self) -> bool {
        self.was_named
    }

    /// The versions that are kept, the newest first; `None` where that is not known.
    pub(crate) fn versions(&self) -> Option<&[Version]> {
        self.versions.as_deref()
    }

    /// The digest of all that is remembered, to be told, and the versions that are kept.
    pub(crate) async fn name(&mut self, manifest: ManifestDigest, versions: Vec<Version>) -> Result<(), StoreError> {
        self.versions = Some(versions);
        self.replace_index(self.index.pages.clone(), Some(manifest)).await
    }

    /// What lies there, to be read once more.
    pub(crate) fn written(&self) -> (&Book, &[PageRef]) {
        (&self.book, &self.index.pages)
    }

    /// All pages so far, written as far as they are known.
    async fn pages(&mut self) -> Result<Vec<PageRef>, StoreError> {
        self.write_pages().await?;
        let mut pages = Vec::new();
        for page in self.pager.pages() {
            match page {
                Page::Written(page) => pages.push(page.clone()),
                Page::Unwritten(records) if records.is_empty() => {}
                Page::Unwritten(records) => pages.push(self.book.write_page(&records, &mut self.there).await?),
            }
        }
        Ok(pages)
    }

    async fn write_pages(&mut self) -> Result<(), StoreError> {
        while let Some((place, records)) = self.pager.ready() {
            let page =
                if records.is_empty() { None } else { Some(self.book.write_page(&records, &mut self.there).await?) };
            self.pager.written(place, page);
        }
        Ok(())
    }

    async fn replace_index(&mut self, pages: Vec<PageRef>, manifest: Option<ManifestDigest>) -> Result<(), StoreError> {
        let index = Index { pages, manifest, versions: self.versions.clone() };
        if index == self.index {
            return Ok(());
        }
        self.book.write_index(&index).await?;
        self.index = index;
        let counting: HashSet<_> = self.index.pages.iter().map(|page| page.name.clone()).collect();
        for name in self.there.difference(&counting) {
            self.book.remove_page(name).await?;
        }
        self.there = counting;
        Ok(())
    }
}
