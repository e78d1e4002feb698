//! Contents whose size is known only when their reader has ended, against an S3 server in memory and a folder.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::future::join_all;
use skyfleet_e2e::object_store::{Asked, Fault, SIMULATED_KEY, SimulatedBucket, SimulatedS3};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Content, Proven, Start, fan_out};
use crate::content::Digests;
use crate::transfer::part::Size;
use crate::transfer::reader::ChunkReader;
use crate::transfer::{Destination, Stop, Transfer};
use crate::{
    Attributes, Condition, ConnectOptions, Credentials, LocalStore, ObjectStore, PartLimits, S3Location, S3Store,
    Sha256, StoreError, StoreErrorKind, TransferLimits, Verification,
};

const KEY: &str = "made/table.parquet";
/// The least part that S3 takes.
const PART: usize = 5 << 20;

/// How a content ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    /// Its reader fails instead.
    Failing,
    /// Its reader does, and then finds that it was another content.
    Unconfirmed,
}

/// A content that is made while it is read, in chunks of every kind.
struct Made {
    left: Bytes,
    chunks: usize,
    ends: Ends,
    has_ended: bool,
}

impl Made {
    fn of(content: &Bytes, ends: Ends) -> Self {
        Self { left: content.clone(), chunks: 0, ends, has_ended: false }
    }
}

impl ChunkReader for Made {
    type Error = &'static str;

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, &'static str> {
        assert!(!self.has_ended, "nobody asks what has ended");
        if self.left.is_empty() {
            self.has_ended = true;
            return if self.ends == Ends::Failing { Err("a line is no JSON") } else { Ok(None) };
        }
        // One is larger than a part.
        let size = [3, 0, 70_001, 1 << 20, PART + 1][self.chunks % 5];
        self.chunks += 1;
        Ok(Some(self.left.split_to(size.min(self.left.len()))))
    }

    fn confirm(&self, _: &Digests) -> Result<(), &'static str> {
        if self.ends == Ends::Unconfirmed { Err("it was another content") } else { Ok(()) }
    }
}

/// Bytes that no two offsets of share.
fn content(size: usize) -> Bytes {
    let words = (0..size.div_ceil(8) as u64).flat_map(|index| index.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    words.take(size).collect()
}

/// Two buckets and a folder.
struct Targets {
    server: SimulatedS3,
    folder: TempDir,
}

impl Targets {
    async fn new() -> Self {
        let server = SimulatedS3::start().await.unwrap();
        for bucket in ["one", "two"] {
            server.set_bucket(bucket, SimulatedBucket::default());
        }
        Self { server, folder: tempfile::tempdir().unwrap() }
    }

    async fn bucket(&self, bucket: &str) -> Destination {
        let location = S3Location::new(Some(self.server.endpoint()), None, bucket.to_owned(), String::new());
        let (access_key_id, secret_access_key) = (SIMULATED_KEY.0.into(), SIMULATED_KEY.1.into());
        let credentials = Credentials::Static { access_key_id, secret_access_key, session_token: None };
        to(S3Store::connect(location, credentials, ConnectOptions::default()).await.unwrap())
    }

    fn folder(&self, limits: PartLimits) -> Destination {
        to(LocalStore::open(self.folder.path()).unwrap().holding(limits))
    }

    fn body(&self, bucket: &str) -> Option<Bytes> {
        self.server.bucket(bucket).unwrap().body(KEY)
    }

    fn file(&self) -> Option<Bytes> {
        std::fs::read(self.folder.path().join(KEY)).ok().map(Bytes::from)
    }

    fn unfinished(&self) -> usize {
        let uploads = ["one", "two"].map(|bucket| self.server.bucket(bucket).unwrap().unfinished().count());
        uploads.iter().sum::<usize>() + entries(&self.folder.path().join(".skyfleet/uploads"))
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!((self.body("one"), self.body("two"), self.file(), self.unfinished()), (None, None, None, 0));
    }
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn to(store: impl ObjectStore + 'static) -> Destination {
    let stop = Stop::of_all(&CancellationToken::new());
    Destination { store: Arc::new(store), key: KEY.to_owned(), condition: Condition::Any, journals: None, stop }
}

fn transfer(verification: Verification) -> Transfer {
    let limits = TransferLimits { part_size: PART as u64, ..TransferLimits::default() };
    Transfer::new(limits, verification, CancellationToken::new()).with_sha256()
}

async fn write(
    reader: &mut Made,
    destinations: &[Destination],
    transfer: &Transfer,
) -> Result<Vec<Result<Proven, StoreError>>, &'static str> {
    let attributes = Attributes::default();
    let content = Content::new(Size::Open { source: 1000 }, &attributes);
    fan_out(reader, &content, destinations, Start::afresh(destinations.len()), transfer, |_, _| ()).await
}

/// The bytes of each request that writes to bucket one, by what it asks for.
fn watch(server: &SimulatedS3) -> Arc<Mutex<Vec<(String, usize)>>> {
    let seen: Arc<Mutex<Vec<_>>> = Arc::default();
    let told = seen.clone();
    server.script(move |asked| {
        if asked.method == "PUT" && asked.target.starts_with("/one/made/") {
            let number = asked.target.split_once("partNumber=").map_or("", |(_, rest)| rest.split('&').next().unwrap());
            let size = asked.headers["content-length"].to_str().unwrap().parse().unwrap();
            told.lock().unwrap().push((number.to_owned(), size));
        }
        Fault::None
    });
    seen
}

fn part(number: usize, size: usize) -> (String, usize) {
    (number.to_string(), size)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_arrives_whole_in_parts_of_one_size() {
    for (size, requests) in [
        (PART + 1, vec![part(1, PART), part(2, 1)]),
        (3 * PART, vec![part(1, PART), part(2, PART), part(3, PART)]),
        (3 * PART + 17, vec![part(1, PART), part(2, PART), part(3, PART), part(4, 17)]),
    ] {
        for verification in [Verification::Checksum, Verification::ReadBack] {
            assert_arrives(size, verification, &requests).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_within_its_first_part_goes_in_one_request() {
    for size in [0, 1, PART - 1, PART] {
        assert_arrives(size, Verification::ReadBack, &[(String::new(), size)]).await;
    }
}

async fn assert_arrives(size: usize, verification: Verification, requests: &[(String, usize)]) {
    let targets = Targets::new().await;
    let seen = watch(&targets.server);
    let (content, sent) = (content(size), [const { AtomicU64::new(0) }; 2]);
    let destinations = [targets.bucket("one").await, targets.folder(PartLimits::NONE)];
    let attributes = Attributes::default();
    let open = Content::new(Size::Open { source: 1000 }, &attributes);
    let (mut made, transfer) = (Made::of(&content, Ends::Well), transfer(verification));
    let count = |index: usize, bytes| _ = sent[index].fetch_add(bytes, Ordering::SeqCst);
    let copies = fan_out(&mut made, &open, &destinations, Start::afresh(2), &transfer, count).await.unwrap();
    for copy in copies {
        assert_eq!(copy.unwrap().sha256, Some(Sha256::of(&content)));
    }
    assert!(targets.body("one").is_some_and(|body| body == content), "{size}");
    assert!(targets.file().is_some_and(|file| file == content), "{size}");
    assert_eq!((targets.unfinished(), sent.map(AtomicU64::into_inner)), (0, [size as u64; 2]));
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_fails_anywhere_leaves_nothing() {
    let targets = Targets::new().await;
    let destinations = [targets.bucket("one").await, targets.folder(PartLimits::NONE)];
    for size in [0, 1, PART, PART + 1, 2 * PART, 3 * PART + 17] {
        for (ends, why) in [(Ends::Failing, "a line is no JSON"), (Ends::Unconfirmed, "it was another content")] {
            let mut made = Made::of(&content(size), ends);
            let outcome = write(&mut made, &destinations, &transfer(Verification::Checksum)).await;
            assert_eq!(outcome.err(), Some(why), "{size}");
            targets.assert_nothing_is_left();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_at_what_is_made_fails_alone() {
    let content = content(3 * PART + 17);
    for refused in ["?uploads", "partNumber=2", "POST"] {
        let targets = Targets::new().await;
        targets.server.script(move |asked| {
            let Asked { method, target, .. } = asked;
            let is_refused = target.starts_with("/two/made/") && (target.contains(refused) || method == refused);
            if is_refused { Fault::Refused(403, "AccessDenied") } else { Fault::None }
        });
        let destinations = [targets.bucket("one").await, targets.bucket("two").await];
        let mut made = Made::of(&content, Ends::Well);
        let copies = write(&mut made, &destinations, &transfer(Verification::Checksum)).await.unwrap();
        let kinds: Vec<_> = copies.into_iter().map(|copy| copy.err().map(|error| error.kind)).collect();
        assert_eq!(kinds, [None, Some(StoreErrorKind::CredentialsRefused)], "{refused}");
        assert!(targets.body("one").is_some_and(|body| body == content), "{refused}");
        assert_eq!((targets.body("two"), targets.unfinished()), (None, 0), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_too_large_is_refused_and_leaves_nothing() {
    for (limits, most) in [
        (PartLimits { parts: 3, ..PartLimits::NONE }, 3 * PART),
        (PartLimits { object: 2 * PART as u64 + 9, ..PartLimits::NONE }, 2 * PART + 9),
        (PartLimits { object: PART as u64 - 9, ..PartLimits::NONE }, PART - 9),
    ] {
        let targets = Targets::new().await;
        let destinations = [targets.bucket("one").await, targets.folder(limits)];
        for size in [most + 1, most + 2 * PART] {
            let mut made = Made::of(&content(size), Ends::Well);
            let copies = write(&mut made, &destinations, &transfer(Verification::Checksum)).await.unwrap();
            for copy in copies {
                let error = copy.err().unwrap();
                assert_eq!(error.kind, StoreErrorKind::Rejected, "{error}");
                assert!(error.to_string().contains(&format!("larger than {most} bytes")), "{error}");
            }
            targets.assert_nothing_is_left();
        }
        let mut made = Made::of(&content(most), Ends::Well);
        let copies = write(&mut made, &destinations, &transfer(Verification::Checksum)).await.unwrap();
        assert!(copies.iter().all(Result::is_ok), "as much as they take");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_do_not_wait_for_each_other_with_less_memory_than_a_part_takes() {
    let targets = Targets::new().await;
    let limits = TransferLimits { part_size: PART as u64, memory: 1 << 20, ..TransferLimits::default() };
    let transfer = Transfer::new(limits, Verification::Checksum, CancellationToken::new()).with_sha256();
    let one = targets.bucket("one").await;
    let contents: Vec<_> = (0..8).map(|number| content(number * PART / 2 + 3)).collect();
    let writes = contents.iter().enumerate().map(|(number, content)| {
        let destination = Destination { key: format!("{number}"), ..one.clone() };
        let (transfer, mut made) = (&transfer, Made::of(content, Ends::Well));
        async move { write(&mut made, &[destination], transfer).await }
    });
    for written in join_all(writes).await {
        assert!(written.unwrap().iter().all(Result::is_ok));
    }
    let bucket = targets.server.bucket("one").unwrap();
    for (number, content) in contents.iter().enumerate() {
        assert!(bucket.body(&number.to_string()).is_some_and(|body| body == content), "{number}");
    }
}
