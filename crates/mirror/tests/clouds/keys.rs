//! Keys and attributes travel byte for byte; what a cloud cannot hold is refused before it is sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::StreamExt as _;
use skyfleet_mirror::{Attributes, ByteRange, Condition, ObjectStore, Payload, RetryClass, StoreErrorKind};

use crate::support::{Cloud, clouds, keys, put, read};

/// Keys that proxies, XML and URLs like to change; both clouds hold them.
pub(crate) const ODD: &[&str] = &[
    "plain/1.bin",
    "a b/ c",
    " 10 ",
    "é-nfc",
    "e\u{301}-nfd",
    "日本語/😀",
    "a//b//c",
    "folder/",
    "two//",
    "a+b+c",
    "100%/x",
    "%2F1",
    "%zz",
    "..a/...b",
    "q?x=1&y#z",
    "a&amp;<x>\"'",
    "~!@$^*()_-={}",
    "a=b;c,d:e|",
    "[x]{y}`",
    "\u{7f}",
    "acl",
    "x/acl",
    "x/compose",
    "/leading",
    "//two leading",
];

/// Only Google holds them.
pub(crate) const ODDER: &[&str] = &["../x", "a/../b", "./y", "z/.", "z/..", "back\\slash", "tab\t", "\u{1}\u{85}"];

async fn assert_kept(store: &dyn ObjectStore, odd: &[&str]) {
    let wanted: BTreeMap<_, _> = odd.iter().map(|key| ((*key).to_owned(), format!("content of {key}"))).collect();
    for (key, text) in &wanted {
        put(store, key, &Bytes::from(text.clone())).await;
    }
    assert_eq!(keys(store, "").await, wanted.keys().cloned().collect::<Vec<_>>());
    for (key, text) in &wanted {
        assert_eq!(read(store, key).await, text.as_bytes(), "{key:?}");
        assert_eq!(store.head(key).await.unwrap().size, text.len() as u64, "{key:?}");
        store.delete(key).await.unwrap();
        store.delete(key).await.unwrap();
    }
    assert!(keys(store, "").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_keys_travel_byte_for_byte() {
    for cloud in clouds().await {
        let bare = cloud.bucket("bucket").await;
        let odder = if cloud.is_azure() { &[] } else { ODDER };
        let odd = [ODD, odder].concat();
        assert_kept(&*bare, &odd).await;
        assert_kept(&*cloud.open("bucket", "data+/é %2F//").await, &odd).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cloud_cannot_hold_is_refused_before_it_is_sent() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let long = "k".repeat(1025);
        let refused =
            if cloud.is_azure() { ["a/../b", "a.", "back\\slash", &long] } else { ["..", "a\nb", "a\r", &long] };
        let is_azure = cloud.is_azure();
        cloud.stop().await;
        for key in refused {
            let body = Bytes::from_static(b"x");
            let written =
                store.put(key, &Attributes::default(), Payload::of(body.clone()), &Condition::Any).await.unwrap_err();
            let read = store.head(key).await.unwrap_err();
            for error in [written, read] {
                let kind = (error.kind.clone(), error.retry());
                assert_eq!(kind, (StoreErrorKind::Rejected, RetryClass::Permanent), "{key:?} {is_azure} {error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_go_on_over_pages() {
    for (cloud, count) in [(Cloud::azure().await, 5003), (Cloud::google().await, 2003)] {
        let store = cloud.bucket("bucket").await;
        let wanted: Vec<_> = (0..count).map(|index| format!("page d/{index:05}")).collect();
        let write = async |key: &String| {
            put(&*store, key, &Bytes::new()).await;
        };
        futures::stream::iter(&wanted).for_each_concurrent(16, write).await;
        put(&*store, "page e", &Bytes::new()).await;
        let first = store.list_page("page d/", None).await.unwrap();
        assert!(first.continuation.is_some() && first.objects.len() < wanted.len());
        assert_eq!(keys(&*store, "page d/").await, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_and_an_object_say_the_same() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let written = put(&*store, "key", &Bytes::from_static(b"abc")).await;
        let head = store.head("key").await.unwrap();
        let object = store.list_page("", None).await.unwrap().objects.remove(0);
        assert_eq!([&object.etag, &head.etag], [&written; 2]);
        assert_eq!((object.size, object.modified), (head.size, head.modified));
        assert!(object.modified > 1_700_000_000);
        let md5: [u8; 16] = hex::decode("900150983cd24fb0d6963f7d28e17f72").unwrap().try_into().unwrap();
        assert_eq!(object.md5, Some(md5));
        let again = put(&*store, "key", &Bytes::from_static(b"abc")).await;
        assert_ne!(again, written);
    }
}

pub(crate) fn attributes() -> Attributes {
    Attributes {
        content_type: Some("application/x-weights".into()),
        cache_control: Some("max-age=60".into()),
        content_encoding: Some("gzip".into()),
        content_disposition: Some("attachment; filename=\"a b\"".into()),
        content_language: Some("de, en".into()),
        metadata: [("revision", "a1 b2"), ("empty", ""), ("x-y", "z"), ("größe", "ü\n"), ("upper", "  A ")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Attributes::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_kept_by_small_and_large_objects() {
    for cloud in clouds().await {
        let store = cloud.bucket("bucket").await;
        let body = Bytes::from_static(b"not really gzip");
        store.put("small", &attributes(), Payload::of(body.clone()), &Condition::Any).await.unwrap();
        let upload = store.create_multipart("large", &attributes()).await.unwrap();
        let part = store.put_part("large", &upload, 1, Payload::of(body.clone())).await.unwrap();
        store.complete_multipart("large", &upload, &[part], None, &Condition::Any).await.unwrap();
        for key in ["small", "large"] {
            assert_eq!(store.head(key).await.unwrap().attributes, attributes(), "{key} {store:?}");
            assert_eq!(
                store.get(key, ByteRange::ALL, None).await.unwrap().0.attributes,
                attributes(),
                "{key} {store:?}"
            );
            assert_eq!(read(&*store, key).await, body);
        }
    }
}
