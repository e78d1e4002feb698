//! A DatasetReplica that keeps older versions, in clouds of two kinds.

use std::path::Path;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use skyfleet_mirror::{DatasetName, FetchRequest, Replica, fetch};
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::stores::Stores;
use crate::support::eventually;

/// Three versions in turn, of which two are kept: each of those is loaded as it was.
pub(crate) async fn older_versions_can_be_loaded(hub: &Hub, stores: &Stores, folder: &Path) {
    let data = folder.join("versioned");
    std::fs::create_dir(&data).unwrap();
    let become_version = async |version: usize| {
        std::fs::write(data.join("always"), format!("version {version}")).unwrap();
        std::fs::write(data.join(format!("only-{version}")), version.to_string()).unwrap();
        let _not_there = std::fs::remove_file(data.join(format!("only-{}", version - 1)));
        let origin = stores.url("s3", "versioned");
        stores.mirror_with(&["--delete", "--max-delete", "100"], data.to_str().unwrap(), &origin).await;
    };
    become_version(1).await;
    let target = |bucket: &str| json!({"bucketRef": {"name": bucket}, "prefix": "versioned/"});
    let spec = json!({
        "source": {"bucketRef": {"name": "s3"}, "prefix": "versioned/"}, "targets": [target("azure"), target("gcs")],
        "schedule": {"interval": "5s"}, "deletionPolicy": "Delete", "maxDeletionPercent": 100, "versions": {"keep": 2},
    });
    hub.create("DatasetReplica", "versioned", spec).await;
    let first = told(hub, 1, &Value::Null).await;
    become_version(2).await;
    let second = told(hub, 2, &first[0]).await;
    assert_eq!(second[1], first[0], "the one before is told still");
    become_version(3).await;
    let third = told(hub, 2, &second[0]).await;
    assert_eq!(third[1], second[0]);
    for kind in ["azure", "gcs"] {
        for (version, digest) in [(3, &third[0]), (2, &third[1])] {
            let into = folder.join(format!("{kind}-{version}"));
            load(stores, kind, digest, &into).await.unwrap();
            assert_eq!(std::fs::read_to_string(into.join("always")).unwrap(), format!("version {version}"));
            assert_eq!(std::fs::read_to_string(into.join(format!("only-{version}"))).unwrap(), version.to_string());
            assert_eq!(std::fs::read_dir(&into).unwrap().count(), 2, "and nothing else");
        }
        let refused = load(stores, kind, &first[0], &folder.join("gone")).await.unwrap_err();
        assert!(refused.contains("manifest"), "{refused}");
    }

    // What is made of the older one is that, and keeps it.
    let source = |digest: &Value| json!({"bucketRef": {"name": "gcs"}, "prefix": "versioned/", "digest": digest});
    let spec =
        json!({"source": source(&second[0]), "targets": [{"bucketRef": {"name": "azure"}, "prefix": "pinned/"}]});
    hub.create("DatasetReplica", "pinned", spec).await;
    let status = hub.wait("DatasetReplica", "pinned", ["Ready", "True", "AsSpecified"]).await;
    assert_eq!(status["targets"][0]["manifestDigest"], second[0], "{status}");
    become_version(4).await;
    let fourth = told(hub, 3, &third[0]).await;
    assert_eq!(fourth[1..], [third[0].clone(), second[0].clone()]);
    become_version(5).await;
    let fifth = told(hub, 3, &fourth[0]).await;
    assert_eq!(fifth[1..], [fourth[0].clone(), second[0].clone()], "as long as it is read");
    let pin = async |digest: &Value| {
        let patch = Patch::Merge(json!({"spec": {"source": {"digest": digest}}}));
        hub.api("DatasetReplica").patch("pinned", &PatchParams::default(), &patch).await.unwrap();
    };
    pin(&first[0]).await;
    let status = hub.wait("DatasetReplica", "pinned", ["Ready", "False", "WaitingForData"]).await;
    assert!(status["conditions"].to_string().contains("none of the versions"), "{status}");
    pin(&fifth[0]).await;
    eventually("the newer version", || async {
        let status = hub.status("DatasetReplica", "pinned").await;
        if status["targets"][0]["manifestDigest"] == fifth[0] { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    hub.wait("DatasetReplica", "pinned", ["Ready", "True", "AsSpecified"]).await;
}

/// The versions that both targets tell, the newest first, once there are so many and the newest is another one.
async fn told(hub: &Hub, count: usize, before: &Value) -> Vec<Value> {
    eventually(&format!("{count} versions"), || async {
        let status = hub.status("DatasetReplica", "versioned").await;
        let of = |target: usize| -> Vec<Value> {
            let versions = status["targets"][target]["versions"].as_array().into_iter().flatten();
            versions.map(|version| version["digest"].clone()).collect()
        };
        let (one, other) = (of(0), of(1));
        let is_told = one == other && one.len() == count && one[0] != *before;
        if is_told { Ok(one) } else { Err(status.to_string()) }
    })
    .await
}

async fn load(stores: &Stores, kind: &str, digest: &Value, into: &Path) -> Result<(), String> {
    let replica = Replica { store: stores.open(kind).await, prefix: "versioned/".to_owned() };
    let request = FetchRequest {
        dataset: DatasetName::new("default", "versioned").unwrap(),
        digest: digest.as_str().unwrap().parse().unwrap(),
        path: String::new(),
        into: into.to_owned(),
        concurrency: 4,
    };
    let fetched = fetch(&replica, &request, &CancellationToken::new(), |_| ()).await;
    fetched.map(drop).map_err(|error| error.to_string())
}
