//! Writes: in parts and at once, each checked by the store.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use skyfleet_mirror::{
    Attributes, Checksum, ChecksumAlgorithm, Condition, ObjectStore, Payload, Proof, StoreError, StoreErrorKind,
    StoredChecksum, UploadedPart,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{clouds, connect, content, keys, put, read};

/// Writes these parts at once in another order than theirs; the outcome in theirs.
async fn write_parts(store: &dyn ObjectStore, upload: &str, parts: &[Bytes]) -> Vec<UploadedPart> {
    write_parts_of(store, "large", upload, parts).await
}

async fn write_parts_of(store: &dyn ObjectStore, key: &str, upload: &str, parts: &[Bytes]) -> Vec<UploadedPart> {
    let mut order: Vec<_> = (0..parts.len()).collect();
    order.sort_by_key(|index| index.wrapping_mul(7919) % 101);
    let write = async |index: usize| {
        let (number, part) = (u32::try_from(index + 1).unwrap(), Payload::of(parts[index].clone()));
        (index, store.put_part(key, upload, number, part).await.unwrap())
    };
    let mut done: Vec<_> = futures::stream::iter(order).map(write).buffer_unordered(8).collect().await;
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, part)| part).collect()
}

fn crc32c(bytes: &[u8]) -> u32 {
    u32::try_from(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_in_any_order_become_one_object() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        // More than Google composes at once, and of unequal sizes.
        let parts: Vec<_> = (0..70).map(|index| content(10_000 + index * 17, index as u64)).collect();
        let whole = parts.iter().fold(BytesMut::new(), |mut whole, part| {
            whole.extend_from_slice(part);
            whole
        });
        put(&*store, "large", &Bytes::from_static(b"the object before")).await;
        let upload = store.create_multipart("large", &Attributes::default()).await.unwrap();
        let done = write_parts(&*store, &upload, &parts).await;
        assert_eq!(read(&*store, "large").await, b"the object before");

        store.complete_multipart("large", &upload, &done, None, &Condition::Any).await.unwrap();

        assert!(read(&*store, "large").await == whole);
        assert_eq!(keys(&*store, "").await, ["large"]);
        let head = store.head("large").await.unwrap();
        let checksum = (!cloud.is_azure()).then(|| StoredChecksum::Whole(Checksum::Crc32c(crc32c(&whole))));
        assert_eq!((head.size, head.checksum), (whole.len() as u64, checksum));
        let proof = if cloud.is_azure() { Proof::Transit } else { Proof::Told(ChecksumAlgorithm::Crc32c) };
        assert_eq!(store.proof(), proof);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_aborted_upload_nothing_is_left() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let upload = store.create_multipart("large", &Attributes::default()).await.unwrap();
        let done = write_parts(&*store, &upload, &[content(1000, 1), content(1000, 2)]).await;
        store.abort_multipart("large", &upload).await.unwrap();
        assert!(keys(&*store, "").await.is_empty());
        // Azure has no way to remove blocks before they expire, so there the upload could still be completed.
        if !cloud.is_azure() {
            store.complete_multipart("large", &upload, &done, None, &Condition::Any).await.unwrap_err();
        }
        let unknown = store.complete_multipart("large", "no upload", &done, None, &Condition::Any).await.unwrap_err();
        assert_eq!(unknown.kind, StoreErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_not_there_makes_no_object() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let upload = store.create_multipart("large", &Attributes::default()).await.unwrap();
        let mut done = write_parts(&*store, &upload, &[content(1000, 1)]).await;
        let other = store.create_multipart("large", &Attributes::default()).await.unwrap();
        done.extend(write_parts(&*store, &other, &[content(10, 2), content(10, 3)]).await.pop());
        if cloud.is_azure() {
            done[1].etag.replace_range(0..4, "AAAA");
        }
        store.complete_multipart("large", &upload, &done, None, &Condition::Any).await.unwrap_err();
        assert_eq!(store.head("large").await.unwrap_err().kind, StoreErrorKind::NotFound);
    }
}

/// Damages what is sent: the last letter of this word, wherever it comes along.
const WORD: &[u8] = b"FRAGILE";

async fn damaging_proxy(to: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&to).await.unwrap();
            let ((mut sent, mut answers), (mut answered, mut server)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut answered, &mut answers).await });
            tokio::spawn(async move {
                let mut chunk = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = sent.read(&mut chunk).await {
                    if let Some(at) = chunk[..read].windows(WORD.len()).position(|window| window == WORD) {
                        chunk[at + WORD.len() - 1] = b'X';
                    }
                    server.write_all(&chunk[..read]).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_on_its_way_is_refused() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let endpoint = cloud.endpoint();
        let address = endpoint.trim_start_matches("http://").split('/').next().unwrap();
        let damaging = endpoint.replace(address, &damaging_proxy(address.to_owned()).await);
        let key = skyfleet_e2e::object_store::AZURITE_KEY;
        let through = connect(cloud.is_azure(), &damaging, "bucket", "", key).await.unwrap();
        put(&*through, "sound", &Bytes::from_static(b"sound")).await;

        let body = Bytes::from_static(b"this is FRAGILE");
        let put =
            through.put("key", &Attributes::default(), Payload::of(body.clone()), &Condition::Any).await.unwrap_err();
        let upload = through.create_multipart("key", &Attributes::default()).await.unwrap();
        let part = through.put_part("key", &upload, 1, Payload::of(body.clone())).await.unwrap_err();
        for error in [put, part] {
            // Azure says `Md5Mismatch`; Azurite has no code of its own for it.
            let azurite = cloud.is_azure() && error.detail.contains("contentMD5 doesn't match");
            assert!(error.kind == StoreErrorKind::Corrupt || azurite, "{error}");
        }
        assert_eq!(keys(&*store, "").await, ["sound"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_finds_what_the_store_can_do_and_leaves_nothing() -> Result<(), StoreError> {
    for cloud in clouds().await {
        cloud.bucket("bucket").await;
        let store = cloud.open("bucket", "team/").await;
        let found = store.probe().await?;
        assert!(found.writable && found.conditional_writes, "{found:?}");
        // Azurite has no versions, and fake-gcs-server has them only where a bucket asks for them.
        assert_eq!(found.versioning, Some(false));
        assert_eq!(found.checksums, if cloud.is_azure() { vec![] } else { vec![ChecksumAlgorithm::Crc32c] });
        assert!(keys(&*store, "").await.is_empty());
        let objects: Vec<_> = skyfleet_mirror::list(&*store, "").try_collect().await?;
        assert!(objects.is_empty());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_nobody_ended_leave_nothing() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let part = Bytes::from_static(b"part");
        for key in ["left", "other"] {
            let upload = store.create_multipart(key, &Attributes::default()).await.unwrap();
            store.put_part(key, &upload, 1, Payload::of(part.clone())).await.unwrap();
        }
        store.abort_leftovers("left").await.unwrap();
        let parts = keys(&*store, ".skyfleet/").await;
        // Azure's are no objects; it forgets them when the blob is written.
        assert_eq!(parts.len(), usize::from(!cloud.is_azure()), "{parts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_done_on_their_condition() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let put = async |text: &'static str, condition: Condition| {
            let written = store.put("key", &Attributes::default(), Payload::of(text), &condition).await;
            written.map(|written| written.etag).map_err(|error| error.kind)
        };
        let first = put("first", Condition::Absent).await.unwrap();
        assert_eq!(put("other", Condition::Absent).await, Err(StoreErrorKind::Changed));
        let second = put("second", Condition::Version(first.clone())).await.unwrap();
        assert_eq!(put("other", Condition::Version(first.clone())).await, Err(StoreErrorKind::Changed));

        let upload = store.create_multipart("key", &Attributes::default()).await.unwrap();
        let done = write_parts_of(&*store, "key", &upload, &[content(1000, 1), content(1000, 2)]).await;
        // fake-gcs-server composes on any condition.
        for wrong in [Condition::Absent, Condition::Version(first)].iter().filter(|_| cloud.is_azure()) {
            let written = store.complete_multipart("key", &upload, &done, None, wrong).await;
            assert_eq!(written.map_err(|error| error.kind), Err(StoreErrorKind::Changed), "{wrong:?}");
        }
        store.complete_multipart("key", &upload, &done, None, &Condition::Version(second)).await.unwrap();
        assert_eq!(read(&*store, "key").await.len(), 2000);
    }
}
