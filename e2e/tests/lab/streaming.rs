//! DatasetReplicas in mode Stream, told of changes by a webhook and by queues; the operator is killed on the way.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use skyfleet_e2e::object_store::{AzuriteQueue, MOTO_KEY, MOTO_REGION, Moto};
use skyfleet_e2e::{Cluster, ClusterSpec};
use skyfleet_mirror::{
    Attributes, Condition, ConnectOptions, Credentials, ObjectStore, Payload, S3Location, StoreAccess, StoreErrorKind,
};

use crate::custom_resources::install_definitions;
use crate::hub::Hub;
use crate::operator_process::{OperatorProcess, free_address};
use crate::stores::Stores;
use crate::support::{eventually, lab, post};

const TOKEN: &str = "nobody-guesses-it";

/// The operator, and where it is told of changes.
struct Operator {
    process: OperatorProcess,
    notifications: String,
}

impl Operator {
    async fn start(cluster: &Cluster, identity: &str) -> Self {
        let notifications = free_address();
        let flags = ["--notifications-listen", notifications.as_str()];
        Self { process: OperatorProcess::start_with(cluster, identity, &flags).await, notifications }
    }

    async fn tell(&self, token: &str, keys: &[&str]) -> Result<String, String> {
        let body = json!({"keys": keys}).to_string();
        post(&self.notifications, &format!("/notifications/default/s3?token={token}"), &body).await
    }
}

async fn put(store: &Arc<dyn ObjectStore>, key: &str, text: &str) {
    let payload = Payload::of(Bytes::from(text.to_owned()));
    store.put(key, &Attributes::default(), payload, &Condition::Any).await.unwrap();
}

async fn arrives(store: &Arc<dyn ObjectStore>, key: &str, bytes: u64) {
    eventually(&format!("{key} of {bytes} bytes"), || async {
        let head = store.head(key).await.map_err(|error| error.to_string())?;
        if head.size == bytes { Ok(()) } else { Err(format!("{} bytes", head.size)) }
    })
    .await;
}

fn stream(from: &str, to: &[&str]) -> Value {
    let target = |to: &&str| json!({"bucketRef": {"name": to}, "prefix": format!("{from}/")});
    json!({
        "source": {"bucketRef": {"name": from}, "prefix": "in/"}, "mode": "Stream", "deletionPolicy": "Delete",
        "maxDeletionPercent": 100, "targets": to.iter().map(target).collect::<Vec<_>>(), "schedule": {"interval": "1h"},
    })
}

async fn notify(hub: &Hub, bucket: &str, notifications: Value) {
    let patch = Patch::Merge(json!({"spec": {"notifications": notifications}}));
    hub.api("Bucket").patch(bucket, &PatchParams::default(), &patch).await.unwrap();
}

async fn is_quiet(hub: &Hub, name: &str) -> Value {
    eventually(&format!("{name} to have nothing pending"), || async {
        let status = hub.status("DatasetReplica", name).await;
        let is_quiet = status["stream"]["pending"] == 0 && status["stream"]["lagSeconds"].is_null();
        if is_quiet { Ok(status) } else { Err(status.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_as_they_are_told() {
    let lab = lab("streaming", vec![ClusterSpec::control_plane("hub")]).await;
    let cluster = lab.cluster("hub").unwrap();
    install_definitions(&cluster.kubeconfig()).await;
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::start(folder.path(), Ipv4Addr::LOCALHOST).await;
    let moto = Moto::start(folder.path()).await.unwrap();
    moto.create_notified_bucket("lake", "changes").await.unwrap();
    let queue = AzuriteQueue::start(folder.path()).await.unwrap();
    queue.create_queue("changes").await.unwrap();
    let (s3, azure, gcs) = (stores.open("s3").await, stores.open("azure").await, stores.open("gcs").await);
    let lake = open_lake(&moto).await;
    put(&s3, "in/first", "1").await;

    let operator = Operator::start(cluster, "one").await;
    let hub = Hub(cluster.client().await.unwrap());
    stores.create_buckets(&hub, &[]).await;
    hub.create("DatasetReplica", "watched", stream("s3", &["azure", "gcs"])).await;
    let status = hub.wait("DatasetReplica", "watched", ["Ready", "False", "InvalidSpec"]).await;
    assert!(status.to_string().contains("spec.notifications"), "{status}");

    let webhook = json!({"webhook": {"tokenSecretRef": {"name": "hook"}}});
    notify(&hub, "s3", webhook).await;
    hub.wait("DatasetReplica", "watched", ["Ready", "False", "ReferenceNotFound"]).await;
    hub.set_secret("default", "hook", json!({"token": TOKEN})).await;
    hub.wait("DatasetReplica", "watched", ["Ready", "True", "AsSpecified"]).await;
    is_quiet(&hub, "watched").await;

    // Told by a program, and by nobody else.
    put(&s3, "in/second", "22").await;
    assert!(operator.tell("another", &["in/second"]).await.is_err_and(|answer| answer.contains(" 401 ")));
    assert_eq!(operator.tell(TOKEN, &["in/second", "elsewhere/second"]).await, Ok("2 changes\n".to_owned()));
    for store in [&azure, &gcs] {
        arrives(store, "s3/second", 2).await;
    }
    s3.delete("in/first").await.unwrap();
    operator.tell(TOKEN, &["in/first", "in/first"]).await.unwrap();
    eventually("what left the source to leave a target", || async {
        match gcs.head("s3/first").await {
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let status = is_quiet(&hub, "watched").await;
    assert_eq!(crate::hub::condition(&status, "Ready")["status"], "True", "{status}");

    told_by_queues(&hub, (&lake, &moto), (&azure, &queue), (&s3, &gcs)).await;

    // Nothing changes, and nothing is written.
    let version = async || hub.api("DatasetReplica").get("watched").await.unwrap().resource_version();
    let before = version().await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(version().await, before);
    let metrics = operator.process.get("/metrics").await.unwrap();
    assert!(metrics.contains("skyfleet_notices_total{outcome=\"taken\"}"), "{metrics}");
    assert!(metrics.contains("skyfleet_stream_pending_objects 0"), "{metrics}");

    // What nobody was told of, and what was told to an operator that is gone, the next one finds.
    put(&s3, "in/untold", "333").await;
    put(&s3, "in/told", "4444").await;
    operator.tell(TOKEN, &["in/told"]).await.unwrap();
    operator.process.kill().await;
    let operator = Operator::start(cluster, "two").await;
    arrives(&azure, "s3/untold", 3).await;
    arrives(&gcs, "s3/told", 4).await;
    hub.wait("DatasetReplica", "watched", ["Ready", "True", "AsSpecified"]).await;
    put(&s3, "in/last", "55555").await;
    eventually("the new operator to take what it is told", || operator.tell(TOKEN, &["in/last"])).await;
    arrives(&azure, "s3/last", 5).await;
}

async fn open_lake(moto: &Moto) -> Arc<dyn ObjectStore> {
    let location = S3Location::new(Some(moto.endpoint()), Some(MOTO_REGION.into()), "lake".into(), String::new());
    let (key, secret) = MOTO_KEY;
    let credentials =
        Credentials::Static { access_key_id: key.into(), secret_access_key: secret.into(), session_token: None };
    StoreAccess::S3(location, credentials).connect(ConnectOptions::default()).await.unwrap()
}

/// A bucket of S3 fills a queue of SQS by itself; for Azure the test does what Event Grid would.
async fn told_by_queues(
    hub: &Hub,
    (lake, moto): (&Arc<dyn ObjectStore>, &Moto),
    (azure, queue): (&Arc<dyn ObjectStore>, &AzuriteQueue),
    (s3, gcs): (&Arc<dyn ObjectStore>, &Arc<dyn ObjectStore>),
) {
    let (key, secret) = MOTO_KEY;
    hub.set_secret("default", "lake-key", json!({"accessKeyId": key, "secretAccessKey": secret})).await;
    let spec = json!({
        "provider": "s3", "endpoint": moto.endpoint(), "region": MOTO_REGION, "name": "lake",
        "credentialsSecretRef": {"name": "lake-key"}, "notifications": {"queue": {"url": moto.queue_url("changes")}},
    });
    hub.create("Bucket", "lake", spec).await;
    hub.create("DatasetReplica", "queued", stream("lake", &["gcs"])).await;
    notify(hub, "azure", json!({"queue": {"url": queue.queue_url("nowhere")}})).await;
    hub.create("DatasetReplica", "grid", stream("azure", &["s3"])).await;
    for name in ["queued", "grid"] {
        hub.wait("DatasetReplica", name, ["Ready", "True", "AsSpecified"]).await;
    }
    for number in 0..20 {
        put(lake, &format!("in/{number:02} +ü"), &"x".repeat(number + 1)).await;
    }
    for number in 0..20u64 {
        arrives(gcs, &format!("lake/{number:02} +ü"), number + 1).await;
    }
    is_quiet(hub, "queued").await;

    // A queue that is not there is said, and the data is mirrored by the schedule; then it is the right one.
    eventually("what is wrong with the queue", || async {
        let status = hub.status("DatasetReplica", "grid").await;
        let error = status["stream"]["error"].as_str().unwrap_or_default().to_owned();
        if error.contains("nowhere") { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    notify(hub, "azure", json!({"queue": {"url": queue.queue_url("changes")}})).await;
    eventually("the queue to be read", || async {
        let status = hub.status("DatasetReplica", "grid").await;
        let is_read = status["stream"]["error"].is_null() && status["stream"]["pending"] == 0;
        if is_read { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    put(azure, "in/blob", "666666").await;
    let event = json!({
        "topic": "/subscriptions/1/resourceGroups/r/providers/Microsoft.Storage/storageAccounts/devstoreaccount1",
        "subject": "/blobServices/default/containers/data/blobs/in/blob", "eventType": "Microsoft.Storage.BlobCreated",
        "id": "1", "data": {"api": "PutBlob"}, "dataVersion": "", "eventTime": jiff::Timestamp::now().to_string(),
    });
    queue.send("changes", event.to_string().as_bytes()).await.unwrap();
    arrives(s3, "azure/blob", 6).await;
    is_quiet(hub, "grid").await;
}
