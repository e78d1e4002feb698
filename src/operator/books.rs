//! What is decided for all ModelDeployments together. Decisions are made one at a time, each entered before the next, so that
//! no room in a member is promised twice however many passes run at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::api::{Api, ListParams};
use kube::core::DeserializeGuard;
use kube::{Client, ResourceExt};
use skyfleet_api::ModelDeployment;
use skyfleet_plan::capacity::{Ledger, ModelKey};
use skyfleet_plan::workload::pod_shape;

use super::error::ReconcileError;

/// How many ModelDeployments are read from the hub at once.
const PAGE: u32 = 500;

/// The ledger, shared by all passes.
#[derive(Default)]
pub(crate) struct Books(Mutex<Ledger>);

impl Books {
    /// Enters what the statuses on the hub say was decided, before anything is decided anew.
    ///
    /// # Errors
    /// The hub does not list the ModelDeployments.
    pub(crate) async fn open(hub: &Client) -> Result<Self, ReconcileError> {
        let books = Self::default();
        let models = Api::<DeserializeGuard<ModelDeployment>>::all(hub.clone());
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = models.list(&page).await.map_err(ReconcileError::hub("list the ModelDeployments"))?;
            for model in list.items.into_iter().filter_map(|guard| guard.0.ok()) {
                books.restore(&model);
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(books),
            }
        }
    }

    /// Enters what a status says was decided.
    pub(crate) fn restore(&self, model: &ModelDeployment) {
        // A template that gives no pods has none in any member either.
        let Ok(shape) = pod_shape(&model.spec) else { return };
        self.lock().enter(&key(model), &Arc::new(shape), &in_force(model));
    }

    /// Forgets a ModelDeployment of which no member holds anything any more.
    pub(crate) fn forget(&self, model: &ModelDeployment) {
        self.lock().forget(&key(model));
    }

    /// The ledger, for one decision: nothing else is decided meanwhile.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Ledger> {
        // A panic can leave the ledger behind what was decided, never beyond it: the next pass enters it anew.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ModelDeployment as the ledger knows it.
pub(crate) fn key(model: &ModelDeployment) -> ModelKey {
    ModelKey { namespace: model.namespace().unwrap_or_default(), name: model.name_any() }
}

/// Replicas by cluster that run or shall run, by the status.
pub(crate) fn in_force(model: &ModelDeployment) -> BTreeMap<String, i32> {
    let placements = model.status.as_ref().map(|status| status.placements.as_slice()).unwrap_or_default();
    placements
        .iter()
        .map(|placement| (placement.cluster.clone(), placement.desired + placement.retained))
        .filter(|(_, replicas)| *replicas > 0)
        .collect()
}
