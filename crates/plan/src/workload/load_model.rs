//! The init container that brings a verified copy of the model from the bucket near the cluster.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvFromSource, ResourceRequirements, SeccompProfile, SecretEnvSource, SecurityContext,
    VolumeMount,
};

use super::{Share, credentials_name};

/// The name of the init container.
pub(super) const CONTAINER: &str = "load-model";
/// The volume that hands the model from the init container to the runtime.
pub(super) const VOLUME: &str = "model";

/// The program that loads models: this operator's own image.
#[derive(Clone, Debug)]
pub struct Loader {
    /// Its image.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`; Kubernetes' own rule when absent.
    pub image_pull_policy: Option<String>,
}

/// A verified copy of a dataset in a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelSource {
    /// The store's address, when it is not the provider's own.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The bucket, as the loader's `--bucket` takes it: its name in S3, or `az://ACCOUNT/CONTAINER` or `gs://BUCKET`.
    pub bucket: String,
    /// The prefix that the Bucket resource puts before every key.
    pub bucket_prefix: String,
    /// The prefix of the dataset within the Bucket.
    pub dataset_prefix: String,
    /// The dataset, `namespace.name`: where its manifests are kept.
    pub dataset: String,
    /// The digest of the manifest that every byte is checked against.
    pub digest: String,
    /// Only objects below this path of the dataset.
    pub path: String,
    /// The identity that pods load with; `None` where they are given credentials.
    pub identity: Option<PodIdentity>,
}

/// An identity in a cloud that pods have, and no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIdentity {
    /// The ServiceAccount in the member that has it; `None` is that of the pod's template, or of its node.
    pub service_account: Option<String>,
    /// Azure's webhook looks only at pods that ask for it.
    pub is_azure: bool,
}

/// The init container.
pub(super) fn container(share: &Share<'_>, model: &ModelSource) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(share.loader.image.clone()),
        image_pull_policy: share.loader.image_pull_policy.clone(),
        args: Some(args(model, &share.spec.model.mount_path)),
        env_from: model.identity.is_none().then(|| {
            vec![EnvFromSource {
                secret_ref: Some(SecretEnvSource { name: credentials_name(share.name), optional: Some(false) }),
                ..EnvFromSource::default()
            }]
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: share.spec.model.mount_path.clone(),
            ..VolumeMount::default()
        }]),
        security_context: Some(restricted()),
        // A namespace with a quota asks for both on every container. The loader streams: it needs little, however large
        // the model is.
        resources: Some(ResourceRequirements {
            requests: Some([quantity("cpu", "50m"), quantity("memory", "128Mi")].into()),
            limits: Some([quantity("memory", "512Mi")].into()),
            claims: None,
        }),
        ..Container::default()
    }
}

/// What a container of this program may: no more than the Pod Security Standard "restricted" lets it.
pub(super) fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..SecurityContext::default()
    }
}

fn args(model: &ModelSource, into: &str) -> Vec<String> {
    let optional = [
        ("--endpoint-url", model.endpoint.clone().unwrap_or_default()),
        ("--region", model.region.clone().unwrap_or_default()),
        ("--prefix", model.bucket_prefix.clone()),
        ("--dataset-prefix", model.dataset_prefix.clone()),
        ("--path", model.path.clone()),
    ];
    let required = [
        ("--bucket", model.bucket.clone()),
        ("--dataset", model.dataset.clone()),
        ("--digest", model.digest.clone()),
        ("--into", into.to_owned()),
    ];
    std::iter::once("fetch".to_owned())
        .chain(required.into_iter().map(|(flag, value)| format!("{flag}={value}")))
        .chain(
            optional.into_iter().filter(|(_, value)| !value.is_empty()).map(|(flag, value)| format!("{flag}={value}")),
        )
        .collect()
}

fn quantity(resource: &str, amount: &str) -> (String, k8s_openapi::apimachinery::pkg::api::resource::Quantity) {
    (resource.to_owned(), k8s_openapi::apimachinery::pkg::api::resource::Quantity(amount.to_owned()))
}
