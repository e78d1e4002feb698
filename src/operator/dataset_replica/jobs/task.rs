//! What is handed over to the workers: what a DatasetReplica refers to, with the credentials to it, as files of one Secret.
//!
//! A worker makes its job of that by the same checks as the operator does, so that both mean the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Client;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};
use skyfleet_api::dataset_replica::Mode;
use skyfleet_api::{Bucket, DatasetReplica, DatasetReplicaSpec};
use skyfleet_mirror::{TokenError, TokenSource, WorkPlan};

use crate::operator::bucket::{Asker, Identity, token, with_tokens};
use crate::operator::dataset_replica::chain::Pinned;
use crate::operator::dataset_replica::dereference::{BucketWithAsker, Found};
use crate::operator::dataset_replica::validate::{Job, Verdict, validate};

/// The file with everything but tokens.
const TASK: &str = "task.json";
/// A ServiceAccount's token is in a file of its own, which is renewed.
const TOKEN: &str = "token-";

/// What workers are told.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task {
    /// Which work.
    pub(crate) work: String,
    /// How many clusters were tried before.
    pub(crate) attempt: u32,
    /// Workers, who share what may be used.
    workers: u32,
    /// Which target, by its place in the spec, has the books of the work.
    pub(crate) books: usize,
    pinned: Option<Pinned>,
    replica: DatasetReplica,
    buckets: BTreeMap<String, HandedBucket>,
    mask_keys: BTreeMap<String, Secret>,
}

#[derive(Clone, Serialize, Deserialize)]
struct HandedBucket {
    bucket: Bucket,
    asker: HandedAsker,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum HandedAsker {
    Anonymous,
    Secret(Box<Secret>),
    ServiceAccount(Box<ServiceAccount>),
}

/// Why nothing can be handed over, or what was cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TaskError {
    /// Who runs as somebody cannot hand that over.
    #[error(
        "the Bucket {0:?} uses the operator's own identity, which cannot be handed over to a Job: name a ServiceAccount in its \
         spec.workloadIdentity, or give it a Secret"
    )]
    OwnIdentity(String),
    /// It cannot be used in the operator either.
    #[error("the Bucket {bucket:?}: {why}")]
    Bucket {
        /// The Bucket.
        bucket: String,
        /// Why.
        why: String,
    },
    /// Files that are missing or damaged.
    #[error("the task in {folder}: {why}", folder = folder.display())]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// Why.
        why: String,
    },
    /// It is not to be copied, or cannot be.
    #[error("{0}")]
    Refused(String),
}

impl Task {
    /// What workers have to know of a DatasetReplica.
    ///
    /// # Errors
    /// When a Bucket's identity cannot be handed over.
    pub(super) fn of(
        replica: &DatasetReplica,
        found: &Found,
        plan: &WorkPlan,
        (books, pinned): (usize, Option<Pinned>),
    ) -> Result<Self, TaskError> {
        let metadata = ObjectMeta {
            name: replica.metadata.name.clone(),
            namespace: replica.metadata.namespace.clone(),
            generation: replica.metadata.generation,
            ..ObjectMeta::default()
        };
        let buckets = found.buckets.iter().map(|(name, with)| Ok((name.clone(), handed(name, with)?)));
        let mask_keys = found.mask_keys.iter().map(|(name, secret)| (name.clone(), bare(secret)));
        Ok(Self {
            work: plan.id.clone(),
            attempt: plan.attempt,
            workers: plan.workers,
            books,
            pinned,
            // Who tells of changes tells the operator.
            replica: DatasetReplica {
                metadata,
                spec: DatasetReplicaSpec { mode: mode(replica.spec.mode), ..replica.spec.clone() },
                status: None,
            },
            buckets: buckets.collect::<Result<_, TaskError>>()?,
            mask_keys: mask_keys.collect(),
        })
    }

    /// The files. Tokens of ServiceAccounts are asked for anew each time.
    ///
    /// # Errors
    /// When there is no token.
    pub(super) async fn files(&self, hub: &Client) -> Result<BTreeMap<String, ByteString>, TaskError> {
        let text = serde_json::to_vec(self).map_err(|error| TaskError::Refused(error.to_string()))?;
        let mut files = BTreeMap::from([(TASK.to_owned(), ByteString(text))]);
        for (name, HandedBucket { bucket, asker }) in &self.buckets {
            let HandedAsker::ServiceAccount(account) = asker else { continue };
            let failed = |why| TaskError::Bucket { bucket: name.clone(), why };
            let token = token(hub, &bucket.spec, account).await.map_err(failed)?;
            files.insert(format!("{TOKEN}{name}"), ByteString(token.into_bytes()));
        }
        Ok(files)
    }

    /// Whether it has tokens, which have to be renewed.
    pub(super) fn has_tokens(&self) -> bool {
        self.buckets.values().any(|with| matches!(with.asker, HandedAsker::ServiceAccount(_)))
    }

    /// Reads what was handed over.
    ///
    /// # Errors
    /// When files are missing or damaged.
    pub(crate) fn read(folder: &Path) -> Result<Self, TaskError> {
        let unreadable = |why: String| TaskError::Unreadable { folder: folder.to_owned(), why };
        let text = std::fs::read(folder.join(TASK)).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))
    }

    /// What is to be done; tokens are in this folder.
    ///
    /// # Errors
    /// When it is not to be done, or cannot be.
    pub(crate) fn job(&self, folder: &Path) -> Result<Job, TaskError> {
        let mut found = Found { mask_keys: self.mask_keys.clone(), ..Found::default() };
        for (name, HandedBucket { bucket, asker }) in &self.buckets {
            let asker = match asker.clone() {
                HandedAsker::Anonymous => Asker::Anonymous,
                HandedAsker::Secret(secret) => Asker::Secret(Some(secret)),
                HandedAsker::ServiceAccount(account) => {
                    let tokens = Arc::new(TokenFile(folder.join(format!("{TOKEN}{name}"))));
                    Asker::Identity(Box::new(with_tokens(&bucket.spec, *account, tokens)))
                }
            };
            found.buckets.insert(name.clone(), BucketWithAsker { bucket: bucket.clone(), asker });
        }
        match validate(&self.replica, &found, Timestamp::now()) {
            Verdict::Copy(job) => Ok(Job { pinned: self.pinned.clone(), ..job.shared(self.workers) }),
            Verdict::Refused(findings) => {
                let messages: Vec<_> = findings.into_iter().map(|finding| finding.message).collect();
                Err(TaskError::Refused(messages.first().cloned().unwrap_or_default()))
            }
        }
    }
}

fn mode(mode: Mode) -> Mode {
    if mode == Mode::Stream { Mode::Mirror } else { mode }
}

fn handed(name: &str, with: &BucketWithAsker) -> Result<HandedBucket, TaskError> {
    let why = |why: &str| TaskError::Bucket { bucket: name.to_owned(), why: why.to_owned() };
    let asker = match &with.asker {
        Asker::Anonymous => HandedAsker::Anonymous,
        Asker::Secret(Some(secret)) => HandedAsker::Secret(Box::new(bare(secret))),
        Asker::Secret(None) => return Err(why("its Secret is missing")),
        Asker::Identity(identity) => match &**identity {
            Ok(Identity::Own) => return Err(TaskError::OwnIdentity(name.to_owned())),
            Ok(Identity::Federated { account, .. }) => {
                let ObjectMeta { name, namespace, annotations, .. } = account.metadata.clone();
                let metadata = ObjectMeta { name, namespace, annotations, ..ObjectMeta::default() };
                HandedAsker::ServiceAccount(Box::new(ServiceAccount { metadata, ..ServiceAccount::default() }))
            }
            Err(refusal) => return Err(why(&refusal.message)),
        },
    };
    // By whom the operator is told of changes is none of their business.
    let mut bucket = with.bucket.clone();
    bucket.spec.notifications = None;
    bucket.metadata.managed_fields = None;
    bucket.metadata.annotations = None;
    Ok(HandedBucket { bucket, asker })
}

/// A Secret with nothing but its name and what it holds.
fn bare(secret: &Secret) -> Secret {
    let metadata = ObjectMeta { name: secret.metadata.name.clone(), ..ObjectMeta::default() };
    Secret { metadata, data: secret.data.clone(), ..Secret::default() }
}

/// A token that somebody else keeps fresh.
#[derive(Debug)]
struct TokenFile(PathBuf);

#[async_trait]
impl TokenSource for TokenFile {
    async fn token(&self) -> Result<String, TokenError> {
        let failed = |error: std::io::Error| TokenError::Unavailable(format!("{}: {error}", self.0.display()));
        let token = tokio::fs::read_to_string(&self.0).await.map_err(failed)?;
        Ok(token.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_mirror::WorkPlan;

    use super::{Task, TaskError, TokenSource as _};
    use crate::operator::bucket::{Asker, Identity, with_tokens};
    use crate::operator::dataset_replica::dereference::Found;
    use crate::operator::dataset_replica::validate::tests::{buckets, copied, replica};

    fn plan() -> WorkPlan {
        WorkPlan {
            id: "0a1b2c3d".to_owned(),
            fingerprint: String::new(),
            cluster: "aws-1".to_owned(),
            attempt: 1,
            workers: 4,
            units: 9,
            objects: 1,
            bytes: 1,
            closed: false,
        }
    }

    fn found() -> Found {
        Found { buckets: buckets(true, &["SHA256"]), ..Found::default() }
    }

    #[test]
    fn workers_mean_what_the_operator_means() {
        let limits = json!({"bandwidth": "100M", "requestsPerSecond": 10});
        let replica = replica(&json!({"verification": "ReadBack", "limits": limits, "source": {
            "bucketRef": {"name": "a"}, "prefix": "w/", "filters": {"include": ["**/*.bin"]},
        }}));
        let task = Task::of(&replica, &found(), &plan(), (1, None)).expect("a task");
        let text = serde_json::to_vec(&task).expect("a text");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(super::TASK), text).expect("a file");
        let read = Task::read(folder.path()).expect("it is read");
        assert_eq!((read.work.as_str(), read.attempt, read.workers, read.books), ("0a1b2c3d", 1, 4, 1));
        let job = read.job(folder.path()).expect("a job");
        let mut wanted = copied(&replica, &found().buckets);
        assert_eq!(job.options.source_limits.bandwidth.map(u64::from), Some(25_000_000), "a quarter of it");
        assert_eq!(job.requests_per_second.map(u32::from), Some(3));
        wanted.options.source_limits = job.options.source_limits;
        assert_eq!(format!("{:?}", job.options), format!("{:?}", wanted.options));
        assert_eq!(format!("{:?}", job.targets), format!("{:?}", wanted.targets));
    }

    #[tokio::test]
    async fn of_a_service_account_a_token_is_handed_over_and_read_anew_each_time() {
        let annotations = json!({"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/models"});
        let account: super::ServiceAccount = serde_json::from_value(
            json!({"metadata": {"name": "models", "namespace": "ml", "annotations": annotations}}),
        )
        .expect("a ServiceAccount");
        let mut found = found();
        let with = found.buckets.get_mut("b").expect("a Bucket");
        with.bucket.spec.credentials_secret_ref = None;
        with.bucket.spec.workload_identity =
            Some(serde_json::from_value(json!({"serviceAccountName": "models"})).expect("one"));
        let unused = std::sync::Arc::new(super::TokenFile("nowhere".into()));
        with.asker = Asker::Identity(Box::new(with_tokens(&with.bucket.spec, account, unused)));
        let task = Task::of(&replica(&json!({})), &found, &plan(), (0, None)).expect("a task");
        assert!(task.has_tokens());
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(super::TASK), serde_json::to_vec(&task).expect("a text")).expect("a file");
        let job = Task::read(folder.path()).and_then(|task| task.job(folder.path())).expect("a job");
        assert!(format!("{:?}", job.targets[0]).contains("role/models"), "{:?}", job.targets[0]);
        let file = folder.path().join("token-b");
        let tokens = super::TokenFile(file.clone());
        assert!(tokens.token().await.is_err());
        for token in ["one", "two"] {
            std::fs::write(&file, format!("{token}\n")).expect("a file");
            assert_eq!(tokens.token().await.as_deref(), Ok(token));
        }
    }

    #[test]
    fn what_is_damaged_is_named_and_nobody_hands_himself_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = Task::read(folder.path()).err().expect("it is missing").to_string();
        assert!(missing.contains(&folder.path().display().to_string()), "{missing}");
        std::fs::write(folder.path().join(super::TASK), b"{").expect("a file");
        assert!(matches!(Task::read(folder.path()), Err(TaskError::Unreadable { .. })));
        let mut found = found();
        found.buckets.get_mut("b").expect("a Bucket").asker = Asker::Identity(Box::new(Ok(Identity::Own)));
        let refused = Task::of(&replica(&json!({})), &found, &plan(), (0, None)).err();
        assert_eq!(refused, Some(TaskError::OwnIdentity("b".to_owned())));
    }
}
