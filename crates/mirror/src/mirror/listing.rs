//! One side's listing, in the byte order of keys, a few pages ahead of who reads it.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::key_range::{KeyRange, Span};
use super::naming::{How, Naming};
use crate::cancel::cancellable;
use crate::dataset::layout::is_reserved;
use crate::{ObjectSummary, Place, Replica, StoreError, StoreErrorKind};

/// Pages that wait to be read.
const PAGES_AHEAD: usize = 2;
/// Objects of a page that was made here.
const PAGE: usize = 1000;

/// Why a listing ended before its end.
#[derive(Debug)]
pub(super) enum Broken {
    /// The store failed.
    Failed(StoreError),
    /// It is not in the byte order of keys, so that it has to be sorted first. Directory buckets list like that.
    Unordered,
}

type Page = Result<Vec<Listed>, Broken>;

/// An object of a listing.
#[derive(Debug)]
pub(super) struct Listed {
    /// With the key that it has at the targets.
    pub(super) object: ObjectSummary,
    /// The key that it has at the source, where that is another.
    pub(super) source_key: Option<String>,
    /// Whether it is all of that.
    pub(super) how: How,
}

impl Listed {
    pub(super) fn source_key(&self) -> &str {
        self.source_key.as_deref().unwrap_or(&self.object.key)
    }

    /// Bytes that it has at the source, of which a piece is only a share.
    pub(super) fn source_size(&self) -> u64 {
        if let How::Piece(cut) = &self.how { cut.whole } else { self.object.size }
    }
}

/// A listing under way.
pub(super) struct Listing {
    pages: mpsc::Receiver<Page>,
    page: std::iter::Peekable<std::vec::IntoIter<Listed>>,
    /// The store said that this is all.
    ended: bool,
    place: Place,
    _task: AbortOnDropHandle<()>,
}

impl Listing {
    /// Starts to list what lies below the prefix of a replica, Skyfleet's own objects left out, by the keys that they are to have,
    /// which are in the range. With `sort`, all of it is held in memory.
    pub(super) fn start(
        replica: &Replica,
        (naming, range): (&Naming, &KeyRange),
        sort: bool,
        cancel: &CancellationToken,
    ) -> Self {
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        let place = replica.store.place().clone();
        let (replica, naming) = (replica.clone(), naming.clone());
        let (span, range) = (naming.span(range), range.clone());
        let lister = Lister { replica, naming, range, span, cancel: cancel.clone(), last: None };
        let task =
            tokio::spawn(async move { if sort { lister.sorted(sender).await } else { lister.ordered(sender).await } });
        Self {
            pages,
            page: Vec::new().into_iter().peekable(),
            ended: false,
            place,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The next object, which stays; `None` when the store said that there is no further one.
    pub(super) async fn peek(&mut self) -> Result<Option<&ObjectSummary>, Broken> {
        while self.page.peek().is_none() && !self.ended {
            match self.pages.recv().await {
                Some(page) => {
                    let page = page?;
                    // An empty page marks the end, which is said explicitly: a task that ends without it was cut short.
                    self.ended = page.is_empty();
                    self.page = page.into_iter().peekable();
                }
                None => return Err(Broken::Failed(self.cut_short())),
            }
        }
        Ok(self.page.peek().map(|listed| &listed.object))
    }

    /// Takes the next object when it has this key.
    pub(super) fn take(&mut self, key: &str) -> Option<Listed> {
        self.page.next_if(|listed| listed.object.key == key)
    }

    fn cut_short(&self) -> StoreError {
        self.place.error(StoreErrorKind::Protocol, "list the objects", "the listing ended before its end")
    }
}

struct Lister {
    replica: Replica,
    naming: Naming,
    range: KeyRange,
    /// Where what is in the range lies.
    span: Span,
    cancel: CancellationToken,
    /// The last key, relative to the prefix.
    last: Option<String>,
}

impl Lister {
    async fn ordered(mut self, sender: mpsc::Sender<Page>) {
        let mut next = Some(None);
        while let Some(continuation) = next.take() {
            let (objects, continuation) = match self.page(continuation).await {
                Ok(page) => page,
                Err(error) => return drop(sender.send(Err(Broken::Failed(error))).await),
            };
            next = continuation.map(Some);
            let in_span = match self.in_span(objects) {
                Ok((objects, is_last)) => {
                    next = next.filter(|_| !is_last);
                    objects
                }
                Err(broken) => return drop(sender.send(Err(broken)).await),
            };
            let mut objects = in_span.into_iter();
            while let Some(page) = self.some_of(&mut objects) {
                let page = self.in_order(page);
                let failed = page.is_err();
                // Nobody reads any more: the pass has ended.
                if sender.send(page).await.is_err() || failed {
                    return;
                }
            }
        }
        let _nobody_reads = sender.send(Ok(Vec::new())).await;
    }

    async fn sorted(self, sender: mpsc::Sender<Page>) {
        let (mut all, mut next) = (Vec::new(), Some(None));
        while let Some(continuation) = next.take() {
            match self.page(continuation).await {
                Ok((objects, continuation)) => {
                    all.extend(objects.into_iter().flat_map(|object| self.list(object)));
                    next = continuation.map(Some);
                }
                Err(error) => return drop(sender.send(Err(Broken::Failed(error))).await),
            }
        }
        all.sort_by(|one: &Listed, other| one.object.key.cmp(&other.object.key));
        if let Some(error) = all.windows(2).find_map(|pair| self.become_one(&pair[0], &pair[1])) {
            return drop(sender.send(Err(Broken::Failed(error))).await);
        }
        all.dedup_by(|one, other| one.object.key == other.object.key);
        let mut all = all.into_iter();
        loop {
            let page: Vec<_> = all.by_ref().take(PAGE).collect();
            let last = page.is_empty();
            if sender.send(Ok(page)).await.is_err() || last {
                return;
            }
        }
    }

    /// One page, keys relative to the prefix, and where the next one starts.
    async fn page(&self, continuation: Option<String>) -> Result<(Vec<ObjectSummary>, Option<String>), StoreError> {
        let Replica { store, prefix } = &self.replica;
        let below = format!("{prefix}{}", self.span.prefix());
        let request = async {
            match (&continuation, &self.span.after) {
                (None, Some(after)) => store.list_page_after(&below, &format!("{prefix}{after}")).await,
                _ => store.list_page(&below, continuation.clone()).await,
            }
        };
        let page = cancellable(&self.cancel, store.place(), request).await?;
        if page.continuation.is_some() && page.continuation == continuation {
            let detail = "the listing goes on where it was: the store gave the same continuation twice";
            return Err(store.place().error(StoreErrorKind::Protocol, "list the objects", detail));
        }
        let mut objects = page.objects;
        objects.retain_mut(|object| {
            let ours = is_reserved(&object.key);
            object.key.drain(..prefix.len());
            // What consoles make of a folder holds nothing that could be transformed.
            let is_folder = self.naming.transforms() && object.size == 0 && object.key.ends_with('/');
            !ours && !is_folder && !object.key.is_empty()
        });
        Ok((objects, page.continuation))
    }

    /// Those before the end of what has to be read, and whether that comes with them. What is in no order has no end: it has to be
    /// seen whole.
    fn in_span(&self, mut objects: Vec<ObjectSummary>) -> Result<(Vec<ObjectSummary>, bool), Broken> {
        let Some(end) = objects.iter().position(|object| self.span.ends_before(&object.key)) else {
            return Ok((objects, false));
        };
        if !objects.is_sorted_by(|one, other| one.key < other.key) {
            return Err(Broken::Unordered);
        }
        objects.truncate(end);
        Ok((objects, true))
    }

    /// What an object becomes that is in the range.
    fn list(&self, object: ObjectSummary) -> Vec<Listed> {
        let mut listed = self.naming.list(object);
        listed.retain(|listed| self.range.holds(&listed.object.key));
        listed
    }

    /// What some of these become: each may be cut into very many.
    fn some_of(&self, objects: &mut impl Iterator<Item = ObjectSummary>) -> Option<Vec<Listed>> {
        let mut page = Vec::new();
        while page.len() < PAGE
            && let Some(object) = objects.next()
        {
            page.extend(self.list(object));
        }
        (!page.is_empty()).then_some(page)
    }

    /// What to say of two objects of the source that would have the same key.
    fn become_one(&self, one: &Listed, other: &Listed) -> Option<StoreError> {
        let (first, second, key) = (one.source_key(), other.source_key(), &one.object.key);
        // A listing may tell one twice.
        let is_clash = *key == other.object.key && first != second;
        is_clash.then(|| clash(&self.replica, (first, second), key))
    }

    fn in_order(&mut self, objects: Vec<Listed>) -> Page {
        let first = objects.first().map(|listed| &listed.object);
        let follows = self.last.as_ref().zip(first).is_none_or(|(last, first)| *last < first.key);
        if !follows || !objects.is_sorted_by(|one, other| one.object.key < other.object.key) {
            return Err(Broken::Unordered);
        }
        if let Some(Listed { object, .. }) = objects.last() {
            self.last = Some(object.key.clone());
        }
        Ok(objects)
    }
}

/// What to say of two objects of the source that would have the same key at the targets.
pub(super) fn clash(source: &Replica, (one, other): (&str, &str), key: &str) -> StoreError {
    let detail = format!("{one:?} and {other:?} would both become {key:?}: leave one out by a filter, or rename it");
    source.store.place().error(StoreErrorKind::Rejected, "name the objects", detail)
}
