//! The pod: the runtime's container, the model's volume, and the user's overlay on top.

use std::collections::BTreeMap;

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EmptyDirVolumeSource, LifecycleHandler, PodSpec, PodTemplateSpec, SleepAction, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use skyfleet_api::labels;

use super::{PodIdentity, Share, WorkloadError, affinity, load_model, preset};

/// The name of the container that serves.
const RUNTIME: &str = "runtime";
/// How long a server goes on after its pod was told to end.
const DRAIN_SECONDS: i64 = 5;
/// Kubernetes' own grace period for a pod that gives none.
const GRACE_SECONDS: i64 = 30;
/// On pods that Azure's webhook shall give a token: <https://azure.github.io/azure-workload-identity/docs/topics/service-account-labels-and-annotations.html>.
const AZURE_IDENTITY: &str = "azure.workload.identity/use";
/// On pods: the digest of the model they loaded, so that a new version of the dataset is a new template.
const MODEL_DIGEST: &str = "skyfleet.dev/model-digest";

/// The pods of a share.
pub(super) fn pod_template(share: &Share<'_>) -> Result<PodTemplateSpec, WorkloadError> {
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels(share)),
            annotations: share.model.map(|model| BTreeMap::from([(MODEL_DIGEST.to_owned(), model.digest.clone())])),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            init_containers: share.model.map(|model| vec![load_model::container(share, model)]),
            containers: vec![runtime_container(share)],
            volumes: share.model.map(|_| vec![model_volume()]),
            service_account_name: identity(share).and_then(|identity| identity.service_account.clone()),
            // Nothing in the pod speaks to the member's API server unless the overlay says so.
            automount_service_account_token: Some(false),
            ..PodSpec::default()
        }),
    };
    if let Some(overlay) = &share.spec.runtime.pod_template {
        let overlay = serde_json::from_value(with_containers(overlay.clone()))
            .map_err(|error| WorkloadError::PodTemplate(error.to_string()))?;
        template.merge_from(overlay);
        // Whatever the overlay says, the Deployment and the Service find their pods by these.
        template.metadata.get_or_insert_default().labels.get_or_insert_default().extend(pod_labels(share));
    }
    if let Some(pod) = &mut template.spec {
        affinity::constrain(pod, share.spec);
        drain(pod);
    }
    Ok(template)
}

/// A pod that ends is taken out of its Service and told to stop at the same moment, and requests still come for a moment after:
/// the server goes on until they no longer do. Where the overlay has its own way to stop, that is it.
fn drain(pod: &mut PodSpec) {
    let seconds = DRAIN_SECONDS.min(pod.termination_grace_period_seconds.unwrap_or(GRACE_SECONDS) / 2);
    let Some(runtime) = pod.containers.iter_mut().find(|container| container.name == RUNTIME) else { return };
    let lifecycle = runtime.lifecycle.get_or_insert_default();
    if seconds > 0 && lifecycle.pre_stop.is_none() {
        let sleep = Some(SleepAction { seconds });
        lifecycle.pre_stop = Some(LifecycleHandler { sleep, ..LifecycleHandler::default() });
    }
}

/// `containers` is required in a pod, but an overlay may well have nothing to say about them.
fn with_containers(mut overlay: serde_json::Value) -> serde_json::Value {
    if let Some(spec) = overlay.get_mut("spec").and_then(serde_json::Value::as_object_mut) {
        spec.entry("containers").or_insert_with(|| serde_json::json!([]));
    }
    overlay
}

fn pod_labels(share: &Share<'_>) -> BTreeMap<String, String> {
    let mut all = share.labels();
    // A pod that outlives its ModelDeployment's namesake must not differ from the new one's pods by its label alone.
    all.remove(labels::OWNER_UID);
    if identity(share).is_some_and(|identity| identity.is_azure) {
        all.insert(AZURE_IDENTITY.to_owned(), "true".to_owned());
    }
    all
}

fn identity<'a>(share: &Share<'a>) -> Option<&'a PodIdentity> {
    share.model?.identity.as_ref()
}

fn runtime_container(share: &Share<'_>) -> Container {
    let runtime = &share.spec.runtime;
    let probes = runtime.probes.clone().unwrap_or_default();
    Container {
        name: RUNTIME.to_owned(),
        image: Some(preset::image(runtime)),
        image_pull_policy: runtime.image_pull_policy.clone(),
        command: preset::command(runtime),
        args: Some(preset::args(&share.spec.model, runtime)),
        env: (!runtime.env.is_empty()).then(|| runtime.env.clone()),
        ports: Some(vec![ContainerPort {
            name: Some("http".to_owned()),
            container_port: preset::port(runtime),
            ..ContainerPort::default()
        }]),
        readiness_probe: Some(probes.readiness.unwrap_or_else(|| preset::readiness(runtime))),
        liveness_probe: probes.liveness,
        startup_probe: probes.startup,
        resources: runtime.resources.clone(),
        volume_mounts: share.model.map(|_| {
            vec![VolumeMount {
                name: load_model::VOLUME.to_owned(),
                mount_path: share.spec.model.mount_path.clone(),
                read_only: Some(true),
                ..VolumeMount::default()
            }]
        }),
        ..Container::default()
    }
}

fn model_volume() -> Volume {
    Volume {
        name: load_model::VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}
