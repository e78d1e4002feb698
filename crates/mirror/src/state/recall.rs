//! Reads the pages of the last pass, one ahead of who asks.

use std::iter::Peekable;
use std::vec;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::book::{Book, READING};
use super::index::PageRef;
use super::page::Record;
use crate::{Place, StoreError, StoreErrorKind};

pub(super) struct Recall {
    place: Place,
    /// Those that are still to come, the next one last, and whether they are read.
    to_come: Vec<(PageRef, bool)>,
    current: Option<PageRef>,
    records: Peekable<vec::IntoIter<Record>>,
    pages: mpsc::Receiver<Result<Option<Vec<Record>>, StoreError>>,
    _task: AbortOnDropHandle<()>,
}

/// What comes next.
pub(super) enum Turned<'a> {
    Page(&'a PageRef),
    /// One that nobody asks of.
    Untouched(PageRef),
    /// One of which nothing can be read.
    Lost(&'a PageRef),
    Ended,
}

impl Recall {
    /// Begins to read these pages; those with `false` are left unread.
    pub(super) fn start(book: Book, pages: Vec<(PageRef, bool)>, cancel: &CancellationToken) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        let (place, cancel) = (book.place().clone(), cancel.clone());
        let wanted: Vec<_> = pages.iter().filter(|(_, read)| *read).map(|(page, _)| page.clone()).collect();
        let task = tokio::spawn(async move {
            for page in wanted {
                let records = book.page(&page, &cancel).await;
                if let Ok(None) = records {
                    tracing::warn!(error = %book.lost(&page), "objects are copied again");
                }
                let failed = records.is_err();
                if sender.send(records).await.is_err() || failed {
                    return;
                }
            }
        });
        let to_come = pages.into_iter().rev().collect();
        let records = Vec::new().into_iter().peekable();
        Self { place, to_come, current: None, records, pages: receiver, _task: AbortOnDropHandle::new(task) }
    }

    /// The next record of the current page, which stays.
    pub(super) fn peek(&mut self) -> Option<&Record> {
        self.records.peek()
    }

    pub(super) fn next(&mut self) -> Option<Record> {
        self.records.next()
    }

    /// Whether a page is being read.
    pub(super) fn has_page(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the next page is one that nobody asks of, and begins only after this key.
    pub(super) fn is_before_untouched(&self, key: &str) -> bool {
        let next = self.to_come.last().filter(|(_, read)| !read);
        next.is_some_and(|(page, _)| page.begins_at().is_some_and(|begins| key < begins))
    }

    /// Turns to the next page.
    pub(super) async fn turn(&mut self) -> Result<Turned<'_>, StoreError> {
        self.current = None;
        let Some((page, read)) = self.to_come.pop() else { return Ok(Turned::Ended) };
        if !read {
            return Ok(Turned::Untouched(page));
        }
        let Some(records) = self.pages.recv().await else { return Err(self.cut_short()) };
        let records = records?;
        let is_lost = records.is_none();
        self.records = records.unwrap_or_default().into_iter().peekable();
        let page = self.current.insert(page);
        Ok(if is_lost { Turned::Lost(page) } else { Turned::Page(page) })
    }

    /// What was not read yet.
    pub(super) fn rest(&mut self) -> Vec<PageRef> {
        let from = self.records.peek().map(|(key, _)| key.clone());
        let current = self.current.clone().filter(|_| from.is_some()).map(|page| PageRef { from, ..page });
        current.into_iter().chain(self.to_come.iter().rev().map(|(page, _)| page.clone())).collect()
    }

    fn cut_short(&self) -> StoreError {
        let detail = "the reading of its pages ended before their end";
        self.place.error(StoreErrorKind::Protocol, READING, detail)
    }
}
