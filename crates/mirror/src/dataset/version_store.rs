//! One version of a dataset as a store of its own, to read from: what its manifest names, whatever the bucket holds by now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::manifest_reader::ManifestReader;
use crate::transfer::object_reader::ObjectReader;
use crate::transfer::reader::ChunkReader as _;
use crate::{
    Attributes, Body, ByteRange, Capabilities, Checksum, Condition, DatasetName, ListPage, ManifestDigest,
    ManifestEntry, ObjectHead, ObjectStore, ObjectSummary, Payload, Place, Proof, Replica, Sha256, StoreError,
    StoreErrorKind, StoredChecksum, Tags, UploadedPart, Written, kept_key, manifest_key,
};

/// Entries of a page of a listing.
const PAGE: usize = 1000;
/// Objects whose place is remembered.
const MOST_FOUND: usize = 4096;
/// What an object is called by its content, before the digest.
const BY_CONTENT: &str = "sha256:";

/// Opens the version of this digest of a dataset that a bucket holds. The objects have the keys that they have there, and `within` is
/// what lies between the dataset's prefix and that of the part which is read.
///
/// Each content is looked for where it was put away when another took its place, and else under its key; what is read is checked
/// against the manifest. An object's ETag is its SHA-256, so that versions are told apart by what differs. Memory grows by one key for
/// each thousand objects.
///
/// # Errors
/// [`StoreErrorKind::NotFound`] where there is no such version, and the store's.
pub async fn open_version(
    replica: &Replica,
    (dataset, digest): (&DatasetName, ManifestDigest),
    within: &str,
    cancel: &CancellationToken,
) -> Result<Replica, StoreError> {
    let manifest = manifest_key(dataset, digest);
    let head = replica.store.head(&manifest).await?;
    let mut reader = ManifestReader::open(replica, dataset, digest, cancel).await?;
    let (mut pages, mut offset, mut entries, mut line) = (Vec::new(), 0, 0, Vec::new());
    while let Some(entry) = reader.next().await? {
        line.clear();
        entry.write_to(&mut line);
        if entries % PAGE == 0 {
            pages.push(Page { first: format!("{}{}", replica.prefix, entry.key), offset });
        }
        entries += 1;
        offset += line.len() as u64;
    }
    let store = VersionStore {
        store: replica.store.clone(),
        prefix: replica.prefix.clone(),
        dataset: dataset.clone(),
        manifest,
        head,
        pages,
        size: offset,
        found: Mutex::default(),
        cancel: cancel.clone(),
    };
    Ok(Replica { store: Arc::new(store), prefix: format!("{}{within}", replica.prefix) })
}

/// The content that an ETag names, where it is that of an object of a version.
pub(crate) fn content_of(etag: &str) -> Option<Sha256> {
    etag.strip_prefix(BY_CONTENT)?.parse().ok()
}

/// Some entries of the manifest.
#[derive(Debug)]
struct Page {
    /// The key of the first one.
    first: String,
    /// Where it begins, in bytes.
    offset: u64,
}

/// Where a content lies.
#[derive(Debug, Clone)]
struct Found {
    key: String,
    etag: String,
}

#[derive(Debug)]
struct VersionStore {
    store: Arc<dyn ObjectStore>,
    /// The dataset's.
    prefix: String,
    dataset: DatasetName,
    manifest: String,
    head: ObjectHead,
    pages: Vec<Page>,
    /// Bytes of the manifest.
    size: u64,
    found: Mutex<HashMap<String, Found>>,
    cancel: CancellationToken,
}

impl VersionStore {
    /// The entries of a page, with the keys that the store has for them.
    async fn page(&self, index: usize) -> Result<Vec<ManifestEntry>, StoreError> {
        let Some(page) = self.pages.get(index) else { return Ok(Vec::new()) };
        let to = self.pages.get(index + 1).map_or(self.size, |next| next.offset);
        let range = ByteRange { from: page.offset, to: Some(to) };
        let (store, etag) = (self.store.clone(), Some(self.head.etag.as_str()).filter(|etag| !etag.is_empty()));
        let mut reader = ObjectReader::open(store, self.manifest.clone(), range, etag, self.cancel.clone()).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = reader.next_chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        let entry = |line: &[u8]| {
            let entry: ManifestEntry = serde_json::from_slice(line)
                .map_err(|error| reader.error(StoreErrorKind::Corrupt, &format!("the manifest is damaged: {error}")))?;
            Ok(ManifestEntry { key: format!("{}{}", self.prefix, entry.key), ..entry })
        };
        bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(entry).collect()
    }

    /// The page that would have this key.
    fn page_of(&self, key: &str) -> usize {
        self.pages.partition_point(|page| page.first.as_str() <= key).saturating_sub(1)
    }

    fn summary(&self, entry: ManifestEntry) -> ObjectSummary {
        let (etag, modified) = (format!("{BY_CONTENT}{}", entry.sha256), self.head.modified);
        ObjectSummary { key: entry.key, size: entry.size, etag, modified, md5: None }
    }

    async fn list_from(&self, index: usize, prefix: &str) -> Result<ListPage, StoreError> {
        let entries = self.page(index).await?;
        let objects = entries.into_iter().filter(|entry| entry.key.starts_with(prefix));
        let objects = objects.map(|entry| self.summary(entry)).collect();
        let is_beyond = |page: &Page| page.first.as_str() > prefix && !page.first.starts_with(prefix);
        let next = self.pages.get(index + 1).filter(|page| !is_beyond(page));
        Ok(ListPage { objects, continuation: next.map(|_| (index + 1).to_string()) })
    }

    async fn content(&self, key: &str) -> Result<Sha256, StoreError> {
        let entries = self.page(self.page_of(key)).await?;
        let place = entries.binary_search_by(|entry| entry.key.as_str().cmp(key));
        let missing = || self.place().error(StoreErrorKind::NotFound, format!("find {key:?} in the version"), "");
        place.map(|place| entries[place].sha256).map_err(|_| missing())
    }

    /// Where the content lies that an object of the version has.
    async fn find(&self, key: &str, content: Sha256) -> Result<Found, StoreError> {
        if let Some(found) = self.lock().get(key) {
            return Ok(found.clone());
        }
        let mut found = None;
        for place in [kept_key(&self.dataset, content), key.to_owned()] {
            match self.store.head(&place).await {
                Ok(head) => {
                    found = Some(Found { key: place, etag: head.etag });
                    break;
                }
                Err(error) if error.kind == StoreErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        // Never as if it was not there: it would be left out of what is made of this version.
        let lost = || {
            let detail = "a content that the version names is not there any more: was it removed by another program?";
            self.place().error(StoreErrorKind::Corrupt, format!("read {key:?}"), detail)
        };
        let found = found.ok_or_else(lost)?;
        let mut known = self.lock();
        if known.len() >= MOST_FOUND {
            known.clear();
        }
        known.insert(key.to_owned(), found.clone());
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Found>> {
        // One operation at a time: nothing can be half-done.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is told of an object: its content is what the manifest says, or reading it fails.
    fn told(&self, content: Sha256, head: ObjectHead) -> ObjectHead {
        ObjectHead {
            etag: format!("{BY_CONTENT}{content}"),
            modified: self.head.modified,
            checksum: Some(StoredChecksum::Whole(Checksum::Sha256(content))),
            ..head
        }
    }

    fn refused(&self) -> StoreError {
        self.place().error(StoreErrorKind::Rejected, "write to a version of a dataset", "it stays as it is")
    }
}

#[async_trait]
impl ObjectStore for VersionStore {
    fn place(&self) -> &Place {
        self.store.place()
    }

    fn proof(&self) -> Proof {
        self.store.proof()
    }

    fn keeps_attributes(&self) -> bool {
        self.store.keeps_attributes()
    }

    fn bounds_connections(&self) -> bool {
        self.store.bounds_connections()
    }

    async fn list_page(&self, prefix: &str, continuation: Option<String>) -> Result<ListPage, StoreError> {
        let index = continuation.map_or(Some(self.page_of(prefix)), |index| index.parse().ok());
        let wrong = || self.place().error(StoreErrorKind::Protocol, "list a version", "there is no such page");
        self.list_from(index.ok_or_else(wrong)?, prefix).await
    }

    async fn list_page_after(&self, prefix: &str, after: &str) -> Result<ListPage, StoreError> {
        self.list_from(self.page_of(after), prefix).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead, StoreError> {
        let content = self.content(key).await?;
        let found = self.find(key, content).await?;
        Ok(self.told(content, self.store.head(&found.key).await?))
    }

    async fn tags(&self, key: &str) -> Result<Tags, StoreError> {
        let found = self.find(key, self.content(key).await?).await?;
        self.store.tags(&found.key).await
    }

    async fn get(&self, key: &str, range: ByteRange, etag: Option<&str>) -> Result<(ObjectHead, Body), StoreError> {
        let content = match etag.and_then(content_of) {
            Some(content) => content,
            None => self.content(key).await?,
        };
        let mut is_again = false;
        loop {
            let Found { key: place, etag } = self.find(key, content).await?;
            match self.store.get(&place, range, Some(etag.as_str()).filter(|etag| !etag.is_empty())).await {
                // It was put away a moment ago.
                Err(error) if !is_again && matches!(error.kind, StoreErrorKind::Changed | StoreErrorKind::NotFound) => {
                    self.lock().remove(key);
                    is_again = true;
                }
                read => return read.map(|(head, body)| (self.told(content, head), body)),
            }
        }
    }

    async fn put(&self, _: &str, _: &Attributes, _: Payload, _: &Condition) -> Result<Written, StoreError> {
        Err(self.refused())
    }

    async fn create_multipart(&self, _: &str, _: &Attributes) -> Result<String, StoreError> {
        Err(self.refused())
    }

    async fn put_part(&self, _: &str, _: &str, _: u32, _: Payload) -> Result<UploadedPart, StoreError> {
        Err(self.refused())
    }

    async fn complete_multipart(
        &self,
        _: &str,
        _: &str,
        _: &[UploadedPart],
        _: Option<Checksum>,
        _: &Condition,
    ) -> Result<Written, StoreError> {
        Err(self.refused())
    }

    async fn abort_multipart(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Err(self.refused())
    }

    async fn abort_leftovers(&self, _: &str) -> Result<(), StoreError> {
        Err(self.refused())
    }

    async fn delete(&self, _: &str) -> Result<(), StoreError> {
        Err(self.refused())
    }

    async fn probe(&self) -> Result<Capabilities, StoreError> {
        self.store.probe().await.map(|found| Capabilities { writable: false, ..found })
    }
}
