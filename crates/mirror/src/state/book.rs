//! Where the pages of a target lie: below `.skyfleet/state/` in its bucket.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

use super::index::{Index, PageRef};
use super::page::{self, Record, StateEntry};
use crate::dataset::document::{read_document, write_document};
use crate::store::upload_id::family;
use crate::{DatasetName, Place, RESERVED_PREFIX, Replica, StoreError, StoreErrorKind, list};

/// What failed, in errors.
pub(super) const READING: &str = "read what is remembered of the copies";

/// The memory of one mirror about one of its targets.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    replica: Replica,
    folder: String,
    /// What tells the source from others.
    source: String,
}

impl Book {
    /// Two copies in one bucket differ by their prefix, and one that belongs to a dataset remembers more than others.
    pub(crate) fn of(target: &Replica, dataset: Option<&DatasetName>, source: String) -> Self {
        let dataset = dataset.map(|dataset| format!("{dataset}.")).unwrap_or_default();
        let folder = format!("{RESERVED_PREFIX}state/{dataset}{}/", family(&target.prefix));
        Self { replica: target.clone(), folder, source }
    }

    pub(super) fn place(&self) -> &Place {
        self.replica.store.place()
    }

    /// The index that earlier passes wrote; an empty one, when there is none that fits.
    pub(super) async fn index(&self, cancel: &CancellationToken) -> Result<Index, StoreError> {
        let bytes = match read_document(&self.replica, &self.index_key(), cancel).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(Index::default()),
            Err(error) => return Err(error),
        };
        let index = Index::parse(&bytes, &self.source);
        if index.is_none() {
            let bucket = &self.place().bucket;
            tracing::warn!(key = self.index_key(), %bucket, "what is remembered does not fit: objects are copied again");
        }
        Ok(index.unwrap_or_default())
    }

    pub(super) async fn write_index(&self, index: &Index) -> Result<(), StoreError> {
        let bytes = index.to_bytes(&self.source).map_err(|error| self.unwritable(&error))?;
        write_document(&self.replica, &self.index_key(), bytes).await
    }

    /// The records of a page that count; `None` of one that is lost or damaged.
    pub(crate) async fn page(
        &self,
        page: &PageRef,
        cancel: &CancellationToken,
    ) -> Result<Option<Vec<Record>>, StoreError> {
        let bytes = match read_document(&self.replica, &self.page_key(&page.name), cancel).await {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Corrupt) => return Ok(None),
            Err(error) => return Err(error),
        };
        let records = if page::name_of(&bytes) == page.name { page::parse(&bytes) } else { None };
        Ok(records.map(|mut records| {
            if let Some(from) = &page.from {
                records.retain(|(key, _)| key >= from);
            }
            records
        }))
    }

    /// What to say of a page that is not there any more.
    pub(crate) fn lost(&self, page: &PageRef) -> StoreError {
        let detail = format!("{:?} is lost or damaged", self.page_key(&page.name));
        self.place().error(StoreErrorKind::Corrupt, READING, detail)
    }

    /// What to say when what is remembered is not all there is.
    pub(crate) fn incomplete(&self, remembered: u64, objects: u64) -> StoreError {
        let detail = format!("{remembered} objects are remembered, and there are {objects}");
        self.place().error(StoreErrorKind::Corrupt, READING, detail)
    }

    /// Writes a page, unless it is one of those that are there.
    pub(super) async fn write_page(
        &self,
        records: &[(&str, &StateEntry)],
        there: &mut HashSet<String>,
    ) -> Result<PageRef, StoreError> {
        let bytes = page::to_bytes(records.iter().copied()).map_err(|error| self.unwritable(&error))?;
        let name = page::name_of(&bytes);
        if !there.contains(&name) {
            write_document(&self.replica, &self.page_key(&name), bytes).await?;
            there.insert(name.clone());
        }
        let first = records.first().map(|(key, _)| (*key).to_owned());
        Ok(PageRef { name, records: records.len(), first, from: None })
    }

    /// Removes the pages that do not count any more, also those of passes that were killed.
    pub(super) async fn sweep(&self, index: &Index) -> Result<(), StoreError> {
        let folder = format!("{}pages/", self.folder);
        let there: Vec<_> = list(&*self.replica.store, &folder).try_collect().await?;
        let kept: HashSet<_> = index.pages.iter().map(|page| self.page_key(&page.name)).collect();
        for object in there {
            if !kept.contains(&object.key) {
                self.replica.store.delete(&object.key).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn remove_page(&self, name: &str) -> Result<(), StoreError> {
        self.replica.store.delete(&self.page_key(name)).await
    }

    fn index_key(&self) -> String {
        format!("{}index.json", self.folder)
    }

    fn page_key(&self, name: &str) -> String {
        format!("{}pages/{name}.jsonl", self.folder)
    }

    fn unwritable(&self, error: &serde_json::Error) -> StoreError {
        self.place().error(StoreErrorKind::Rejected, "write what is remembered of the copies", error.to_string())
    }
}
