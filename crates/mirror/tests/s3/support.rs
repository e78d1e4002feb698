//! A real server, its buckets, and a store that can be made to fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use skyfleet_e2e::object_store::{ObjectStore as Garage, REGION, RunningObjectStore};
use skyfleet_mirror::{
    Attributes, Body, ByteRange, Capabilities, Checksum, Condition, ConnectOptions, CopySource, Credentials, Dataset,
    DatasetName, ListPage, MirrorOptions, MirrorReport, ObjectHead, ObjectStore, PartLimits, Payload, Place, Proof,
    Replica, RetryPolicy, S3Location, S3Store, StoreCopy, StoreError, StoreErrorKind, UploadedPart, Written, list,
    mirror,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A server that runs as long as the test.
pub(crate) struct Server {
    pub(crate) running: RunningObjectStore,
    /// Removed when the test ends.
    folder: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Garage::on_loopback(folder.path().to_owned()).unwrap().start().await.unwrap();
        Self { running, folder }
    }

    /// Ends the server as a power cut does; its data stays.
    pub(crate) async fn stop(self) -> Stopped {
        Stopped { store: self.running.kill().await.unwrap(), folder: self.folder }
    }

    pub(crate) fn location(&self, bucket: &str, prefix: &str) -> S3Location {
        S3Location::new(Some(self.running.store.endpoint()), Some(REGION.into()), bucket.into(), prefix.into())
    }

    pub(crate) fn credentials(&self) -> Credentials {
        let store = &self.running.store;
        credentials(&store.access_key_id, &store.secret_access_key)
    }

    /// A new bucket, through a store that counts.
    pub(crate) async fn bucket(&self, name: &str) -> Arc<Watched> {
        self.running.store.create_bucket(name).await.unwrap();
        self.open(name, "").await
    }

    pub(crate) async fn open(&self, bucket: &str, prefix: &str) -> Arc<Watched> {
        let store = S3Store::connect(self.location(bucket, prefix), self.credentials(), quick()).await.unwrap();
        Arc::new(Watched::new(store))
    }
}

/// A server that was stopped.
pub(crate) struct Stopped {
    store: Garage,
    folder: TempDir,
}

impl Stopped {
    pub(crate) async fn start_again(self) -> Server {
        Server { running: self.store.start().await.unwrap(), folder: self.folder }
    }
}

pub(crate) fn credentials(key: &str, secret: &str) -> Credentials {
    Credentials::Static { access_key_id: key.into(), secret_access_key: secret.into(), session_token: None }
}

/// Gives up soon: a test of a failure should not wait for it.
pub(crate) fn quick() -> ConnectOptions {
    let retry = RetryPolicy {
        first_delay: Duration::from_millis(20),
        longest_delay: Duration::from_millis(100),
        budget: Duration::from_millis(500),
    };
    ConnectOptions { retry, ..ConnectOptions::default() }
}

/// What a test does when a store is asked something.
pub(crate) type Hook = Arc<dyn Fn(&Call) -> Reaction + Send + Sync>;

/// A request, as the engine made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    List { is_first_page: bool },
    Get { key: String, offset: u64 },
    Head { key: String },
    Write { what: &'static str, key: String, bytes: u64 },
}

/// What becomes of a request.
pub(crate) enum Reaction {
    Pass,
    /// A body that breaks after so many bytes.
    BreakBody(usize),
    /// No answer.
    Fail,
    /// A refusal that concerns this object only, such as of one that is archived.
    Refuse,
    /// A page in another order.
    Reverse,
    /// A body with a wrong bit.
    FlipBit,
    /// A store that tells no checksum.
    HideChecksum,
    /// First this, then the request.
    After(futures::future::BoxFuture<'static, ()>),
}

/// A real store that counts writes and does what a test says.
pub(crate) struct Watched {
    inner: S3Store,
    writes: AtomicU64,
    copies: AtomicU64,
    hook: std::sync::Mutex<Option<Hook>>,
    limits: std::sync::Mutex<Option<PartLimits>>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl Watched {
    fn new(inner: S3Store) -> Self {
        Self {
            inner,
            writes: AtomicU64::new(0),
            copies: AtomicU64::new(0),
            hook: std::sync::Mutex::default(),
            limits: std::sync::Mutex::default(),
        }
    }

    pub(crate) fn hook(&self, hook: impl Fn(&Call) -> Reaction + Send + Sync + 'static) {
        *self.hook.lock().unwrap() = Some(Arc::new(hook));
    }

    /// Says that it holds no larger objects.
    pub(crate) fn hold_at_most(&self, bytes: u64) {
        *self.limits.lock().unwrap() = Some(PartLimits { object: bytes, ..self.inner.part_limits() });
    }

    pub(crate) fn unhook(&self) {
        *self.hook.lock().unwrap() = None;
    }

    /// Writes since the last question.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.swap(0, Ordering::SeqCst)
    }

    /// Copies that the server has made by itself.
    pub(crate) fn copies(&self) -> u64 {
        self.copies.load(Ordering::SeqCst)
    }

    fn react(&self, call: &Call) -> Reaction {
        if matches!(call, Call::Write { .. }) {
            self.writes.fetch_add(1, Ordering::SeqCst);
        }
        let hook = self.hook.lock().unwrap().clone();
        hook.map_or(Reaction::Pass, |hook| hook(call))
    }

    async fn write(&self, what: &'static str, key: &str, bytes: u64) -> Reaction {
        let mut reaction = self.react(&Call::Write { what, key: key.to_owned(), bytes });
        if let Reaction::After(first) = &mut reaction {
            first.await;
        }
        reaction
    }

    pub(crate) async fn put_text(&self, key: &str, text: &str) {
        self.inner.put(key, &Attributes::default(), Payload::of(text.to_owned()), &Condition::Any).await.unwrap();
    }

    pub(crate) async fn read(&self, key: &str) -> Vec<u8> {
        let (_, body) = self.inner.get(key, ByteRange::ALL, None).await.unwrap();
        body.try_fold(Vec::new(), async |mut all, chunk| {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
        .unwrap()
    }

    /// Every object that is not Skyfleet's own, with its content.
    pub(crate) async fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let keys: Vec<_> = list(&self.inner, "").map_ok(|object| object.key).try_collect().await.unwrap();
        let keys = keys.into_iter().filter(|key| !key.starts_with(".skyfleet/"));
        futures::stream::iter(keys)
            .map(async |key| (key.clone(), self.read(&key).await))
            .buffer_unordered(16)
            .collect()
            .await
    }

    /// The keys below `.skyfleet/`.
    pub(crate) async fn own_keys(&self) -> Vec<String> {
        list(&self.inner, ".skyfleet/").map_ok(|object| object.key).try_collect().await.unwrap()
    }
}

#[async_trait]
impl ObjectStore for Watched {
    fn proof(&self) -> Proof {
        self.inner.proof()
    }

    fn part_limits(&self) -> PartLimits {
        self.limits.lock().unwrap().unwrap_or_else(|| self.inner.part_limits())
    }

    fn place(&self) -> &Place {
        self.inner.place()
    }

    async fn list_page(&self, prefix: &str, continuation: Option<String>) -> Result<ListPage, StoreError> {
        match self.react(&Call::List { is_first_page: continuation.is_none() }) {
            Reaction::Fail => Err(broken()),
            Reaction::Reverse => {
                let mut page = self.inner.list_page(prefix, continuation).await?;
                page.objects.reverse();
                Ok(page)
            }
            _ => self.inner.list_page(prefix, continuation).await,
        }
    }

    async fn list_page_after(&self, prefix: &str, after: &str) -> Result<ListPage, StoreError> {
        self.react(&Call::List { is_first_page: true });
        self.inner.list_page_after(prefix, after).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead, StoreError> {
        let mut reaction = self.react(&Call::Head { key: key.to_owned() });
        if let Reaction::After(first) = &mut reaction {
            first.await;
        }
        let mut head = self.inner.head(key).await?;
        if matches!(reaction, Reaction::HideChecksum) {
            head.checksum = None;
        }
        Ok(head)
    }

    async fn get(&self, key: &str, range: ByteRange, etag: Option<&str>) -> Result<(ObjectHead, Body), StoreError> {
        let mut reaction = self.react(&Call::Get { key: key.to_owned(), offset: range.from });
        if let Reaction::After(first) = &mut reaction {
            first.await;
        }
        if matches!(reaction, Reaction::Refuse) {
            return Err(StoreError { kind: StoreErrorKind::Rejected, ..broken() });
        }
        let (head, body) = self.inner.get(key, range, etag).await?;
        if matches!(reaction, Reaction::FlipBit) {
            let flipped = body.map(|chunk| {
                let mut chunk = chunk?.to_vec();
                chunk[0] ^= 1;
                Ok(chunk.into())
            });
            return Ok((head, flipped.boxed()));
        }
        let Reaction::BreakBody(mut left) = reaction else { return Ok((head, body)) };
        let body = body.map(move |chunk| {
            let chunk: Bytes = chunk?;
            if left == 0 {
                return Err(broken());
            }
            let chunk = chunk.slice(..chunk.len().min(left));
            left -= chunk.len();
            Ok(chunk)
        });
        Ok((head, body.boxed()))
    }

    async fn put(
        &self,
        key: &str,
        attributes: &Attributes,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let reaction = self.write("put", key, payload.size()).await;
        let mut written = self.inner.put(key, attributes, payload, condition).await?;
        if matches!(reaction, Reaction::HideChecksum) {
            written.checksum = None;
        }
        Ok(written)
    }

    /// Of Skyfleet's own objects: what else is copied is to come by here.
    async fn copy_from(
        &self,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
    ) -> Result<StoreCopy, StoreError> {
        if !key.starts_with(".skyfleet/") {
            return Ok(StoreCopy::None);
        }
        self.write("copy", key, source.version.size).await;
        let copy = self.inner.copy_from(source, key, condition).await?;
        self.copies.fetch_add(u64::from(matches!(copy, StoreCopy::Proven(_))), Ordering::SeqCst);
        Ok(copy)
    }

    async fn create_multipart(&self, key: &str, attributes: &Attributes) -> Result<String, StoreError> {
        self.write("create", key, 0).await;
        self.inner.create_multipart(key, attributes).await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        self.write("part", key, payload.size()).await;
        self.inner.put_part(key, upload, number, payload).await
    }

    async fn complete_multipart(
        &self,
        key: &str,
        upload: &str,
        parts: &[UploadedPart],
        whole: Option<Checksum>,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        self.write("complete", key, 0).await;
        self.inner.complete_multipart(key, upload, parts, whole, condition).await
    }

    async fn abort_multipart(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        self.write("abort", key, 0).await;
        self.inner.abort_multipart(key, upload).await
    }

    async fn abort_leftovers(&self, key: &str) -> Result<(), StoreError> {
        self.inner.abort_leftovers(key).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.write("delete", key, 0).await;
        self.inner.delete(key).await
    }

    async fn probe(&self) -> Result<Capabilities, StoreError> {
        self.inner.probe().await
    }
}

fn broken() -> StoreError {
    StoreError {
        kind: StoreErrorKind::Unreachable,
        action: "ask".into(),
        endpoint: "test".into(),
        bucket: "test".into(),
        detail: "the test broke it".into(),
        retry_after: None,
    }
}

pub(crate) fn dataset() -> DatasetName {
    DatasetName::new("ml", "weights").unwrap()
}

pub(crate) fn replica(store: &Arc<Watched>, prefix: &str) -> Replica {
    Replica { store: store.clone(), prefix: prefix.to_owned() }
}

/// A dataset, with nothing published to the source.
pub(crate) fn dataset_options() -> MirrorOptions {
    let dataset = Dataset { name: dataset(), publish_to_source: false };
    MirrorOptions { dataset: Some(dataset), ..MirrorOptions::default() }
}

/// One pass over whole buckets, publishing to the source too.
pub(crate) async fn pass(source: &Arc<Watched>, targets: &[&Arc<Watched>]) -> MirrorReport {
    let dataset = Some(Dataset { name: dataset(), publish_to_source: true });
    pass_with(source, targets, &MirrorOptions { dataset, ..MirrorOptions::default() }).await
}

pub(crate) async fn pass_with(
    source: &Arc<Watched>,
    targets: &[&Arc<Watched>],
    options: &MirrorOptions,
) -> MirrorReport {
    let targets: Vec<_> = targets.iter().map(|target| replica(target, "")).collect();
    mirror(&replica(source, ""), &targets, options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap()
}

/// Bytes that no two offsets of share, so that a misplaced part shows.
pub(crate) fn content(size: usize, seed: u64) -> Bytes {
    let words = (0..size.div_ceil(8) as u64).map(|index| (index ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(size);
    bytes.into()
}

/// Writes an object in parts of 5 MiB.
pub(crate) async fn put_in_parts(store: &dyn ObjectStore, key: &str, attributes: &Attributes, content: &[u8]) {
    let upload = store.create_multipart(key, attributes).await.unwrap();
    let mut parts = Vec::new();
    for (number, part) in (1..).zip(content.chunks(5 << 20)) {
        let payload = Payload::checked_by(part.to_vec(), store.proof().algorithm());
        parts.push(store.put_part(key, &upload, number, payload).await.unwrap());
    }
    store.complete_multipart(key, &upload, &parts, None, &Condition::Any).await.unwrap();
}
