//! The operator is killed in the middle of large objects: the next one goes on there, whatever kind of store the target is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt as _;
use serde_json::json;
use skyfleet_e2e::ClusterSpec;
use skyfleet_e2e::object_store::{Asked, Contents, Fault, REGION, SIMULATED_KEY, SimulatedBucket, SimulatedS3};
use skyfleet_mirror::list;

use crate::custom_resources::install_definitions;
use crate::hub::Hub;
use crate::operator_process::OperatorProcess;
use crate::stores::{KINDS, Stores};
use crate::support::{eventually, lab};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 200 * MIB;
/// How far an object has come is noted so often.
const NOTED_EVERY: u64 = 64 * MIB;
/// What lies behind it is not given before the kill. A pass holds at most 80 MiB of content, so more than a note's worth arrives.
const HELD_FROM: u64 = 160 * MIB;

/// Where each reading of an object began, by the kind of store that it goes to.
type Starts = BTreeMap<String, Vec<u64>>;

/// A source in memory that tells how it is read, and holds back the end of every object for a while.
struct Source {
    server: SimulatedS3,
    starts: Arc<Mutex<Starts>>,
    holds_back: Arc<AtomicBool>,
}

impl Source {
    /// With an object `KIND/model` for each kind.
    async fn start(content: Vec<u8>) -> Self {
        let server = SimulatedS3::start().await.unwrap();
        let keys = KINDS.map(|kind| format!("{kind}/model"));
        server.set_bucket("weights", SimulatedBucket::default().with(keys, &Contents::of(content.into())));
        let (starts, holds_back) = (Arc::new(Mutex::new(Starts::new())), Arc::new(AtomicBool::new(true)));
        let (told, holds) = (starts.clone(), holds_back.clone());
        server.script(move |asked| {
            let Some((kind, start)) = reading(asked) else { return Fault::None };
            told.lock().unwrap().entry(kind).or_default().push(start);
            match (holds.load(Ordering::SeqCst), HELD_FROM.checked_sub(start)) {
                (false, _) => Fault::None,
                (true, Some(left @ 1..)) => Fault::CutOff(usize::try_from(left).unwrap()),
                (true, _) => Fault::Late(Duration::from_mins(10)),
            }
        });
        Self { server, starts, holds_back }
    }

    async fn create_bucket(&self, hub: &Hub) {
        let (key, secret) = SIMULATED_KEY;
        hub.set_secret("default", "source-key", json!({"accessKeyId": key, "secretAccessKey": secret})).await;
        let spec = json!({
            "provider": "s3", "name": "weights", "endpoint": self.server.endpoint(), "region": REGION,
            "credentialsSecretRef": {"name": "source-key"},
        });
        hub.create("Bucket", "source", spec).await;
        hub.wait("Bucket", "source", ["Ready", "True", "AsSpecified"]).await;
    }

    /// Takes what was told so far.
    fn starts(&self) -> Starts {
        std::mem::take(&mut *self.starts.lock().unwrap())
    }
}

/// Which object a request reads, and from where on.
fn reading(asked: &Asked) -> Option<(String, u64)> {
    let path = asked.target.split('?').next()?.strip_prefix("/weights/")?;
    let kind = path.strip_suffix("/model").filter(|_| asked.method == "GET")?;
    let range = asked.headers.get("range").and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
    let start = range.and_then(|range| range.split('-').next()?.parse().ok());
    Some((kind.to_owned(), start.unwrap_or(0)))
}

fn content() -> Vec<u8> {
    (0..SIZE / 8).map(|index| index.wrapping_mul(0x9E37_79B9_7F4A_7C15)).flat_map(u64::to_le_bytes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_goes_on_where_a_killed_operator_left_it() {
    let lab = lab("resumed", vec![ClusterSpec::control_plane("hub")]).await;
    let cluster = lab.cluster("hub").unwrap();
    install_definitions(&cluster.kubeconfig()).await;
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::start(folder.path(), std::net::Ipv4Addr::LOCALHOST).await;
    let source = Source::start(content()).await;
    let flags = ["--mirror-passes", "3"];
    let operator = OperatorProcess::start_with(cluster, "one", &flags).await;
    let hub = Hub(cluster.client().await.unwrap());
    source.create_bucket(&hub).await;
    stores.create_buckets(&hub, &[]).await;
    for kind in KINDS {
        let spec = json!({
            "source": {"bucketRef": {"name": "source"}, "prefix": format!("{kind}/")},
            "targets": [{"bucketRef": {"name": kind}, "prefix": "copy/"}],
        });
        hub.create("DatasetReplica", kind, spec).await;
    }
    for kind in KINDS {
        let store = stores.open(kind).await;
        eventually(&format!("a note in {kind}"), || async {
            let keys = list(&*store, "").map_ok(|object| object.key).try_collect::<Vec<_>>().await;
            let keys = keys.map_err(|error| error.to_string())?;
            if keys.iter().any(|key| key.contains(".skyfleet/journals/")) { Ok(()) } else { Err(format!("{keys:?}")) }
        })
        .await;
    }
    operator.kill().await;

    assert_eq!(source.starts().values().filter_map(|starts| starts.iter().min()).sum::<u64>(), 0);
    source.holds_back.store(false, Ordering::SeqCst);
    let _operator = OperatorProcess::start_with(cluster, "two", &flags).await;
    for kind in KINDS {
        let status = hub.wait("DatasetReplica", kind, ["Ready", "True", "AsSpecified"]).await;
        assert_eq!(status["targets"][0]["manifestDigest"], status["source"]["manifestDigest"], "{status}");
        let copy = folder.path().join(format!("from-{kind}"));
        std::fs::create_dir(&copy).unwrap();
        stores.mirror(&stores.url(kind, "copy"), copy.to_str().unwrap()).await;
        assert!(std::fs::read(copy.join("model")).unwrap() == content(), "{kind}");
    }
    let starts = source.starts();
    assert!(KINDS.iter().all(|kind| starts[*kind].iter().all(|start| *start >= NOTED_EVERY)), "{starts:?}");
}
