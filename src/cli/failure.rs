use skyfleet_mirror::{FetchError, MirrorError, StoreError, StoreErrorKind, UploadError};

use crate::buckets::BucketError;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Arguments that do not make sense.
    #[error("{0}")]
    Usage(String),
    /// The store, or what it was asked for.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An upload.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A fetch.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A mirror that could not be made.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// A mirror that was made in part.
    #[error("{0}")]
    Incomplete(String),
    /// The hub has no such Bucket.
    #[error("there is no Bucket {name:?} in the namespace {namespace:?} of the hub: see `kubectl get buckets -A`")]
    NoBucketResource {
        /// The name asked for.
        name: String,
        /// The namespace looked in.
        namespace: String,
    },
    /// The Bucket's Secret is not there.
    #[error("the Secret {secret:?} of the Bucket {bucket:?} is missing: create it in the Bucket's namespace")]
    NoSecret {
        /// The Secret.
        secret: String,
        /// The Bucket.
        bucket: String,
    },
    /// The Bucket, or its Secret, cannot be used.
    #[error("the Bucket {name:?}: {source}")]
    Bucket {
        /// The Bucket.
        name: String,
        /// Why.
        source: BucketError,
    },
    /// The hub cannot be asked.
    #[error("cannot ask the hub for {what}: {reason}")]
    Hub {
        /// What was asked for.
        what: String,
        /// What the client said.
        reason: String,
    },
    /// The hub has no such ModelDeployment.
    #[error(
        "there is no ModelDeployment {name:?} in the namespace {namespace:?} of the hub: see `kubectl get modeldeployments -A`"
    )]
    NoModelDeployment {
        /// The name asked for.
        name: String,
        /// The namespace looked in.
        namespace: String,
    },
    /// The hub has no such DatasetReplica.
    #[error(
        "there is no DatasetReplica {name:?} in the namespace {namespace:?} of the hub: see `kubectl get datasetreplicas -A`"
    )]
    NoDatasetReplica {
        /// The name asked for.
        name: String,
        /// The namespace looked in.
        namespace: String,
    },
    /// The operator refuses the ModelDeployment, or would.
    #[error("nothing is placed: {0}")]
    Refused(String),
    /// A rollout that failed, or cannot be asked for.
    #[error("{0}")]
    Rollout(String),
    /// Nothing is known of where a dataset came from.
    #[error("{0}")]
    Lineage(String),
    /// A manifest cannot be read, or is none.
    #[error("{place}: {reason}")]
    Manifest {
        /// The file, and where in it.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Replicas that would serve nowhere, where that was to be a failure.
    #[error("{0} replicas serve nowhere: they are placed nowhere, or stay with a lost cluster")]
    Unplaced(i32),
}

impl Failure {
    /// The process's exit status; `--help` lists them.
    pub(super) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Mirror(MirrorError::Overlap(..) | MirrorError::Sharding(_) | MirrorError::Portion(_)) => 2,
            Self::Upload(UploadError::File { .. } | UploadError::NotAFile(_))
            | Self::Fetch(FetchError::File { .. })
            | Self::Unplaced(_) => 3,
            Self::NoSecret { .. }
            | Self::Bucket { source: BucketError::MissingKey { .. }, .. }
            | Self::Manifest { .. } => 4,
            Self::NoBucketResource { .. } | Self::NoModelDeployment { .. } | Self::NoDatasetReplica { .. } => 6,
            Self::Fetch(
                FetchError::Mismatch { .. } | FetchError::DamagedManifest { .. } | FetchError::DamagedShardIndex { .. },
            ) => 8,
            Self::Store(error) | Self::Upload(UploadError::Store(error)) | Self::Fetch(FetchError::Store(error)) => {
                of_store(&error.kind)
            }
            Self::Mirror(MirrorError::Source(error)) => of_store(&error.kind),
            Self::Incomplete(_) => 9,
            Self::Mirror(_)
            | Self::Upload(_)
            | Self::Fetch(_)
            | Self::Bucket { .. }
            | Self::Hub { .. }
            | Self::Refused(_)
            | Self::Rollout(_)
            | Self::Lineage(_) => 1,
        }
    }
}

fn of_store(kind: &StoreErrorKind) -> u8 {
    match kind {
        StoreErrorKind::MissingCredentials | StoreErrorKind::IdentityRefused => 4,
        StoreErrorKind::CredentialsRefused | StoreErrorKind::CredentialsExpired => 5,
        StoreErrorKind::MissingBucket => 6,
        StoreErrorKind::Unreachable => 7,
        StoreErrorKind::Corrupt => 8,
        _ => 1,
    }
}
