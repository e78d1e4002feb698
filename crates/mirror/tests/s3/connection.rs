//! Each way a store cannot be used has its own error; a probe finds what it can do.

use skyfleet_e2e::object_store::Access;
use skyfleet_mirror::{
    ChecksumAlgorithm, Credentials, ObjectStore as _, RetryClass, S3Location, S3Store, StoreError, StoreErrorKind,
};

use crate::support::{Server, credentials, quick};

async fn probe(location: S3Location, credentials: Credentials) -> StoreError {
    S3Store::connect(location, credentials, quick()).await.unwrap().probe().await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_finds_what_the_store_can_do_and_leaves_nothing() {
    let server = Server::start().await;
    let store = server.bucket("bucket").await;
    let found = store.probe().await.unwrap();
    assert!(found.writable);
    assert_eq!(found.checksums, [ChecksumAlgorithm::Sha256, ChecksumAlgorithm::Crc32c, ChecksumAlgorithm::Crc64Nvme]);
    assert_eq!(found.versioning, Some(false));
    // Garage takes `If-None-Match: *` on a write and ignores it.
    assert!(!found.conditional_writes);
    assert!(store.own_keys().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_has_its_own_error() {
    let server = Server::start().await;
    server.bucket("bucket").await;
    let secret = &server.running.store.secret_access_key;
    let key = &server.running.store.access_key_id;

    let missing = probe(server.location("no-such-bucket", ""), server.credentials()).await;
    assert_eq!(missing.kind, StoreErrorKind::MissingBucket, "{missing}");

    let wrong_secret = probe(server.location("bucket", ""), credentials(key, &"0".repeat(64))).await;
    assert_eq!(wrong_secret.kind, StoreErrorKind::CredentialsRefused, "{wrong_secret}");

    // A person swapped the two.
    let swapped = probe(server.location("bucket", ""), credentials(secret, key)).await;
    assert_eq!(swapped.kind, StoreErrorKind::CredentialsRefused, "{swapped}");

    let mut elsewhere = server.location("bucket", "");
    elsewhere.region = Some("eu-west-1".into());
    let wrong_region = probe(elsewhere, server.credentials()).await;
    assert_eq!(wrong_region.kind, StoreErrorKind::WrongRegion { expected: Some("us-east-1".into()) }, "{wrong_region}");

    let location = server.location("bucket", "");
    let granted = server.credentials();
    let endpoint = server.running.store.endpoint();
    server.running.kill().await.unwrap();
    let unreachable = probe(location, granted).await;
    assert_eq!(unreachable.kind, StoreErrorKind::Unreachable, "{unreachable}");
    assert_eq!(unreachable.retry(), RetryClass::Transient);

    for error in [missing, wrong_secret, swapped, wrong_region, unreachable] {
        let text = format!("{error} {error:?}");
        assert!(text.contains(&endpoint) && text.contains("bucket"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_shows_a_secret() {
    let server = Server::start().await;
    server.bucket("bucket").await;
    let store = &server.running.store;
    for (key, secret) in [(&store.access_key_id, "hunter2secret"), (&"hunter2secret".to_owned(), "hunter2secret")] {
        let connected =
            S3Store::connect(server.location("bucket", ""), credentials(key, secret), quick()).await.unwrap();
        let error = connected.probe().await.unwrap_err();
        let texts = format!("{error} {error:?} {connected:?}");
        assert!(!texts.contains("hunter2secret"), "{texts}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_may_only_be_read_is_no_error() {
    let server = Server::start().await;
    server.bucket("bucket").await;
    let (key, secret) = (format!("GK{:024x}", 2), format!("{:064x}", 2));
    server.running.store.grant(&key, &secret, "bucket", Access::Read).await.unwrap();
    let store = S3Store::connect(server.location("bucket", ""), credentials(&key, &secret), quick()).await.unwrap();
    let found = store.probe().await.unwrap();
    assert!(!found.writable && found.checksums.is_empty());
}

#[tokio::test]
async fn what_is_no_bucket_is_refused_before_anything_is_sent() {
    for (endpoint, bucket) in [("ftp://x", "bucket"), ("http://x", ""), ("http://x", "a/b")] {
        let location = S3Location::new(Some(endpoint.into()), None, bucket.into(), String::new());
        let error = S3Store::connect(location, credentials("k", "s"), quick()).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Rejected, "{error}");
    }
}

/// Answers one request with 404 and gives its request line.
async fn request_line(location: impl FnOnce(String) -> S3Location, key: &str) -> String {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let store = S3Store::connect(location(endpoint), credentials("k", "s"), quick()).await.unwrap();
    let serve = async {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let mut header = String::new();
        while stream.read_line(&mut header).await.unwrap() > 2 {
            header.clear();
        }
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        line
    };
    let (line, answer) = tokio::join!(serve, store.head(key));
    assert_eq!(answer.unwrap_err().kind, StoreErrorKind::NotFound);
    line.strip_prefix("HEAD ").unwrap().split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_is_sent_byte_for_byte() {
    let cases = [
        ("/leading", "/bucket//leading"),
        ("//two", "/bucket///two"),
        ("a/../b", "/bucket/a/../b"),
        ("./.", "/bucket/./."),
        ("a//b/", "/bucket/a//b/"),
        ("a+b c%2F?#&", "/bucket/a%2Bb%20c%252F%3F%23%26"),
        ("e\u{301}\n\u{1}", "/bucket/e%CC%81%0A%01"),
    ];
    for (key, path) in cases {
        let location = |endpoint| S3Location::new(Some(endpoint), None, "bucket".into(), String::new());
        assert_eq!(request_line(location, key).await, path, "{key:?}");
    }
}
