//! Each way a store cannot be used has its own error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use skyfleet_e2e::object_store::{AZURITE_ACCOUNT, AZURITE_KEY, azurite_signature};
use skyfleet_mirror::{
    Attributes, AzureCredentials, AzureLocation, AzureStore, Condition, GcsCredentials, GcsLocation, GcsStore,
    ObjectStore as _, Payload, RetryClass, StoreErrorKind,
};

use crate::support::{Cloud, clouds, connect, quick};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_and_a_silent_server_have_their_own_errors() {
    for cloud in clouds().await {
        cloud.bucket("bucket").await;
        let missing = cloud.open("missing", "").await;
        let body = Bytes::from_static(b"x");
        let written =
            missing.put("key", &Attributes::default(), Payload::of(body.clone()), &Condition::Any).await.unwrap_err();
        for error in [missing.probe().await.unwrap_err(), written] {
            assert_eq!(error.kind, StoreErrorKind::MissingBucket, "{error}");
            assert!(error.to_string().contains(&cloud.endpoint()) && error.to_string().contains("\"missing\""));
        }
        let store = cloud.open("bucket", "").await;
        cloud.stop().await;
        let silent = store.probe().await.unwrap_err();
        assert_eq!((&silent.kind, silent.retry()), (&StoreErrorKind::Unreachable, RetryClass::Transient), "{silent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused_and_never_shown() {
    let cloud = Cloud::azure().await;
    cloud.bucket("bucket").await;
    for key in [BASE64.encode("hunter2-hunter2"), "hunter2, which is not base64".to_owned()] {
        let store = connect(true, &cloud.endpoint(), "bucket", "", &key).await.unwrap();
        let error = store.probe().await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::CredentialsRefused, "{error}");
        let text = format!("{error} {error:?} {store:?}");
        assert!(!text.contains(&key) && !text.contains("hunter2"), "{text}");
    }
    let key = GcsCredentials::ServiceAccountKey("{\"type\":\"service_account\",\"private_key\":\"hunter2\"}".into());
    let location = GcsLocation { endpoint: None, bucket: "bucket".into(), prefix: String::new() };
    let store = GcsStore::connect(location, key, quick()).await.unwrap();
    let error = store.head("key").await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::CredentialsRefused, "{error}");
    assert!(!format!("{error} {error:?} {store:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_access_signature_may_do_what_it_says() {
    let cloud = Cloud::azure().await;
    cloud.bucket("bucket").await;
    let open = async |token: String| {
        let (endpoint, account) = (Some(cloud.endpoint()), AZURITE_ACCOUNT.to_owned());
        let location = AzureLocation { endpoint, account, container: "bucket".into(), prefix: "a b/".into() };
        AzureStore::connect(location, AzureCredentials::SasToken(token), quick()).await.unwrap()
    };
    let found = open(azurite_signature("rwdlac")).await.probe().await.unwrap();
    assert!(found.writable && found.conditional_writes);
    let found = open(azurite_signature("rl")).await.probe().await.unwrap();
    assert!(!found.writable);
    let wrong = azurite_signature("rl").replace("sig=", "sig=AAAA");
    let error = open(wrong.clone()).await.probe().await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::CredentialsRefused, "{error}");
    assert!(!format!("{error} {error:?}").contains("sig="), "{error}");
}

#[tokio::test]
async fn what_is_no_place_is_refused_before_anything_is_sent() {
    for (endpoint, bucket) in [("ftp://x", "bucket"), ("http://x", ""), ("http://x", "a/b"), ("http://x?sig=1", "b")] {
        for is_azure in [true, false] {
            let error = connect(is_azure, endpoint, bucket, "", AZURITE_KEY).await.unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Rejected, "{error}");
            assert!(!error.to_string().contains("sig="));
        }
    }
}
