//! Reads and writes what workers and who sent them know of each other.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::plan::{WorkPlan, WorkUnit};
use crate::dataset::document::{read_document, write_document};
use crate::{
    Attributes, Condition, DatasetName, ObjectSummary, Payload, RESERVED_PREFIX, Replica, StoreError, StoreErrorKind,
    list,
};

/// Documents that are read at once.
const AT_ONCE: usize = 16;

/// The books of a dataset's work, in the bucket of one of its targets.
#[derive(Debug, Clone)]
pub struct Ledger {
    replica: Replica,
    folder: String,
}

/// Who is at a range, and how far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The worker: see [`super::WorkerId`].
    pub worker: u32,
    /// Counts its beats.
    pub beat: u64,
    /// Objects that were copied and proven.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why it has ended before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far a work is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkProgress {
    /// The ranges that were gone through.
    pub done: BTreeSet<u32>,
    /// Those that somebody is at, or has left.
    pub claims: BTreeMap<u32, Claim>,
    /// Objects that were copied and proven, all targets together.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl WorkProgress {
    /// Why workers have ended before their end, as far as nobody has gone on in their place.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.claims.values().find_map(|claim| claim.error.as_deref())
    }
}

/// What was seen of a claim.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) etag: String,
}

impl Ledger {
    /// That of a dataset, in this bucket.
    #[must_use]
    pub fn new(replica: Replica, dataset: &DatasetName) -> Self {
        Self { replica, folder: format!("{RESERVED_PREFIX}work/{dataset}/") }
    }

    /// Which work there is.
    ///
    /// # Errors
    /// The store's. What another version wrote, or damage, is no plan.
    pub async fn plan(&self, cancel: &CancellationToken) -> Result<Option<WorkPlan>, StoreError> {
        self.read(&self.plan_key(), cancel).await
    }

    /// Says which work there is: its ranges first.
    ///
    /// # Errors
    /// The store's.
    pub async fn publish(&self, plan: &WorkPlan, units: &[WorkUnit]) -> Result<(), StoreError> {
        self.write(&self.key(&plan.id, "units.json"), &units).await?;
        self.replace(plan).await
    }

    /// Says how the work stands now.
    ///
    /// # Errors
    /// The store's.
    pub async fn replace(&self, plan: &WorkPlan) -> Result<(), StoreError> {
        self.write(&self.plan_key(), plan).await
    }

    /// The ranges.
    ///
    /// # Errors
    /// The store's; [`StoreErrorKind::NotFound`] where they are gone.
    pub(super) async fn units(&self, work: &str, cancel: &CancellationToken) -> Result<Vec<WorkUnit>, StoreError> {
        let key = self.key(work, "units.json");
        let lost =
            || self.replica.store.place().error(StoreErrorKind::NotFound, "read the ranges of a work", key.clone());
        self.read(&key, cancel).await?.ok_or_else(lost)
    }

    /// How far it is. What is `finished` is remembered from one call to the next, and read once.
    ///
    /// # Errors
    /// The store's.
    pub async fn progress(
        &self,
        plan: &WorkPlan,
        finished: &mut BTreeMap<u32, Claim>,
        cancel: &CancellationToken,
    ) -> Result<WorkProgress, StoreError> {
        let claimed = self.claimed(&plan.id).await?.into_keys();
        let claimed: Vec<_> = claimed.map(|unit| self.claim(&plan.id, unit, cancel)).collect();
        let claims: Vec<_> = stream::iter(claimed).buffered(AT_ONCE).try_collect().await?;
        let done = self.done(&plan.id).await?;
        let unread: Vec<_> = done.iter().copied().filter(|unit| !finished.contains_key(unit)).collect();
        let read: Vec<_> = unread.iter().map(|unit| self.done_claim(&plan.id, *unit, cancel)).collect();
        let read: Vec<Option<Claim>> = stream::iter(read).buffered(AT_ONCE).try_collect().await?;
        finished.extend(unread.into_iter().zip(read).map(|(unit, claim)| (unit, claim.unwrap_or_default())));
        let claims: BTreeMap<_, _> = claims.into_iter().flatten().filter(|(unit, _)| !done.contains(unit)).collect();
        let sum = |of: fn(&Claim) -> u64| finished.values().chain(claims.values()).map(of).sum();
        Ok(WorkProgress { objects: sum(|claim| claim.objects), bytes: sum(|claim| claim.bytes), done, claims })
    }

    /// Forgets that there was a work.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget(&self) -> Result<(), StoreError> {
        self.replica.store.delete(&self.plan_key()).await
    }

    pub(super) async fn done(&self, work: &str) -> Result<BTreeSet<u32>, StoreError> {
        Ok(self.numbered(work, "done/").await?.into_keys().collect())
    }

    pub(super) async fn claimed(&self, work: &str) -> Result<BTreeMap<u32, Seen>, StoreError> {
        let found = self.numbered(work, "claims/").await?;
        Ok(found.into_iter().map(|(unit, object)| (unit, Seen { etag: object.etag })).collect())
    }

    pub(super) async fn claim(
        &self,
        work: &str,
        unit: u32,
        cancel: &CancellationToken,
    ) -> Result<Option<(u32, Claim)>, StoreError> {
        let claim = self.read(&self.claim_key(work, unit), cancel).await?;
        Ok(claim.map(|claim| (unit, claim)))
    }

    /// Says who is at a range. Where it is another than the condition wants, it is not written, and `false`.
    pub(super) async fn write_claim(
        &self,
        (work, unit): (&str, u32),
        claim: &Claim,
        condition: &Condition,
    ) -> Result<bool, StoreError> {
        let payload = Payload::of(self.bytes(claim)?);
        match self.replica.store.put(&self.claim_key(work, unit), &json(), payload, condition).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == StoreErrorKind::Changed => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says that a range was gone through.
    pub(super) async fn finish(&self, work: &str, unit: u32, claim: &Claim) -> Result<(), StoreError> {
        self.write(&self.done_key(work, unit), claim).await?;
        self.replica.store.delete(&self.claim_key(work, unit)).await
    }

    async fn done_claim(&self, work: &str, unit: u32, cancel: &CancellationToken) -> Result<Option<Claim>, StoreError> {
        self.read(&self.done_key(work, unit), cancel).await
    }

    async fn numbered(&self, work: &str, folder: &str) -> Result<BTreeMap<u32, ObjectSummary>, StoreError> {
        let folder = self.key(work, folder);
        let found: Vec<_> = list(&*self.replica.store, &folder).try_collect().await?;
        let number = |object: &ObjectSummary| object.key.strip_prefix(&folder)?.strip_suffix(".json")?.parse().ok();
        Ok(found.into_iter().filter_map(|object| Some((number(&object)?, object))).collect())
    }

    async fn read<T: DeserializeOwned>(&self, key: &str, cancel: &CancellationToken) -> Result<Option<T>, StoreError> {
        let bytes = match read_document(&self.replica, key, cancel).await {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let read = serde_json::from_slice(&bytes);
        if let Err(error) = &read {
            tracing::warn!(key, bucket = %self.replica.store.place().bucket, %error, "it cannot be read: it counts as not there");
        }
        Ok(read.ok())
    }

    async fn write(&self, key: &str, document: &(impl Serialize + Sync)) -> Result<(), StoreError> {
        write_document(&self.replica, key, self.bytes(document)?).await
    }

    fn bytes(&self, document: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        let place = self.replica.store.place();
        serde_json::to_vec(document)
            .map_err(|error| place.error(StoreErrorKind::Rejected, "write the books of a work", error.to_string()))
    }

    fn plan_key(&self) -> String {
        format!("{}plan.json", self.folder)
    }

    fn claim_key(&self, work: &str, unit: u32) -> String {
        self.key(work, &format!("claims/{unit:06}.json"))
    }

    fn done_key(&self, work: &str, unit: u32) -> String {
        self.key(work, &format!("done/{unit:06}.json"))
    }

    fn key(&self, work: &str, rest: &str) -> String {
        format!("{}{work}/{rest}", self.folder)
    }
}

fn json() -> Attributes {
    Attributes { content_type: Some("application/json".to_owned()), ..Attributes::default() }
}
