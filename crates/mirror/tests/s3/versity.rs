//! Against Versity's gateway: what a real S3 server has that Garage has not.

use std::sync::Arc;

use skyfleet_e2e::object_store::{REGION, VERSITY_KEY, Versity};
use skyfleet_mirror::{
    Attributes, ChecksumAlgorithm, Condition, ConnectOptions, MirrorOptions, MirrorReport, ObjectStore, Payload,
    Replica, S3Location, S3Store, StoreErrorKind, Tags, TransferLimits, Verification, mirror,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{content, credentials, put_in_parts, quick};

struct Server {
    running: Versity,
    _folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { running: Versity::start(folder.path()).await.unwrap(), _folder: folder }
    }

    async fn bucket(&self, name: &str) -> Arc<dyn ObjectStore> {
        self.bucket_with(quick(), name).await
    }

    async fn bucket_with(&self, options: ConnectOptions, name: &str) -> Arc<dyn ObjectStore> {
        self.running.create_bucket(name).unwrap();
        let endpoint = Some(self.running.endpoint());
        let location = S3Location::new(endpoint, Some(REGION.into()), name.into(), String::new());
        Arc::new(S3Store::connect(location, credentials(VERSITY_KEY.0, VERSITY_KEY.1), options).await.unwrap())
    }
}

async fn run(source: &Arc<dyn ObjectStore>, target: &Arc<dyn ObjectStore>, verification: Verification) -> MirrorReport {
    let replica = |store: &Arc<dyn ObjectStore>| Replica { store: store.clone(), prefix: String::new() };
    let limits = TransferLimits { part_size: 5 << 20, ..TransferLimits::default() };
    let options = MirrorOptions { limits, verification, ..MirrorOptions::default() };
    mirror(&replica(source), &[replica(target)], &options, &CancellationToken::new(), Arc::new(|_| ())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_travel_with_objects_of_any_size() {
    let server = Server::start().await;
    let source = server.bucket("source").await;
    let wanted: Tags =
        [("team", "a b+c/d"), ("class", "x")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let attributes = Attributes { tags: wanted.clone(), ..Attributes::default() };
    for (key, size) in [("small", 100), ("large", 12 << 20)] {
        source.put(key, &attributes, Payload::of(content(size, 1)), &Condition::Any).await.unwrap();
        assert_eq!(source.tags(key).await.unwrap(), wanted, "{key}");
    }
    source.put("plain", &Attributes::default(), Payload::of(content(10, 1)), &Condition::Any).await.unwrap();
    // Copied by the store itself, and read and written.
    for (name, verification) in [("copied", Verification::Checksum), ("written", Verification::ReadBack)] {
        let target = server.bucket(name).await;
        let report = run(&source, &target, verification).await;
        assert!(report.is_complete() && report.targets[0].copied == 3, "{report:?}");
        assert_eq!(report.source_bytes == 0, verification == Verification::Checksum, "{report:?}");
        assert!(report.targets[0].tags_lost.is_empty() && report.tags_unread.is_none(), "{report:?}");
        for (key, wanted) in [("small", &wanted), ("large", &wanted), ("plain", &Tags::new())] {
            assert_eq!(target.tags(key).await.unwrap(), *wanted, "{key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_goes_from_one_service_to_another_whatever_they_tell_of_checksums() {
    let (server, garage) = (Server::start().await, crate::support::Server::start().await);
    garage.running.store.create_bucket("data").await.unwrap();
    let here = server.bucket("data").await;
    let there = S3Store::connect(garage.location("data", ""), garage.credentials(), quick()).await.unwrap();
    let there: Arc<dyn ObjectStore> = Arc::new(there);
    for (key, from, to) in [("here", &here, &there), ("there", &there, &here)] {
        let large = Payload::checked_by(content(17 << 20, 1), ChecksumAlgorithm::Crc64Nvme);
        from.put(key, &Attributes::default(), large, &Condition::Any).await.unwrap();
        let report = run(from, to, Verification::ReadBack).await;
        assert!(report.is_complete() && report.targets[0].copied > 0, "{report:?}");
    }
    let told = (here.tells_checksums_of_parts().await, there.tells_checksums_of_parts().await);
    assert_eq!(
        told,
        (true, false),
        "Versity's gateway computes one where none is sent, as Amazon does, and Garage does not"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_parts_has_the_attributes_and_tags_of_its_source() {
    let server = Server::start().await;
    let source = server.bucket("source").await;
    let tags: Tags = [("team".to_owned(), "a b+c/d".to_owned())].into();
    let metadata = [("name".to_owned(), "value".to_owned())].into();
    let attributes = Attributes {
        content_type: Some("text/x-test".to_owned()),
        metadata,
        tags: tags.clone(),
        ..Attributes::default()
    };
    let large = content(12 << 20, 1);
    put_in_parts(&*source, "cut", &attributes, &large).await;
    source.put("whole", &attributes, Payload::of(large), &Condition::Any).await.unwrap();
    let target = server.bucket_with(ConnectOptions { largest_copy: 6 << 20, ..quick() }, "target").await;
    let report = run(&source, &target, Verification::Checksum).await;
    assert!(report.is_complete() && report.targets[0].copied == 2, "{report:?}");
    // Of one that was not written in parts nothing would show that the copy is one.
    assert_eq!(report.source_bytes, 12 << 20, "{report:?}");
    for key in ["cut", "whole"] {
        let heads = (source.head(key).await.unwrap(), target.head(key).await.unwrap());
        assert_eq!((&heads.0.attributes, heads.0.size), (&heads.1.attributes, heads.1.size), "{key}");
        assert_eq!(target.tags(key).await.unwrap(), tags, "{key}");
    }
    assert_eq!(run(&source, &target, Verification::Checksum).await.targets[0].settled, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_done_on_their_condition() {
    let server = Server::start().await;
    let store = server.bucket("bucket").await;
    assert!(store.probe().await.unwrap().conditional_writes);
    let put = async |text: &'static str, condition: Condition| {
        let written = store.put("key", &Attributes::default(), Payload::of(text), &condition).await;
        written.map(|written| written.etag).map_err(|error| error.kind)
    };
    let first = put("first", Condition::Absent).await.unwrap();
    assert_eq!(put("other", Condition::Absent).await, Err(StoreErrorKind::Changed));
    let second = put("second", Condition::Version(first.clone())).await.unwrap();
    assert_eq!(put("other", Condition::Version(first.clone())).await, Err(StoreErrorKind::Changed));

    let complete = async |condition: Condition| {
        let upload = store.create_multipart("key", &Attributes::default()).await.unwrap();
        let part = Payload::checked_by("third", store.proof().algorithm());
        let part = store.put_part("key", &upload, 1, part).await.unwrap();
        let written = store.complete_multipart("key", &upload, &[part], None, &condition).await;
        let kind = written.map(|_| ()).map_err(|error| error.kind);
        store.abort_leftovers("key").await.unwrap();
        kind
    };
    assert_eq!(complete(Condition::Absent).await, Err(StoreErrorKind::Changed));
    assert_eq!(complete(Condition::Version(first)).await, Err(StoreErrorKind::Changed));
    assert_eq!(complete(Condition::Version(second)).await, Ok(()));
}
