//! The Job that copies a dataset in a member: one pod for each worker, and a Secret with what they need to know.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Container, PodSpec, PodTemplateSpec, ResourceRequirements, Secret, SecretVolumeSource, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use skyfleet_api::dataset_replica::JobSettings;
use skyfleet_api::labels;

use super::load_model::{Loader, restricted};

/// Where the Secret is in a pod.
pub const TASK_FOLDER: &str = "/etc/skyfleet/task";

/// The longest name: with the index behind it, it becomes that of a pod and the value of a label.
const LONGEST_NAME: usize = 52;
/// The longest value of a label.
const LONGEST_LABEL: usize = 63;
/// How long Job and Secret stay after the end where nobody removes them: the hub may be cut off.
const SECONDS_AFTER_END: i32 = 300;
/// After this the cluster ends it, whatever it does: credentials do not stay for ever.
const LONGEST_SECONDS: i64 = 7 * 24 * 3600;
/// How often the pod of a worker is made anew after it failed by itself.
const TRIES: i32 = 6;
/// How long pods stay on a node that is not heard.
const LOST_NODE_SECONDS: i64 = 30;
/// The volume with the Secret.
const VOLUME: &str = "task";

/// A Job that copies a dataset in a member.
#[derive(Clone, Copy, Debug)]
pub struct MirrorJob<'a> {
    /// The DatasetReplica.
    pub dataset: &'a str,
    /// The namespace of both.
    pub namespace: &'a str,
    /// The DatasetReplica's UID.
    pub uid: &'a str,
    /// The hub's identity.
    pub hub: &'a str,
    /// The Cluster.
    pub cluster: &'a str,
    /// What names the work.
    pub work: &'a str,
    /// How many clusters were tried before.
    pub attempt: u32,
    /// Pods.
    pub workers: u32,
    /// What the pods may use.
    pub settings: &'a JobSettings,
    /// Their program.
    pub loader: &'a Loader,
}

impl MirrorJob<'_> {
    /// The name of the Job and of its Secret.
    #[must_use]
    pub fn name(&self) -> String {
        let end = format!("-{}-{}", self.work, self.attempt);
        let begin = cut(self.dataset, LONGEST_NAME.saturating_sub(end.len())).replace('.', "-");
        format!("{begin}{end}")
    }

    /// The Job.
    #[must_use]
    pub fn job(&self) -> Job {
        let workers = i32::try_from(self.workers).unwrap_or(i32::MAX);
        Job {
            metadata: self.metadata(),
            spec: Some(JobSpec {
                completion_mode: Some("Indexed".to_owned()),
                completions: Some(workers),
                parallelism: Some(workers),
                backoff_limit_per_index: Some(TRIES),
                ttl_seconds_after_finished: Some(SECONDS_AFTER_END),
                active_deadline_seconds: Some(LONGEST_SECONDS),
                // A pod that is evicted, or whose node vanishes, is no failure of its own.
                pod_failure_policy: Some(PodFailurePolicy {
                    rules: vec![PodFailurePolicyRule {
                        action: "Ignore".to_owned(),
                        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                            type_: "DisruptionTarget".to_owned(),
                            status: "True".to_owned(),
                        }]),
                        ..PodFailurePolicyRule::default()
                    }],
                }),
                template: PodTemplateSpec {
                    metadata: Some(ObjectMeta { labels: Some(self.pod_labels()), ..ObjectMeta::default() }),
                    spec: Some(self.pod()),
                },
                ..JobSpec::default()
            }),
            status: None,
        }
    }

    /// The Secret: files of this content. It goes with the Job of this UID.
    #[must_use]
    pub fn secret(&self, data: BTreeMap<String, ByteString>, job_uid: &str) -> Secret {
        let owner = OwnerReference {
            api_version: "batch/v1".to_owned(),
            kind: "Job".to_owned(),
            name: self.name(),
            uid: job_uid.to_owned(),
            ..OwnerReference::default()
        };
        Secret {
            metadata: ObjectMeta { owner_references: Some(vec![owner]), ..self.metadata() },
            data: Some(data),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        }
    }

    fn pod(&self) -> PodSpec {
        PodSpec {
            restart_policy: Some("Never".to_owned()),
            // They ask nothing of this cluster's API server.
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            containers: vec![self.container()],
            node_selector: (!self.settings.node_selector.is_empty()).then(|| self.settings.node_selector.clone()),
            tolerations: Some(self.settings.tolerations.iter().cloned().chain(lost_node()).collect()),
            topology_spread_constraints: Some(vec![TopologySpreadConstraint {
                max_skew: 1,
                topology_key: "kubernetes.io/hostname".to_owned(),
                when_unsatisfiable: "ScheduleAnyway".to_owned(),
                label_selector: Some(LabelSelector {
                    match_labels: Some(self.pod_labels()),
                    ..LabelSelector::default()
                }),
                ..TopologySpreadConstraint::default()
            }]),
            volumes: Some(vec![Volume {
                name: VOLUME.to_owned(),
                secret: Some(SecretVolumeSource { secret_name: Some(self.name()), ..SecretVolumeSource::default() }),
                ..Volume::default()
            }]),
            ..PodSpec::default()
        }
    }

    fn container(&self) -> Container {
        Container {
            name: "worker".to_owned(),
            image: Some(self.loader.image.clone()),
            image_pull_policy: self.loader.image_pull_policy.clone(),
            args: Some(vec!["worker".to_owned(), format!("--task={TASK_FOLDER}")]),
            volume_mounts: Some(vec![VolumeMount {
                name: VOLUME.to_owned(),
                mount_path: TASK_FOLDER.to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            }]),
            resources: Some(self.settings.resources.clone().unwrap_or_else(resources)),
            security_context: Some(restricted()),
            ..Container::default()
        }
    }

    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(self.labels()),
            ..ObjectMeta::default()
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let labels = [
            (labels::MANAGED_BY, labels::MANAGER),
            (labels::HUB, self.hub),
            (labels::OWNER_UID, self.uid),
            (labels::DATASET_REPLICA, cut(self.dataset, LONGEST_LABEL)),
            (labels::MEMBER_CLUSTER, self.cluster),
        ];
        labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// Pods of Jobs are no replicas of models: those are counted by the hub's label.
    fn pod_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.remove(labels::HUB);
        labels.remove(labels::MANAGED_BY);
        labels
    }
}

/// A pod of an unreachable node is given up soon: another takes over what it was at.
fn lost_node() -> impl Iterator<Item = Toleration> {
    ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].into_iter().map(|key| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(LOST_NODE_SECONDS),
        value: None,
    })
}

fn resources() -> ResourceRequirements {
    let quantity = |resource: &str, amount: &str| (resource.to_owned(), Quantity(amount.to_owned()));
    ResourceRequirements {
        requests: Some([quantity("cpu", "250m"), quantity("memory", "256Mi")].into()),
        limits: Some([quantity("memory", "512Mi")].into()),
        claims: None,
    }
}

/// The beginning of a name that is one itself.
fn cut(name: &str, longest: usize) -> &str {
    name.get(..longest).unwrap_or(name).trim_end_matches(['-', '.'])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use skyfleet_api::dataset_replica::JobSettings;
    use skyfleet_api::labels;

    use super::{Loader, MirrorJob};

    fn with<T>(dataset: &str, of: impl FnOnce(MirrorJob<'_>) -> T) -> T {
        let node_selector = BTreeMap::from([("spot".to_owned(), "true".to_owned())]);
        let settings = JobSettings { node_selector, ..JobSettings::default() };
        let loader = Loader { image: "skyfleet:1".to_owned(), image_pull_policy: None };
        of(MirrorJob {
            dataset,
            namespace: "ml",
            uid: "u-1",
            hub: "h-1",
            cluster: "aws-1",
            work: "0a1b2c3d",
            attempt: 2,
            workers: 4,
            settings: &settings,
            loader: &loader,
        })
    }

    #[test]
    fn any_name_of_a_dataset_gives_a_name_that_pods_can_have() {
        assert_eq!(with("weights", |job| job.name()), "weights-0a1b2c3d-2");
        let long = format!("{}.v1", "very-long-name-".repeat(12));
        let name = with(&long, |job| job.name());
        assert!(name.len() <= 52 && name.ends_with("-0a1b2c3d-2") && !name.contains('.'), "{name}");
        assert!(with(&long, |job| job.labels()[labels::DATASET_REPLICA].len()) <= 63);
    }

    #[test]
    fn a_worker_has_no_token_and_its_node_is_of_the_wished_kind() {
        let job = with("weights", |job| job.job()).spec.expect("a spec");
        assert_eq!((job.completions, job.parallelism), (Some(4), Some(4)));
        let pod = job.template.spec.expect("a pod");
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!(pod.node_selector.expect("a selector")["spot"], "true");
        assert_eq!(pod.containers[0].args.as_ref().expect("arguments")[0], "worker");
        let labels = job.template.metadata.expect("metadata").labels.expect("labels");
        assert!(!labels.contains_key(labels::HUB), "it would count as a replica of a model");
    }

    #[test]
    fn the_secret_goes_with_its_job() {
        let secret = with("weights", |job| job.secret(BTreeMap::new(), "j-1"));
        let owners = secret.metadata.owner_references.expect("owners");
        assert_eq!((owners[0].uid.as_str(), owners[0].name.as_str()), ("j-1", "weights-0a1b2c3d-2"));
        assert_eq!(secret.metadata.labels.expect("labels")[labels::OWNER_UID], "u-1");
    }
}
