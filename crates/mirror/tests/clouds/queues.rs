//! Queues with notifications, against moto and Azurite.

use skyfleet_e2e::object_store::{AZURITE_ACCOUNT, AZURITE_KEY, AzuriteQueue, MOTO_KEY, MOTO_REGION, Moto};
use skyfleet_mirror::{
    Attributes, AzureCredentials, AzureLocation, Condition, Credentials, GcsCredentials, GcsLocation,
    NotificationQueue, Payload, QueueMessage, S3Location, StoreAccess, StoreError, StoreErrorKind,
};
use skyfleet_stream::{Change, Notice, Origin};

use crate::support::quick;

fn of_moto(moto: &Moto) -> StoreAccess {
    let location = S3Location::new(Some(moto.endpoint()), Some(MOTO_REGION.into()), "data".into(), String::new());
    let (key, secret) = MOTO_KEY;
    let credentials =
        Credentials::Static { access_key_id: key.into(), secret_access_key: secret.into(), session_token: None };
    StoreAccess::S3(location, credentials)
}

fn of_azure(key: &str) -> StoreAccess {
    let (account, container) = (AZURITE_ACCOUNT.to_owned(), "data".to_owned());
    let location = AzureLocation { endpoint: None, account, container, prefix: String::new() };
    StoreAccess::Azure(location, AzureCredentials::AccountKey(key.to_owned()))
}

fn changes(messages: &[QueueMessage]) -> Vec<Change> {
    let of = |message: &QueueMessage| match Notice::parse(&message.body).unwrap() {
        Notice::Changes(changes) => changes,
        Notice::Validation(code) => panic!("it validates {code}"),
    };
    messages.iter().flat_map(of).collect()
}

/// Everything that is in the queue, read until so many changes have come.
async fn read(queue: &NotificationQueue, count: usize) -> Vec<Change> {
    let mut all = Vec::new();
    while all.len() < count {
        let messages = queue.receive().await.unwrap();
        all.extend(changes(&messages));
        queue.remove(&messages).await.unwrap();
    }
    all
}

async fn refusal(access: StoreAccess, url: &str) -> StoreErrorKind {
    let refused = async {
        let queue = NotificationQueue::connect(access, url, quick()).await?;
        queue.receive().await?;
        Ok::<_, StoreError>(())
    };
    refused.await.expect_err("it is refused").kind
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bucket_of_s3_tells_its_queue_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let moto = Moto::start(folder.path()).await.unwrap();
    moto.create_notified_bucket("data", "changes").await.unwrap();
    let access = of_moto(&moto);
    let bucket = access.clone().connect(quick()).await.unwrap();
    let keys: Vec<_> = (0..12).map(|number| format!("a b/{number}+ü%2F")).collect();
    for key in &keys {
        bucket.put(key, &Attributes::default(), Payload::of("x"), &Condition::Any).await.unwrap();
    }
    bucket.delete(&keys[0]).await.unwrap();

    let queue = NotificationQueue::connect(access.clone(), &moto.queue_url("changes"), quick()).await.unwrap();
    let told = read(&queue, 13).await;
    assert!(told.iter().all(|change| change.origin == Origin::S3("data".to_owned()) && change.at.is_some()));
    let mut named: Vec<_> = told.into_iter().filter_map(|change| change.key).collect();
    named.sort();
    let mut expected = [keys.clone(), vec![keys[0].clone()]].concat();
    expected.sort();
    assert_eq!(named, expected);
    assert_eq!(refusal(access, &moto.queue_url("elsewhere")).await, StoreErrorKind::MissingBucket);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_event_grid_puts_into_a_queue_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let server = AzuriteQueue::start(folder.path()).await.unwrap();
    server.create_queue("changes").await.unwrap();
    for number in 0..40 {
        let event = serde_json::json!({
            "topic": "/subscriptions/1/resourceGroups/r/providers/Microsoft.Storage/storageAccounts/acme", "id": "1",
            "subject": format!("/blobServices/default/containers/data/blobs/a b/{number}"), "dataVersion": "",
            "eventType": "Microsoft.Storage.BlobCreated", "eventTime": "2026-11-25T12:00:00Z", "data": {"api": "PutBlob"},
        });
        // A queue gets one event a message, where a webhook gets a list.
        server.send("changes", event.to_string().as_bytes()).await.unwrap();
    }
    let (access, url) = (of_azure(AZURITE_KEY), server.queue_url("changes"));
    let queue = NotificationQueue::connect(access.clone(), &url, quick()).await.unwrap();
    let told = read(&queue, 40).await;
    let named: std::collections::BTreeSet<_> = told.into_iter().filter_map(|change| change.key).collect();
    assert_eq!(named.len(), 40);
    assert_eq!(queue.receive().await.unwrap(), []);
    assert!(!format!("{queue:?}").contains(AZURITE_KEY));

    let elsewhere = server.queue_url("elsewhere");
    assert_eq!(refusal(access.clone(), &elsewhere).await, StoreErrorKind::NotFound);
    let wrong = refusal(of_azure("c2VjcmV0"), &url).await;
    assert_eq!(wrong, StoreErrorKind::CredentialsRefused);
    assert_eq!(refusal(access, &format!("{url}?sig=x")).await, StoreErrorKind::Rejected);
}

#[tokio::test]
async fn subscriptions_of_pub_sub_push() {
    let location = GcsLocation { endpoint: None, bucket: "data".to_owned(), prefix: String::new() };
    let access = StoreAccess::Gcs(location, GcsCredentials::Anonymous);
    let url = "https://pubsub.googleapis.com/v1/projects/p/subscriptions/s";
    let refused = NotificationQueue::connect(access, url, quick()).await.expect_err("it is refused");
    assert!(refused.to_string().contains("let one push"), "{refused}");
}
