//! A dataset comes to a directory whole and checked, or the error says why not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use skyfleet_mirror::{
    Condition, FetchError, FetchOutcome, FetchRequest, ManifestDigest, ObjectStore as _, Payload, Sha256,
    StoreErrorKind, fetch,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{Call, Reaction, Server, Watched, content, dataset, pass, replica};

/// A bucket with a mirrored dataset.
async fn mirrored(server: &Server, objects: &[(&str, usize)]) -> (Arc<Watched>, ManifestDigest) {
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    for (key, size) in objects {
        let bytes = content(*size, 5);
        source
            .put(key, &skyfleet_mirror::Attributes::default(), Payload::of(bytes.clone()), &Condition::Any)
            .await
            .unwrap();
    }
    let outcome = pass(&source, &[&target]).await;
    (target, outcome.targets[0].manifest.unwrap())
}

async fn bring(
    store: &Arc<Watched>,
    digest: ManifestDigest,
    path: &str,
    into: &Path,
) -> Result<FetchOutcome, FetchError> {
    let (dataset, path, into) = (dataset(), path.to_owned(), into.to_owned());
    let request = FetchRequest { dataset, digest, path, into, concurrency: 4 };
    fetch(&replica(store, ""), &request, &CancellationToken::new(), |_| ()).await
}

fn files(root: &Path) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).unwrap();
                assert!(bytes == content(bytes.len(), 5), "{}", entry.path().display());
                found.insert(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned(), bytes.len());
            }
        }
    }
    found
}

const OBJECTS: [(&str, usize); 4] = [("m/config.json", 100), ("m/deep/a b+%.bin", 9 << 20), ("m/empty", 0), ("n/x", 5)];

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_comes_whole_and_a_second_time_nothing_is_read() {
    let server = Server::start().await;
    let (store, digest) = mirrored(&server, &OBJECTS).await;
    let folder = TempDir::new().unwrap();
    let into = folder.path().join("new/dir");
    let outcome = bring(&store, digest, "m/", &into).await.unwrap();
    assert_eq!(outcome, FetchOutcome { files: 3, bytes: 100 + (9 << 20), skipped_files: 0 });
    let wanted = [("config.json", 100), ("deep/a b+%.bin", 9 << 20), ("empty", 0)];
    assert_eq!(files(&into), wanted.map(|(path, size)| (path.to_owned(), size)).into());

    // One file is damaged, one gone: only they are fetched.
    std::fs::write(into.join("config.json"), [0; 100]).unwrap();
    std::fs::remove_file(into.join("empty")).unwrap();
    assert_eq!(bring(&store, digest, "m/", &into).await.unwrap().skipped_files, 1);
    assert_eq!(files(&into).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_file_is_continued_where_it_stopped() {
    let server = Server::start().await;
    let (store, digest) = mirrored(&server, &[("big", 9 << 20)]).await;
    let folder = TempDir::new().unwrap();
    let partial = format!("{}.{}", Sha256::of(b"big"), Sha256::of(&content(9 << 20, 5)));
    let partials = folder.path().join(".skyfleet");
    for (left_behind, read_from) in [(content(4 << 20, 5), vec![4 << 20]), (content(4 << 20, 6), vec![4 << 20, 0])] {
        std::fs::create_dir_all(&partials).unwrap();
        std::fs::write(partials.join(&partial), left_behind).unwrap();
        let offsets = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = offsets.clone();
        store.hook(move |call| {
            if let Call::Get { key, offset } = call
                && key == "big"
            {
                seen.lock().unwrap().push(*offset);
            }
            Reaction::Pass
        });
        bring(&store, digest, "", folder.path()).await.unwrap();
        assert_eq!(*offsets.lock().unwrap(), read_from);
        assert_eq!(files(folder.path()), [("big".to_owned(), 9 << 20)].into());
        std::fs::remove_file(folder.path().join("big")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_read_by_several_connections_also_where_it_is_continued() {
    const SIZE: usize = 140 << 20;
    let server = Server::start().await;
    let (store, digest) = mirrored(&server, &[("big", SIZE)]).await;
    let folder = TempDir::new().unwrap();
    let partial = format!("{}.{}", Sha256::of(b"big"), Sha256::of(&content(SIZE, 5)));
    let partials = folder.path().join(".skyfleet");
    let read = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = read.clone();
    store.hook(move |call| {
        if let Call::Get { key, offset } = call
            && key == "big"
        {
            seen.lock().unwrap().push(*offset);
        }
        Reaction::Pass
    });
    for begin in [0, 5 << 20] {
        if begin > 0 {
            std::fs::create_dir_all(&partials).unwrap();
            std::fs::write(partials.join(&partial), content(begin, 5)).unwrap();
        }
        bring(&store, digest, "", folder.path()).await.unwrap();
        let mut offsets = std::mem::take(&mut *read.lock().unwrap());
        offsets.sort_unstable();
        assert_eq!(offsets, (begin as u64..SIZE as u64).step_by(8 << 20).collect::<Vec<_>>());
        assert_eq!(files(folder.path()), [("big".to_owned(), SIZE)].into());
        std::fs::remove_file(folder.path().join("big")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_taken_up_again() {
    let server = Server::start().await;
    let (store, digest) = mirrored(&server, &[("big", 9 << 20)]).await;
    let folder = TempDir::new().unwrap();
    store.hook(|call| match call {
        Call::Get { key, .. } if key == "big" => Reaction::BreakBody(2 << 20),
        _ => Reaction::Pass,
    });
    bring(&store, digest, "", folder.path()).await.unwrap();
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_is_its_own_and_no_wrong_file_gets_its_name() {
    let server = Server::start().await;
    let (store, digest) = mirrored(&server, &OBJECTS).await;
    let folder = TempDir::new().unwrap();

    let unknown = ManifestDigest(Sha256::of(b"another"));
    let missing = bring(&store, unknown, "", folder.path()).await.unwrap_err();
    assert!(matches!(missing, FetchError::MissingManifest { .. }), "{missing}");

    let nothing = bring(&store, digest, "zzz", folder.path()).await.unwrap_err();
    assert!(matches!(nothing, FetchError::NothingThere(_)), "{nothing}");

    let under_a_file = folder.path().join("file/below");
    std::fs::write(folder.path().join("file"), "").unwrap();
    let unwritable = bring(&store, digest, "", &under_a_file).await.unwrap_err();
    assert!(matches!(unwritable, FetchError::File { .. }), "{unwritable}");

    let into = folder.path().join("wrong");
    store.put_text("m/config.json", &"x".repeat(100)).await;
    let flipped = bring(&store, digest, "m/config", &into).await.unwrap_err();
    assert!(matches!(&flipped, FetchError::Mismatch { key, .. } if key == "m/config.json"), "{flipped}");
    store.delete("m/config.json").await.unwrap();
    let gone = bring(&store, digest, "m/config", &into).await.unwrap_err();
    assert!(matches!(&gone, FetchError::Mismatch { .. }), "{gone}");
    assert!(!into.join("config.json").exists());

    let key = skyfleet_mirror::manifest_key(&dataset(), digest);
    store.put_text(&key, "{}").await;
    let damaged = bring(&store, digest, "", folder.path()).await.unwrap_err();
    assert!(matches!(damaged, FetchError::DamagedManifest { .. }), "{damaged}");

    server.running.kill().await.unwrap();
    let unreachable = bring(&store, digest, "", folder.path()).await.unwrap_err();
    assert!(
        matches!(&unreachable, FetchError::Store(error) if error.kind == StoreErrorKind::Unreachable),
        "{unreachable}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_would_leave_the_directory_is_refused_before_anything_is_written() {
    let server = Server::start().await;
    let (store, digest) = mirrored(&server, &[("a", 1), ("b/../../evil", 1)]).await;
    let folder = TempDir::new().unwrap();
    let error = bring(&store, digest, "", &folder.path().join("into")).await.unwrap_err();
    assert!(matches!(&error, FetchError::UnsafeKey(_)) && error.to_string().contains("evil"), "{error}");
    assert!(files(folder.path()).is_empty());
}
