//! DatasetReplicas whose work Jobs do, in the member nearest to the data: workers and the operator are killed on the way, a member is
//! cut off, a node breaks. The work finishes, the credentials are gone, and the status says how it is all along.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use skyfleet_e2e::{Cluster, ClusterSpec, Lab, artifacts};
use tokio::task::spawn_blocking;

use crate::custom_resources::install_definitions;
use crate::hub::Hub;
use crate::operator_process::OperatorProcess;
use crate::stores::Stores;
use crate::support::{eventually, lab, write_files};

/// Near the source, and near the target.
const NEAR: &str = "azure-1";
const FAR: &str = "gcp-1";

struct Site {
    lab: Lab,
    hub: Hub,
    stores: Stores,
    image: String,
}

/// Objects of which the bandwidth below makes some forty seconds.
fn fill(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = (0..120usize).map(|number| {
        let bytes = (0..200_000).map(|index| u8::try_from((index * (number + 3) + (index >> 7)) & 0xff).unwrap());
        (format!("part-{}/{number:03}.bin", number % 7), bytes.collect::<Vec<u8>>())
    });
    let files: BTreeMap<_, _> = files.collect();
    write_files(folder, &files);
    files
}

fn slowly(prefix: &str, execution: &str) -> Value {
    json!({
        "source": {"bucketRef": {"name": "azure"}, "prefix": "origin/"},
        "targets": [{"bucketRef": {"name": "gcs"}, "prefix": prefix}],
        "schedule": {"interval": "1h"}, "limits": {"bandwidth": "700k"}, "execution": execution,
        "job": {"parallelism": 2, "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}}},
    })
}

impl Site {
    async fn up(folder: &Path) -> Self {
        let skyfleet = spawn_blocking(artifacts::skyfleet_image).await.unwrap().unwrap();
        let members = [NEAR, FAR].map(ClusterSpec::with_pods);
        let lab = lab("jobs", std::iter::once(ClusterSpec::control_plane("hub")).chain(members).collect()).await;
        for member in [NEAR, FAR] {
            lab.load_image(member, &skyfleet.archive).await.unwrap();
        }
        let hub_cluster = lab.cluster("hub").unwrap();
        install_definitions(&hub_cluster.kubeconfig()).await;
        let stores = Stores::start(folder, lab.cluster(NEAR).unwrap().machine()).await;
        let hub = Hub(hub_cluster.client().await.unwrap());
        Self { lab, hub, stores, image: skyfleet.reference }
    }

    fn cluster(&self, name: &str) -> &Cluster {
        self.lab.cluster(name).unwrap()
    }

    async fn client(&self, member: &str) -> Client {
        self.cluster(member).client().await.unwrap()
    }

    async fn operator(&self, identity: &str) -> OperatorProcess {
        let flags = ["--image", &self.image, "--job-patience", "60", "--jobs-above-bytes", "3000000"];
        OperatorProcess::start_with(self.cluster("hub"), identity, &flags).await
    }

    async fn join(&self) {
        for member in [NEAR, FAR] {
            let kubeconfig = std::fs::read_to_string(self.cluster(member).kubeconfig()).unwrap();
            self.hub.set_kubeconfig(member, &serde_yaml::from_str(&kubeconfig).unwrap()).await;
            self.hub.create_cluster(member).await;
            self.hub.wait("Cluster", member, ["Ready", "True", "AsSpecified"]).await;
        }
        self.stores.create_buckets(&self.hub, &[("azure", NEAR), ("gcs", FAR)]).await;
    }

    /// Waits until the Job of a DatasetReplica is in this cluster and has gone through some ranges.
    async fn runs_in(&self, name: &str, cluster: &str) -> Value {
        eventually(&format!("{name} to be copied in {cluster}"), || async {
            let status = self.hub.status("DatasetReplica", name).await;
            let job = &status["job"];
            let runs = job["cluster"] == cluster && job["phase"] == "Running" && job["rangesDone"].as_i64() >= Some(2);
            if runs { Ok(job.clone()) } else { Err(status.to_string()) }
        })
        .await
    }

    async fn says(&self, name: &str, what: &str) {
        eventually(&format!("{name} to say {what:?}"), || async {
            let said = self.hub.status("DatasetReplica", name).await.to_string();
            if said.contains(what) { Ok(()) } else { Err(said) }
        })
        .await;
    }

    async fn is_ready(&self, name: &str) -> Value {
        self.hub.wait("DatasetReplica", name, ["Ready", "True", "AsSpecified"]).await
    }

    /// Whether a member has the Secret of a Job: with the key of the source's store in it.
    async fn credentials_in(&self, member: &str) -> Vec<String> {
        let secrets = Api::<Secret>::all(self.client(member).await).list(&ListParams::default()).await.unwrap();
        let has_key = |secret: &&Secret| {
            let data = secret.data.iter().flat_map(BTreeMap::values);
            data.into_iter().any(|value| String::from_utf8_lossy(&value.0).contains("accountKey"))
        };
        secrets.items.iter().filter(has_key).map(ResourceExt::name_any).collect()
    }

    /// Waits until nothing is left of any Job in these members.
    async fn is_clean(&self, members: &[&str]) {
        for member in members {
            eventually(&format!("{member} to be clean"), || async {
                let jobs = Api::<Job>::all(self.client(member).await).list(&ListParams::default()).await.unwrap();
                let jobs: Vec<_> = jobs.items.iter().map(ResourceExt::name_any).collect();
                let secrets = self.credentials_in(member).await;
                if jobs.is_empty() && secrets.is_empty() { Ok(()) } else { Err(format!("{jobs:?} {secrets:?}")) }
            })
            .await;
        }
    }

    /// Waits until the status says nothing of a Job.
    async fn says_no_job(&self, name: &str) {
        eventually(&format!("{name} to say nothing of a Job"), || async {
            let status = self.hub.status("DatasetReplica", name).await;
            if status["job"].is_null() { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }
}

fn digest(status: &Value) -> String {
    status["targets"][0]["manifestDigest"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_next_to_the_data_outlive_workers_clusters_and_operators() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::up(folder.path()).await;
    let data = folder.path().join("data");
    let files = fill(&data);
    site.stores.mirror(data.to_str().unwrap(), &site.stores.url("azure", "origin")).await;
    let operator = site.operator("one").await;
    site.join().await;

    let plain = json!({
        "source": {"bucketRef": {"name": "azure"}, "prefix": "origin/"},
        "targets": [{"bucketRef": {"name": "gcs"}, "prefix": "plain/"}], "execution": "InProcess",
    });
    site.hub.create("DatasetReplica", "plain", plain).await;
    let wanted = digest(&site.is_ready("plain").await);

    let operator = workers_and_the_operator_are_killed(&site, operator, &wanted).await;
    a_member_is_cut_off(&site, &wanted).await;
    a_node_breaks(&site, &wanted).await;
    a_dataset_is_deleted_while_it_is_copied(&site).await;

    // What lies there is the data, byte for byte, and no book of any work.
    for prefix in ["killed", "cut-off", "broken"] {
        let copy = folder.path().join(prefix);
        std::fs::create_dir(&copy).unwrap();
        site.stores.mirror(&site.stores.url("gcs", prefix), copy.to_str().unwrap()).await;
        for (name, content) in &files {
            assert!(std::fs::read(copy.join(name)).unwrap() == *content, "{prefix}: {name}");
        }
    }
    assert!(operator.stop().await.success());
}

/// Pods are killed, the operator is, and the Job is removed; the rest of the work goes on from where it was.
async fn workers_and_the_operator_are_killed(site: &Site, operator: OperatorProcess, wanted: &str) -> OperatorProcess {
    site.hub.create("DatasetReplica", "killed", slowly("killed/", "Job")).await;
    let job = site.runs_in("killed", NEAR).await;
    let name = job["name"].as_str().unwrap();
    assert_eq!(site.credentials_in(NEAR).await, [name]);
    assert_eq!(site.credentials_in(FAR).await, Vec::<String>::new());
    let client = site.client(NEAR).await;
    let found = Api::<Job>::default_namespaced(client.clone()).get(name).await.unwrap();
    assert_eq!(found.spec.unwrap().completion_mode.as_deref(), Some("Indexed"));
    let pods = Api::<Pod>::default_namespaced(client);
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    for pod in pods.list(&of_job).await.unwrap().items {
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        pods.delete(&pod.name_any(), &at_once).await.unwrap();
    }
    let before = job["rangesDone"].as_i64();
    operator.kill().await;
    let operator = site.operator("two").await;
    eventually("the killed workers' work to go on", || async {
        let status = site.hub.status("DatasetReplica", "killed").await;
        let is_same = status["job"]["name"] == name && status["job"]["rangesDone"].as_i64() > before;
        if is_same { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    // Somebody removes the Job itself: it is made anew, and goes on.
    let jobs = Api::<Job>::default_namespaced(site.client(NEAR).await);
    let first = jobs.get(name).await.unwrap().uid();
    jobs.delete(name, &DeleteParams::background()).await.unwrap();
    eventually("the Job to be made anew", || async {
        let job = jobs.get_opt(name).await.map_err(|error| error.to_string())?;
        if job.is_some_and(|job| job.uid() != first) { Ok(()) } else { Err("it is not there".to_owned()) }
    })
    .await;
    let status = site.is_ready("killed").await;
    assert_eq!(digest(&status), wanted, "{status}");
    site.is_clean(&[NEAR, FAR]).await;
    site.says_no_job("killed").await;
    println!("workers, the operator and the Job itself gone in the middle: the same digest, and no credentials left");
    operator
}

/// The hub cannot reach the member, and the member no store. The work is done elsewhere; the credentials go when the member is back.
async fn a_member_is_cut_off(site: &Site, wanted: &str) {
    site.hub.create("DatasetReplica", "cut-off", slowly("cut-off/", "Job")).await;
    let job = site.runs_in("cut-off", NEAR).await;
    site.lab.partition(NEAR).await.unwrap();
    site.says("cut-off", &format!("the API server of {NEAR} does not answer")).await;
    let elsewhere = site.runs_in("cut-off", FAR).await;
    assert!(elsewhere["rangesDone"].as_i64() >= job["rangesDone"].as_i64(), "nothing is begun anew: {elsewhere}");
    let status = site.is_ready("cut-off").await;
    assert_eq!(digest(&status), wanted, "{status}");
    site.is_clean(&[FAR]).await;
    // The data is there, and so are credentials that nobody can remove yet: both are said.
    site.says("cut-off", &format!("{NEAR} cannot be reached: the Job and the Secret with its credentials")).await;
    site.lab.heal(NEAR).await.unwrap();
    site.is_clean(&[NEAR, FAR]).await;
    site.says_no_job("cut-off").await;
    site.hub.wait("Cluster", NEAR, ["Ready", "True", "AsSpecified"]).await;
    println!("a member cut off: done in the other one, and its credentials removed once it was back");
}

/// The node is gone with its pods, and the API server is not: the work is done elsewhere, and the credentials go at once.
async fn a_node_breaks(site: &Site, wanted: &str) {
    site.hub.create("DatasetReplica", "broken", slowly("broken/", "Auto")).await;
    let job = site.runs_in("broken", NEAR).await;
    // What is little was copied in the operator.
    let status = site.hub.status("DatasetReplica", "broken").await;
    assert!(job["ranges"].as_i64() > Some(4), "{status}");
    site.lab.stop_node(NEAR).await.unwrap();
    site.runs_in("broken", FAR).await;
    eventually("the credentials to leave the cluster whose node is gone", || async {
        let left = site.credentials_in(NEAR).await;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    let status = site.is_ready("broken").await;
    assert_eq!(digest(&status), wanted, "{status}");
    site.says_no_job("broken").await;
    site.lab.start(NEAR).await.unwrap();
    site.is_clean(&[NEAR, FAR]).await;
    println!("a node broken: done in the other cluster");
}

/// Also when it is suspended first: nothing is copied, and nothing stays.
async fn a_dataset_is_deleted_while_it_is_copied(site: &Site) {
    site.hub.create("DatasetReplica", "deleted", slowly("deleted/", "Job")).await;
    site.runs_in("deleted", NEAR).await;
    let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
    site.hub.api("DatasetReplica").patch("deleted", &PatchParams::default(), &suspend).await.unwrap();
    site.hub.wait("DatasetReplica", "deleted", ["Ready", "False", "Suspended"]).await;
    site.is_clean(&[NEAR, FAR]).await;
    let resume = Patch::Merge(json!({"spec": {"suspend": false}}));
    site.hub.api("DatasetReplica").patch("deleted", &PatchParams::default(), &resume).await.unwrap();
    site.runs_in("deleted", NEAR).await;
    site.hub.api("DatasetReplica").delete("deleted", &DeleteParams::default()).await.unwrap();
    site.is_clean(&[NEAR, FAR]).await;
    println!("suspended, resumed and deleted in the middle: no Job and no credentials left");
}
