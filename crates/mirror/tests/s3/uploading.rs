//! A file becomes an object, or the error says why not and nothing is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skyfleet_mirror::{
    Condition, ObjectStore, Payload, Sha256, StoreErrorKind, TransferLimits, UploadError, UploadOutcome, upload,
};
use tokio_util::sync::CancellationToken;

use crate::support::{Call, Reaction, Server, Watched, content};

const MIB: usize = 1024 * 1024;

async fn put(store: &Arc<Watched>, key: &str, file: &std::path::Path) -> Result<UploadOutcome, UploadError> {
    let store: Arc<dyn ObjectStore> = store.clone();
    upload(&store, key, file, TransferLimits::default(), &CancellationToken::new(), |_| ()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_size_arrive_and_are_confirmed() {
    let server = Server::start().await;
    let store = server.bucket("bucket").await;
    let folder = tempfile::tempdir().unwrap();
    for size in [0, 1, 8 * MIB, 8 * MIB + 1, 20 * MIB] {
        let (file, bytes) = (folder.path().join("file"), content(size, 7));
        std::fs::write(&file, &bytes).unwrap();
        let sent = AtomicU64::new(0);
        let dynamic: Arc<dyn ObjectStore> = store.clone();
        let report = |bytes| _ = sent.fetch_add(bytes, Ordering::SeqCst);
        let key = format!("weights/{size}");
        let outcome =
            upload(&dynamic, &key, &file, TransferLimits::default(), &CancellationToken::new(), report).await.unwrap();
        assert_eq!((outcome.size, outcome.sha256), (size as u64, Sha256::of(&bytes)));
        assert_eq!(sent.into_inner(), size as u64);
        assert!(store.read(&key).await == bytes, "{size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_is_its_own() {
    let server = Server::start().await;
    let store = server.bucket("bucket").await;
    let folder = tempfile::tempdir().unwrap();
    let missing = put(&store, "k", &folder.path().join("none")).await.unwrap_err();
    assert!(matches!(&missing, UploadError::File { .. }) && missing.to_string().contains("none"), "{missing}");
    let directory = put(&store, "k", folder.path()).await.unwrap_err();
    assert!(matches!(directory, UploadError::NotAFile(_)), "{directory}");
    let no_bucket = put(&server.open("no-such-bucket", "").await, "k", &file(&folder, 10)).await.unwrap_err();
    assert!(
        matches!(&no_bucket, UploadError::Store(error) if error.kind == StoreErrorKind::MissingBucket),
        "{no_bucket}"
    );
    assert_eq!(store.writes(), 0);
}

fn file(folder: &tempfile::TempDir, size: usize) -> std::path::PathBuf {
    let file = folder.path().join("file");
    std::fs::write(&file, content(size, 3)).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_changed_before_the_proof_is_not_confirmed() {
    let server = Server::start().await;
    let store = server.bucket("bucket").await;
    let folder = tempfile::tempdir().unwrap();
    let (other, size) = (server.open("bucket", "").await, 9 * MIB);
    store.hook(move |call| match call {
        Call::Head { .. } => {
            let other = other.clone();
            Reaction::After(Box::pin(async move {
                let bytes = content(size, 4);
                let nothing = skyfleet_mirror::Attributes::default();
                other.put("k", &nothing, Payload::of(bytes.clone()), &Condition::Any).await.unwrap();
            }))
        }
        _ => Reaction::Pass,
    });
    let error = put(&store, "k", &file(&folder, size)).await.unwrap_err();
    assert!(matches!(&error, UploadError::Store(error) if error.kind == StoreErrorKind::Corrupt), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_keeps_checksums_is_not_read_back() {
    let server = Server::start().await;
    let store = server.bucket("bucket").await;
    let folder = tempfile::tempdir().unwrap();
    let gets = Arc::new(AtomicU64::new(0));
    let counted = gets.clone();
    store.hook(move |call| {
        counted.fetch_add(u64::from(matches!(call, Call::Get { .. })), Ordering::SeqCst);
        Reaction::Pass
    });
    for size in [9 * MIB, 10] {
        put(&store, "k", &file(&folder, size)).await.unwrap();
    }
    assert_eq!(gets.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_checksums_is_read_back() {
    let server = Server::start().await;
    let store = server.bucket("bucket").await;
    let folder = tempfile::tempdir().unwrap();
    let gets = Arc::new(AtomicU64::new(0));
    let counted = gets.clone();
    store.hook(move |call| match call {
        Call::Head { .. } | Call::Write { what: "put", .. } => Reaction::HideChecksum,
        Call::Get { .. } => {
            counted.fetch_add(1, Ordering::SeqCst);
            Reaction::Pass
        }
        _ => Reaction::Pass,
    });
    for (read, size) in [(1, 9 * MIB), (2, 10)] {
        put(&store, "k", &file(&folder, size)).await.unwrap();
        assert_eq!(gets.load(Ordering::SeqCst), read);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_leaves_no_parts() {
    let server = Server::start().await;
    let store = server.bucket("bucket").await;
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let (interrupt, calls) = (cancel.clone(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let seen = calls.clone();
    store.hook(move |call| {
        if let Call::Write { what, .. } = call {
            seen.lock().unwrap().push(*what);
            if *what == "part" {
                interrupt.cancel();
            }
        }
        Reaction::Pass
    });
    let dynamic: Arc<dyn ObjectStore> = store.clone();
    let file = file(&folder, 40 * MIB);
    let error = upload(&dynamic, "k", &file, TransferLimits::default(), &cancel, |_| ()).await.unwrap_err();
    assert!(matches!(&error, UploadError::Store(error) if error.kind == StoreErrorKind::Cancelled), "{error}");
    let calls = calls.lock().unwrap().clone();
    assert_eq!((calls.first(), calls.last()), (Some(&"create"), Some(&"abort")), "{calls:?}");
    assert!(!calls.contains(&"complete"));
    assert!(store.contents().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_nobody_ended_are_found_by_their_key() {
    let server = Server::start().await;
    server.bucket("bucket").await;
    let store = server.open("bucket", "a b/").await;
    let part = content(5 * MIB, 1);
    let mut uploads = Vec::new();
    for key in ["k+é", "k+é2"] {
        let upload = store.create_multipart(key, &skyfleet_mirror::Attributes::default()).await.unwrap();
        store.put_part(key, &upload, 1, Payload::checked_by(part.clone(), store.proof().algorithm())).await.unwrap();
        uploads.push(upload);
    }
    store.abort_leftovers("k+é").await.unwrap();
    let gone = store
        .put_part("k+é", &uploads[0], 2, Payload::checked_by(part.clone(), store.proof().algorithm()))
        .await
        .unwrap_err();
    assert_eq!(gone.kind, StoreErrorKind::NotFound, "{gone}");
    store.put_part("k+é2", &uploads[1], 2, Payload::checked_by(part.clone(), store.proof().algorithm())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_under_the_upload_is_refused() {
    let server = Server::start().await;
    let store = server.bucket("bucket").await;
    let folder = tempfile::tempdir().unwrap();
    // Large enough that its end is not read yet when the first part is sent.
    let (file, grown) = (file(&folder, 40 * MIB), folder.path().join("file"));
    store.hook(move |call| {
        if matches!(call, Call::Write { what: "part", .. }) {
            use std::io::Write as _;
            std::fs::File::options().append(true).open(&grown).unwrap().write_all(b"more").unwrap();
        }
        Reaction::Pass
    });
    let error = put(&store, "k", &file).await.unwrap_err();
    assert!(matches!(error, UploadError::FileChanged(_)), "{error}");
    assert!(store.contents().await.is_empty());
}
