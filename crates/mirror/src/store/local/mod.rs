//! A folder on this machine as a store: a file below it is an object, and its path the key.

mod files;
mod path;
mod uploads;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use futures::StreamExt as _;
use tokio::task::spawn_blocking;

use crate::{
    Attributes, Body, ByteRange, Capabilities, Checksum, Condition, ListPage, ObjectHead, ObjectStore, PartLimits,
    Payload, Place, Proof, StoreError, StoreErrorKind, UploadedPart, Written,
};
use walk::Walk;

/// Files of one page of a listing.
const PAGE: usize = 1000;

/// A folder. It holds what Skyfleet keeps for itself, and files that are not whole yet, below `.skyfleet/`.
///
/// A file holds no attributes: whoever copies to a folder loses them. Keys that cannot be paths (with empty parts, `.`, `..`, or
/// parts over 255 bytes) are refused.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    place: Place,
    /// Where the last listing stopped, by the last key it gave, so that the next page does not walk from the start.
    paused: Mutex<Option<(String, Walk)>>,
    limits: PartLimits,
}

impl LocalStore {
    /// A folder, which must be there.
    ///
    /// # Errors
    /// [`StoreErrorKind::MissingBucket`] when there is no such folder, [`StoreErrorKind::CredentialsRefused`] when it may not be
    /// looked into.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let place = |path: &Path| Place {
            endpoint: "this machine".into(),
            bucket: "/".into(),
            // Absolute, so that a folder within another one is seen to be.
            prefix: format!("{}/", path.display().to_string().trim_matches('/')).into(),
        };
        let action = || format!("open the folder {}", root.display());
        let root = std::fs::canonicalize(root).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                place(root).error(StoreErrorKind::MissingBucket, action(), "there is no such folder")
            }
            _ => place(root).error(files::kind(&error), action(), error.to_string()),
        })?;
        let place = place(&root);
        if !root.is_dir() {
            return Err(place.error(StoreErrorKind::MissingBucket, action(), "it is no folder"));
        }
        Ok(Self { root, place, paused: Mutex::new(None), limits: PartLimits::NONE })
    }

    /// The same for a test of what does not fit.
    #[cfg(test)]
    pub(crate) fn holding(self, limits: PartLimits) -> Self {
        Self { limits, ..self }
    }

    /// The file of a key.
    fn file(&self, key: &str) -> Result<PathBuf, StoreError> {
        path::of_key(&self.root, key)
            .map_err(|why| self.place.error(StoreErrorKind::Rejected, format!("keep {key:?} in a folder"), why))
    }

    fn failed(&self, action: String) -> impl FnOnce(std::io::Error) -> StoreError + Send + use<> {
        let place = self.place.clone();
        move |error| place.error(files::kind(&error), action, error.to_string())
    }

    async fn page(&self, mut walk: Walk) -> Result<ListPage, StoreError> {
        let place = self.place.clone();
        let (walk, objects) = off_thread(move || {
            let objects = walk.by_ref().take(PAGE).collect::<Result<Vec<_>, _>>();
            let objects = objects.map_err(|error| place.error(error.kind, "list the folder", error.detail))?;
            Ok((walk, objects))
        })
        .await?;
        let last = objects.last().filter(|_| objects.len() == PAGE).map(|object| object.key.clone());
        if let Some(last) = &last {
            let mut paused = self.paused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *paused = Some((last.clone(), walk));
        }
        Ok(ListPage { objects, continuation: last })
    }

    fn walk_from(&self, prefix: &str, continuation: Option<&str>) -> Walk {
        let mut paused = self.paused.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (paused.take(), continuation) {
            (Some((last, walk)), Some(continuation)) if last == continuation => walk,
            (_, after) => Walk::new(self.root.clone(), prefix.to_owned(), after.map(str::to_owned)),
        }
    }
}

/// Runs what blocks where it holds up nobody.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    fn place(&self) -> &Place {
        &self.place
    }

    /// The kernel has taken every byte, and the file was flushed to the disk before it got its name.
    fn proof(&self) -> Proof {
        Proof::Transit
    }

    fn keeps_attributes(&self) -> bool {
        false
    }

    fn bounds_connections(&self) -> bool {
        false
    }

    fn part_limits(&self) -> PartLimits {
        self.limits
    }

    async fn list_page(&self, prefix: &str, continuation: Option<String>) -> Result<ListPage, StoreError> {
        self.page(self.walk_from(prefix, continuation.as_deref())).await
    }

    async fn list_page_after(&self, prefix: &str, after: &str) -> Result<ListPage, StoreError> {
        self.page(Walk::new(self.root.clone(), prefix.to_owned(), Some(after.to_owned()))).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead, StoreError> {
        let file = self.file(key)?;
        let metadata = tokio::fs::metadata(&file).await.map_err(self.failed(format!("look at {key:?}")))?;
        files::head(&metadata)
            .ok_or_else(|| self.place.error(StoreErrorKind::NotFound, format!("look at {key:?}"), "it is no file"))
    }

    async fn get(&self, key: &str, range: ByteRange, etag: Option<&str>) -> Result<(ObjectHead, Body), StoreError> {
        let file = self.file(key)?;
        let action = format!("read {key:?}");
        let (head, body) = files::read(&file, range, self.place.clone(), action.clone()).await?;
        if etag.is_some_and(|etag| etag != head.etag) {
            return Err(self.place.error(StoreErrorKind::Changed, action, String::new()));
        }
        Ok((head, body.boxed()))
    }

    /// A file system knows no conditions.
    async fn put(&self, key: &str, _: &Attributes, payload: Payload, _: &Condition) -> Result<Written, StoreError> {
        let (root, file, owned) = (self.root.clone(), self.file(key)?, key.to_owned());
        let failed = self.failed(format!("write {key:?}"));
        off_thread(move || uploads::write_whole(&root, &owned, &file, &payload).map_err(failed)).await
    }

    async fn create_multipart(&self, key: &str, _: &Attributes) -> Result<String, StoreError> {
        self.file(key)?;
        let (root, owned) = (self.root.clone(), key.to_owned());
        let failed = self.failed(format!("begin to write {key:?}"));
        off_thread(move || uploads::begin(&root, &owned).map_err(failed)).await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        let part = uploads::part(&self.root, upload, number);
        let failed = self.failed(format!("write part {number} of {key:?}"));
        let written = UploadedPart::new(number.to_string(), &payload);
        off_thread(move || uploads::write_part(&part, &payload).map_err(failed)).await?;
        Ok(written)
    }

    async fn complete_multipart(
        &self,
        key: &str,
        upload: &str,
        parts: &[UploadedPart],
        _: Option<Checksum>,
        _: &Condition,
    ) -> Result<Written, StoreError> {
        let (root, file, upload) = (self.root.clone(), self.file(key)?, upload.to_owned());
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let failed = self.failed(format!("make {key:?} of its parts"));
        off_thread(move || uploads::complete(&root, &file, &upload, count).map_err(failed)).await
    }

    async fn abort_multipart(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let (root, upload) = (self.root.clone(), upload.to_owned());
        let failed = self.failed(format!("throw the parts of {key:?} away"));
        off_thread(move || uploads::abort(&root, &upload).map_err(failed)).await
    }

    async fn abort_leftovers(&self, key: &str) -> Result<(), StoreError> {
        let (root, owned) = (self.root.clone(), key.to_owned());
        let failed = self.failed(format!("throw away what is left of uploads of {key:?}"));
        off_thread(move || uploads::abort_leftovers(&root, &owned).map_err(failed)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let (root, file) = (self.root.clone(), self.file(key)?);
        let failed = self.failed(format!("remove {key:?}"));
        off_thread(move || files::remove(&root, &file).map_err(failed)).await
    }

    async fn probe(&self) -> Result<Capabilities, StoreError> {
        let root = self.root.clone();
        let writable = off_thread(move || {
            let writable = uploads::begin(&root, "probe").and_then(|upload| uploads::abort(&root, &upload)).is_ok();
            Ok(writable)
        });
        Ok(Capabilities { writable: writable.await?, versioning: Some(false), ..Capabilities::default() })
    }
}
