//! A DatasetReplica from each kind of store to the two others; the operator is killed on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};
use skyfleet_e2e::ClusterSpec;

use crate::custom_resources::install_definitions;
use crate::hub::Hub;
use crate::operator_process::OperatorProcess;
use crate::sharding::{data_is_split_and_a_target_that_comes_takes_its_share, records_are_cut_and_joined};
use crate::stores::{KINDS, Stores};
use crate::support::{eventually, get, lab, write_files};
use crate::transforming::records_become_tables;
use crate::versions::older_versions_can_be_loaded;

/// Files of every size that copying treats in its own way.
fn fill(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = (0..40usize).map(|number| {
        let size = match number {
            0 => 0,
            1 | 2 => (20 << 20) + number,
            _ => 1000 + number,
        };
        let bytes = (0..size).map(|index| u8::try_from((index * (number + 1) + (index >> 9)) & 0xff).unwrap());
        (format!("part {}/file+{number:02}", number % 3), bytes.collect::<Vec<u8>>())
    });
    let files: BTreeMap<_, _> = files.collect();
    write_files(folder, &files);
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn datasets_go_from_each_kind_of_store_to_the_others() {
    let lab = lab("clouds", vec![ClusterSpec::control_plane("hub")]).await;
    let cluster = lab.cluster("hub").unwrap();
    install_definitions(&cluster.kubeconfig()).await;
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::start(folder.path(), Ipv4Addr::LOCALHOST).await;
    let data = folder.path().join("data");
    let files = fill(&data);
    for kind in KINDS {
        stores.mirror(data.to_str().unwrap(), &stores.url(kind, "origin")).await;
    }
    let operator = OperatorProcess::start(cluster, "one").await;
    let hub = Hub(cluster.client().await.unwrap());
    stores.create_buckets(&hub, &[]).await;

    for source in KINDS {
        let targets = KINDS.iter().filter(|kind| **kind != source);
        let targets: Vec<_> =
            targets.map(|target| json!({"bucketRef": {"name": target}, "prefix": format!("{source}/")})).collect();
        let spec = json!({
            "source": {"bucketRef": {"name": source}, "prefix": "origin/"}, "targets": targets,
            "schedule": {"interval": "5s"}, "deletionPolicy": "Delete", "maxDeletionPercent": 5,
        });
        hub.create("DatasetReplica", &format!("from-{source}"), spec).await;
    }
    let address = stores.gcs.endpoint().replace("http://", "");
    let copied_to_gcs = async || {
        let listing = get(&address, "/storage/v1/b/data/o?prefix=s3/").await?;
        let listing: Value = serde_json::from_str(&listing).map_err(|error| error.to_string())?;
        Ok::<_, String>(listing["items"].as_array().map_or(0, Vec::len))
    };
    eventually("the first copies", || async {
        let copied = copied_to_gcs().await?;
        if copied >= 3 { Ok(()) } else { Err(format!("{copied} copied")) }
    })
    .await;
    operator.kill().await;

    let _operator = OperatorProcess::start(cluster, "two").await;
    let mut digests = BTreeSet::new();
    for source in KINDS {
        let status = hub.wait("DatasetReplica", &format!("from-{source}"), ["Ready", "True", "AsSpecified"]).await;
        for target in status["targets"].as_array().unwrap() {
            digests.insert(target["manifestDigest"].as_str().unwrap().to_owned());
        }
    }
    // The same content has the same name, wherever it came from and wherever it is.
    assert_eq!(digests.len(), 1, "{digests:?}");
    for (kind, source) in [("s3", "gcs"), ("azure", "s3"), ("gcs", "azure")] {
        let copy = folder.path().join(format!("{source}-in-{kind}"));
        std::fs::create_dir(&copy).unwrap();
        stores.mirror(&stores.url(kind, source), copy.to_str().unwrap()).await;
        for (name, content) in &files {
            assert!(std::fs::read(copy.join(name)).unwrap() == *content, "{source} in {kind}: {name}");
        }
    }

    data_is_split_and_a_target_that_comes_takes_its_share(
        (&hub, &cluster.kubeconfig()),
        &stores,
        folder.path(),
        &files,
    )
    .await;

    records_become_tables(&hub, &stores, folder.path()).await;
    records_are_cut_and_joined((&hub, &cluster.kubeconfig()), &stores, folder.path()).await;
    older_versions_can_be_loaded(&hub, &stores, folder.path()).await;

    // Two of forty objects are a twentieth and may go; with a third one, nothing does.
    let origin = stores.url("s3", "origin");
    let flags = ["--delete", "--max-delete", "10"];
    let mut names = files.keys().rev();
    for name in names.by_ref().take(2) {
        std::fs::remove_file(data.join(name)).unwrap();
    }
    stores.mirror_with(&flags, data.to_str().unwrap(), &origin).await;
    eventually("what left the source to leave a target", || async {
        let held = copied_to_gcs().await?;
        if held == files.len() - 2 { Ok(()) } else { Err(format!("{held} held")) }
    })
    .await;
    hub.wait("DatasetReplica", "from-s3", ["Ready", "True", "AsSpecified"]).await;
    for name in names.take(2) {
        std::fs::remove_file(data.join(name)).unwrap();
    }
    stores.mirror_with(&flags, data.to_str().unwrap(), &origin).await;
    let status = hub.wait("DatasetReplica", "from-s3", ["Ready", "False", "DeletionPending"]).await;
    assert!(status["targets"][0]["error"].as_str().unwrap().contains("2 of its 38 objects"), "{status}");
    assert_eq!(copied_to_gcs().await, Ok(files.len() - 2));
}
