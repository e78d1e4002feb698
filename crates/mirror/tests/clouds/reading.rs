//! Reads: from any byte on, of one version, never decoded.

use bytes::Bytes;
use futures::TryStreamExt as _;
use skyfleet_mirror::{Attributes, ByteRange, Condition, ObjectStore, Payload, StoreErrorKind};

use crate::support::{clouds, content, put, read};

async fn read_range(store: &dyn ObjectStore, key: &str, range: ByteRange, etag: Option<&str>) -> (u64, Vec<u8>) {
    let (head, body) = store.get(key, range, etag).await.unwrap();
    (head.size, body.try_collect::<Vec<_>>().await.unwrap().concat())
}

async fn read_from(store: &dyn ObjectStore, key: &str, offset: u64, etag: Option<&str>) -> (u64, Vec<u8>) {
    read_range(store, key, ByteRange::starting_at(offset), etag).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_begins_and_ends_at_any_byte() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let bytes = content(3_000_000, 1);
        let etag = put(&*store, "key", &bytes).await;
        for offset in [0, 1, 1_234_567, 2_999_999] {
            let (size, read) = read_from(&*store, "key", offset, Some(&etag)).await;
            assert_eq!(size, 3_000_000);
            assert!(read == bytes[usize::try_from(offset).unwrap()..]);
        }
        for (from, to, end) in [
            (0, 1, 1),
            (0, 3_000_000, 3_000_000),
            (0, 4_000_000, 3_000_000),
            (1_234_567, 1_234_569, 1_234_569),
            (1, 2_999_999, 2_999_999),
            (2_999_999, 9_000_000, 3_000_000),
        ] {
            let range = ByteRange { from, to: Some(to) };
            let (size, read) = read_range(&*store, "key", range, Some(&etag)).await;
            assert_eq!(size, 3_000_000, "the size is that of the whole");
            assert!(read == bytes[usize::try_from(from).unwrap()..end], "{range:?} {store:?}");
        }
        put(&*store, "empty", &Bytes::new()).await;
        assert_eq!(read_from(&*store, "empty", 0, None).await, (0, Vec::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_read_sees_no_other_version() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let old = put(&*store, "key", &Bytes::from_static(b"old")).await;
        let new = put(&*store, "key", &Bytes::from_static(b"new")).await;
        let changed = store.get("key", ByteRange::ALL, Some(&old)).await.err().unwrap();
        assert_eq!(changed.kind, StoreErrorKind::Changed, "{changed}");
        assert_eq!(read_from(&*store, "key", 1, Some(&new)).await, (3, b"ew".to_vec()));
        // The engine gives an empty ETag where a store tells none.
        assert_eq!(read_from(&*store, "key", 0, Some("")).await, (3, b"new".to_vec()));
        let missing = store.get("nothing", ByteRange::ALL, None).await.err().unwrap();
        assert_eq!(missing.kind, StoreErrorKind::NotFound, "{missing}");
        assert_eq!(store.head("nothing").await.unwrap_err().kind, StoreErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_compressed_comes_as_it_is_stored() {
    // `gzip -n` of "hello".
    let zipped = hex::decode("1f8b0800000000000003cb48cdc9c9070086a6103605000000").unwrap();
    let attributes = Attributes { content_encoding: Some("gzip".into()), ..Attributes::default() };
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let body = Bytes::from(zipped.clone());
        store.put("key", &attributes, Payload::of(body.clone()), &Condition::Any).await.unwrap();
        assert_eq!(read(&*store, "key").await, zipped);
        assert_eq!(read_from(&*store, "key", 5, None).await, (25, zipped[5..].to_vec()));
    }
}
