//! The main job, end to end: a fleet as a user sets one up, with the operator installed by helm.
//!
//! One fleet serves all steps, one after another: it is four real clusters, and each step stands on the one before.

mod autoscaling;
mod fleet_state;
mod horizontal_pod_autoscaler;
mod leadership;
mod load;
mod lost_member;
mod release;
mod settled;
mod strategies;

use std::collections::BTreeMap;

use skyfleet_e2e::artifacts::MODEL_FILES;
use skyfleet_e2e::fleet::{Artifacts, BUCKETS, Fleet, HUB, MEMBERS, NAMESPACE, embed};

use crate::embeddings::reference;
use crate::support::{eventually, lab_name};
use fleet_state::{assert_rolled_out, condition, deployment, json, nothing_is_left, placements, wait_ready};

/// Published embeddings and those of the fleet may differ by this much.
const TOLERANCE: f32 = 1e-4;

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job() {
    let artifacts = Artifacts::build().await.unwrap();
    let fleet = Fleet::up(&lab_name("fleet"), artifacts, |step| println!("{step}")).await.unwrap().down_on_drop();

    the_fleet_is_joined(&fleet).await;
    replicas_wait_for_verified_data(&fleet).await;
    the_weights_are_uploaded_and_mirrored(&fleet).await;
    six_replicas_are_spread_by_round_robin(&fleet).await;
    each_pod_loads_from_its_own_cloud(&fleet).await;
    every_cluster_gives_the_published_embedding(&fleet).await;
    settled::nothing_is_written_for_a_minute(&fleet).await;
    members_follow_kubectl_scale(&fleet).await;
    members_follow_a_changed_argument(&fleet).await;
    autoscaling::replicas_follow_the_load(&fleet).await;
    horizontal_pod_autoscaler::replicas_follow_a_horizontal_pod_autoscaler(&fleet).await;
    strategies::new_replicas_go_where_load_is_least(&fleet).await;
    leadership::a_rollout_survives_killed_operators(&fleet).await;
    lost_member::a_lost_member_is_left_alone_and_adopted_on_return(&fleet).await;
    nothing_is_left_after_delete(&fleet).await;
    the_model_is_served_again(&fleet).await;
    release::a_deletion_goes_on_without_a_lost_member(&fleet).await;
    the_fleet_is_dissolved(&fleet).await;
    fleet.lab.down().await.unwrap();
}

async fn the_fleet_is_joined(fleet: &Fleet) {
    let manifests = fleet.manifests().unwrap();
    fleet.apply(HUB, &manifests.clusters).await.unwrap();
    fleet.apply(HUB, &manifests.buckets).await.unwrap();
    for member in MEMBERS {
        wait_ready(fleet, "cluster", member).await;
        let status = &json(fleet, HUB, &["get", "cluster", member]).await["status"];
        assert_eq!(status["nodes"], 1, "{status}");
        assert!(status["version"].as_str().unwrap().starts_with("v1."), "{status}");
        assert!(status["allocatable"]["cpu"].is_string(), "{status}");
    }
    for bucket in BUCKETS {
        wait_ready(fleet, "bucket", bucket).await;
    }
}

/// The ModelDeployment comes first here: its pods must not start before their data is there and verified.
async fn replicas_wait_for_verified_data(fleet: &Fleet) {
    let manifests = fleet.manifests().unwrap();
    fleet.apply(HUB, &manifests.model_deployment).await.unwrap();
    eventually("the missing dataset is named", || async {
        let ready = condition(fleet, "modeldeployment", "minilm", "Ready").await?;
        if ready["reason"] == "ReferenceNotFound" { Ok(()) } else { Err(ready.to_string()) }
    })
    .await;
    for member in MEMBERS {
        assert_eq!(deployment(fleet, member).await, None, "{member} runs replicas without data");
    }
}

async fn the_weights_are_uploaded_and_mirrored(fleet: &Fleet) {
    for file in &MODEL_FILES {
        let object = format!("minilm/{}", file.name);
        let said = fleet.upload(&fleet.artifacts.model.join(file.name), BUCKETS[0], &object).await.unwrap();
        assert!(said.contains(file.name), "{said}");
    }
    fleet.apply(HUB, &fleet.manifests().unwrap().dataset_replica).await.unwrap();
    wait_ready(fleet, "datasetreplica", "minilm").await;
    let status = &json(fleet, HUB, &["get", "datasetreplica", "minilm"]).await["status"];
    let digest = status["source"]["manifestDigest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:"), "{status}");
    for (target, bucket) in status["targets"].as_array().unwrap().iter().zip(&BUCKETS[1..]) {
        assert_eq!((&target["bucket"], &target["manifestDigest"]), (&(*bucket).into(), &digest.into()), "{status}");
        assert_eq!(target["objects"], MODEL_FILES.len(), "{status}");
    }
}

async fn six_replicas_are_spread_by_round_robin(fleet: &Fleet) {
    wait_ready(fleet, "modeldeployment", "minilm").await;
    let expected: BTreeMap<_, _> = MEMBERS.map(|member| (member.to_owned(), (2, 2))).into();
    assert_eq!(placements(fleet).await, expected);
}

async fn each_pod_loads_from_its_own_cloud(fleet: &Fleet) {
    for cloud in &fleet.stores {
        let pods = json(fleet, cloud.member, &["get", "pods", "-n", NAMESPACE]).await;
        for pod in pods["items"].as_array().unwrap() {
            let arguments = pod["spec"]["initContainers"][0]["args"].as_array().unwrap();
            for wanted in [format!("--bucket={}", cloud.bucket), format!("--endpoint-url={}", cloud.store.endpoint())] {
                assert!(arguments.contains(&wanted.as_str().into()), "{wanted} in {arguments:?}");
            }
        }
    }
}

async fn every_cluster_gives_the_published_embedding(fleet: &Fleet) {
    let status = json(fleet, HUB, &["get", "modeldeployment", "minilm", "-n", NAMESPACE]).await;
    for placement in status["status"]["placements"].as_array().unwrap() {
        let endpoint = placement["endpoint"].as_str().unwrap();
        for case in reference() {
            let answer = embed(endpoint, &case.text).await.unwrap();
            assert_eq!(answer.cluster, placement["cluster"].as_str().unwrap());
            let difference =
                answer.vector.iter().zip(&case.embedding).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
            assert!(difference < TOLERANCE, "{endpoint}: {difference:e} at {:?}", case.text);
        }
    }
}

async fn members_follow_kubectl_scale(fleet: &Fleet) {
    for (replicas, each) in [("9", 3), ("3", 1), ("6", 2)] {
        fleet.kubectl(HUB, &["scale", "modeldeployment", "minilm", "--replicas", replicas], "").await.unwrap();
        eventually(&format!("{each} replicas in each cluster"), || async {
            let found = placements(fleet).await;
            let all = MEMBERS.iter().all(|member| found.get(*member) == Some(&(each, each)));
            if all { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
        wait_ready(fleet, "modeldeployment", "minilm").await;
    }
}

async fn members_follow_a_changed_argument(fleet: &Fleet) {
    let patch = r#"{"spec": {"runtime": {"args": ["--model-dir", "/models", "--shutdown-delay", "1"]}}}"#;
    fleet.kubectl(HUB, &["patch", "modeldeployment", "minilm", "--type", "merge", "-p", patch], "").await.unwrap();
    wait_ready(fleet, "modeldeployment", "minilm").await;
    assert_rolled_out(fleet, "1").await;
    every_cluster_gives_the_published_embedding(fleet).await;
}

async fn nothing_is_left_after_delete(fleet: &Fleet) {
    fleet.kubectl(HUB, &["delete", "modeldeployment", "minilm", "--timeout=180s"], "").await.unwrap();
    for member in MEMBERS {
        eventually(&format!("{member} is empty"), || nothing_is_left(fleet, member)).await;
    }
}

async fn the_model_is_served_again(fleet: &Fleet) {
    fleet.apply(HUB, &fleet.manifests().unwrap().model_deployment).await.unwrap();
    wait_ready(fleet, "modeldeployment", "minilm").await;
}

async fn the_fleet_is_dissolved(fleet: &Fleet) {
    fleet.kubectl(HUB, &["delete", "datasetreplica,bucket,cluster", "--all", "--timeout=180s"], "").await.unwrap();
}
