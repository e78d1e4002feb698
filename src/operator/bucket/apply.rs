//! Looks at a bucket: by a read each time, by a trial write once after a change.

use std::sync::Arc;

use skyfleet_api::Bucket;
use skyfleet_api::bucket::Capabilities;
use skyfleet_api::conditions::{ConditionType, Reason, is_true};
use skyfleet_mirror::{ConnectOptions, ObjectStore, RetryClass, StoreError, StoreErrorKind};

use super::validate::{Access, Refusal};

/// What the store of a usable bucket can do, and which credentials that was found with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) capabilities: Capabilities,
    pub(super) credentials_version: Option<String>,
}

/// Looks at the bucket. The trial writes of a probe are made only when the Bucket or its credentials changed, or when it was
/// not usable before: a settled bucket is only read.
pub(super) async fn look(access: Access, bucket: &Bucket) -> Result<Look, Refusal> {
    let credentials_version = access.credentials_version.clone();
    let store = connect(access).await.map_err(|error| refusal(&error))?;
    if let Some(capabilities) = still_known(bucket, credentials_version.as_deref()) {
        store.list_page(".skyfleet/probe", None).await.map_err(|error| refusal(&error))?;
        return Ok(Look { capabilities, credentials_version });
    }
    let found = store.probe().await.map_err(|error| refusal(&error))?;
    let capabilities = Capabilities {
        writable: found.writable,
        conditional_writes: found.conditional_writes,
        checksums: found.checksums.iter().map(|algorithm| format!("{algorithm:?}").to_uppercase()).collect(),
        versioning: found.versioning,
    };
    Ok(Look { capabilities, credentials_version })
}

/// A connection with the bucket's store.
pub(super) async fn connect(access: Access) -> Result<Arc<dyn ObjectStore>, StoreError> {
    access.store.connect(ConnectOptions::default()).await
}

fn still_known(bucket: &Bucket, credentials_version: Option<&str>) -> Option<Capabilities> {
    let status = bucket.status.as_ref()?;
    let same = status.observed_generation == bucket.metadata.generation
        && status.credentials_version.as_deref() == credentials_version
        && is_true(&status.conditions, ConditionType::Ready);
    status.capabilities.clone().filter(|_| same)
}

fn refusal(error: &StoreError) -> Refusal {
    let reason = match error.kind {
        StoreErrorKind::MissingBucket => Reason::BucketNotFound,
        StoreErrorKind::CredentialsRefused
        | StoreErrorKind::CredentialsExpired
        | StoreErrorKind::IdentityRefused
        | StoreErrorKind::IdentityUnavailable => Reason::CredentialsRefused,
        StoreErrorKind::MissingCredentials => Reason::InvalidCredentials,
        StoreErrorKind::WrongRegion { .. } => Reason::InvalidSpec,
        _ => Reason::StoreUnreachable,
    };
    Refusal { reason, message: error.to_string(), passing: error.retry() != RetryClass::Permanent }
}
