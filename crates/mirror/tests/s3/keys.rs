//! Keys and attributes travel byte for byte.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use skyfleet_mirror::{Attributes, Condition, Manifest, ManifestEntry, ObjectStore as _, Payload, Sha256};

use crate::support::{Server, pass};

/// A thousand keys that stores, proxies, XML and URLs like to change.
fn odd_keys() -> Vec<String> {
    let shapes = [
        "plain/{}.bin",
        "a b/{} c",
        " {} ",
        "é-nfc-{}",
        "e\u{301}-nfd-{}",
        "日本語/{}/😀",
        "a//b//{}",
        "/{}",
        "//{}",
        "{}/",
        "{}//",
        "a+b+{}",
        "100%/{}",
        "%2F{}",
        "%zz{}",
        "../{}",
        "a/../{}",
        "./{}",
        "{}/.",
        "{}/..",
        "new\nline{}",
        "cr\r{}",
        "tab\t{}",
        "\u{1}{}\u{7f}",
        "q?x={}&y#z",
        "a&amp;<{}>\"'",
        "back\\slash{}",
        "~!@$^*()_-={}",
        "a=b;c,d:{}|",
        "[{}]{{}}`",
    ];
    let mut keys: Vec<_> =
        (0..999).map(|index| shapes[index % shapes.len()].replace("{}", &index.to_string())).collect();
    // With the longest prefix of the test: S3 allows 1,024 bytes.
    keys.push("k".repeat(1019));
    keys
}

fn assert_same(found: &BTreeMap<String, Vec<u8>>, wanted: &BTreeMap<String, Vec<u8>>) {
    let missing: Vec<_> = wanted.iter().filter(|(key, bytes)| found.get(*key) != Some(bytes)).take(20).collect();
    let unexpected: Vec<_> = found.keys().filter(|key| !wanted.contains_key(*key)).take(20).collect();
    assert!(missing.is_empty() && unexpected.is_empty(), "missing {missing:?}\nunexpected {unexpected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_odd_keys_mirror_byte_for_byte_and_then_nothing_is_written() {
    let server = Server::start().await;
    for bucket in ["source", "one", "two"] {
        server.bucket(bucket).await;
    }
    // Garage drops the slashes a key begins with (`connection.rs` shows that we send them): a prefix keeps them inside.
    let (source, one, two) =
        (server.open("source", "data/").await, server.open("one", "é/").await, server.open("two", "c c//").await);
    let wanted: BTreeMap<_, _> = odd_keys()
        .into_iter()
        .enumerate()
        // Every seventh object is empty.
        .map(|(index, key)| (key.clone(), if index % 7 == 0 { String::new() } else { format!("content of {key}") }))
        .collect();
    assert_eq!(wanted.len(), 1000);
    futures::stream::iter(&wanted).for_each_concurrent(16, async |(key, text)| source.put_text(key, text).await).await;

    let outcome = pass(&source, &[&one, &two]).await;

    let wanted_bytes: BTreeMap<_, _> =
        wanted.iter().map(|(key, text)| (key.clone(), text.clone().into_bytes())).collect();
    for store in [&source, &one, &two] {
        assert_same(&store.contents().await, &wanted_bytes);
    }
    let entry = |(key, text): (&String, &String)| ManifestEntry {
        key: key.clone(),
        size: text.len() as u64,
        sha256: Sha256::of(text.as_bytes()),
    };
    let digest = Manifest::new(wanted.iter().map(entry).collect()).unwrap().digest();
    assert_eq!(outcome.manifest, Some(digest));
    for target in &outcome.targets {
        assert_eq!(target.manifest, Some(digest), "{target:?}");
        assert_eq!((target.copied, target.failed), (1000, 0));
    }
    let manifest = format!(".skyfleet/manifests/ml.weights/{}.jsonl", digest.0);
    for store in [&source, &one, &two] {
        assert_eq!(Sha256::of(&store.read(&manifest).await), digest.0);
        store.writes();
    }

    let again = pass(&source, &[&one, &two]).await;

    assert_eq!(again.targets[0].manifest, Some(digest));
    assert_eq!((again.targets[0].settled + again.targets[0].copied), 1000);
    assert_eq!([source.writes(), one.writes(), two.writes()], [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_taken_byte_for_byte_on_both_sides() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    for key in ["team a/+/x", "team a/+/y/z", "team b/x", "team a/"] {
        source.put_text(key, key).await;
    }
    let inner_source = server.open("source", "team a/+/").await;
    let inner_target = server.open("target", "%copy//").await;
    pass(&inner_source, &[&inner_target]).await;

    let wanted = [("%copy//x", "team a/+/x"), ("%copy//y/z", "team a/+/y/z")];
    let mut contents = target.contents().await;
    contents.retain(|key, _| !key.contains(".skyfleet/"));
    assert_eq!(contents, wanted.map(|(key, text)| (key.to_owned(), text.as_bytes().to_vec())).into());

    // The outer bucket holds the inner one's manifests: they are nobody's data.
    let outer = server.bucket("outer").await;
    pass(&source, &[&outer]).await;
    assert_eq!(outer.contents().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_kept_by_small_and_large_copies() {
    let server = Server::start().await;
    let (source, target) = (server.bucket("source").await, server.bucket("target").await);
    let attributes = Attributes {
        content_type: Some("application/x-weights".into()),
        cache_control: Some("max-age=60".into()),
        content_encoding: Some("gzip".into()),
        content_disposition: Some("attachment; filename=\"a b\"".into()),
        content_language: Some("de, en".into()),
        metadata: [("revision".to_owned(), "a1 b2".to_owned()), ("empty".to_owned(), String::new())].into(),
        ..Attributes::default()
    };
    for (key, size) in [("small", 10), ("large", 9 * 1024 * 1024)] {
        let body = crate::support::content(size, 1);
        source.put(key, &attributes, Payload::of(body.clone()), &Condition::Any).await.unwrap();
    }
    pass(&source, &[&target]).await;
    for key in ["small", "large"] {
        assert_eq!(target.head(key).await.unwrap().attributes, attributes, "{key}");
    }
}
