//! Checks a ModelDeployment, and finds out what its pods are and load.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use kube::core::ParseExpressionError;
use skyfleet_api::conditions::{ConditionType, Finding, Reason, is_true};
use skyfleet_api::{ModelDeployment, UnsupportedFields};
use skyfleet_plan::capacity::PodShape;
use skyfleet_plan::load::Reading;
use skyfleet_plan::placement::Data;
use skyfleet_plan::workload::{metrics, pod_shape};

use super::dereference::{FleetCluster, Snapshot};
use super::fleet_watch::is_readable;
use super::model_source::{ModelState, model_source};
use crate::operator::report::unsupported;

/// What is to be done.
pub(super) enum Verdict {
    /// Nothing, for these reasons, until somebody changes something.
    Refused(Vec<Finding>),
    /// Nothing yet: some of the fleet is not known.
    Unknown(Vec<Finding>),
    /// Place.
    Place(Request),
}

/// What the pods are and load.
pub(super) struct Request {
    /// What one replica needs of a node.
    pub(super) shape: Arc<PodShape>,
    /// How near the data is, by cluster.
    pub(super) data: BTreeMap<String, Data>,
    /// What pods load, by cluster. A cluster that is not there needs to load nothing, or has nothing to load.
    pub(super) models: BTreeMap<String, ModelState>,
}

/// Checks a ModelDeployment against the snapshot.
pub(super) fn validate(model: &ModelDeployment, snapshot: &Snapshot) -> Verdict {
    let fields = model.spec.unsupported_fields();
    if !fields.is_empty() {
        return Verdict::Refused(Finding::stalled(Reason::UnsupportedField, unsupported(&fields)));
    }
    let shape = match pod_shape(&model.spec) {
        Ok(shape) => Arc::new(shape),
        Err(error) => return Verdict::Refused(Finding::stalled(Reason::InvalidSpec, error.to_string())),
    };
    if let Some(Err(error)) = metrics(&model.spec.runtime).map(|metrics| Reading::new(&metrics)) {
        let message = format!("spec.runtime.metrics: {error}");
        return Verdict::Refused(Finding::stalled(Reason::InvalidSpec, message));
    }
    let unknown: Vec<String> =
        snapshot.clusters.iter().filter(|fleet| !known(fleet)).map(|f| f.cluster.name_any()).collect();
    if !unknown.is_empty() {
        // Placing on the part of the fleet that answered first would crowd everything there.
        let message = format!("waiting for the first answer of {}", unknown.join(", "));
        return Verdict::Unknown(Finding::reconciling(Reason::NotProbedYet, message));
    }
    if let Some(missing) = missing_dataset(model, snapshot) {
        return Verdict::Refused(Finding::stalled(Reason::ReferenceNotFound, missing));
    }
    let mut request = Request { shape, data: BTreeMap::new(), models: BTreeMap::new() };
    for fleet in &snapshot.clusters {
        let (data, state) = model_source(model, snapshot.dataset.as_ref(), &fleet.cluster);
        request.data.insert(fleet.cluster.name_any(), data);
        request.models.extend(state.map(|state| (fleet.cluster.name_any(), state)));
    }
    Verdict::Place(request)
}

/// The findings for a cluster selector that is none.
pub(super) fn bad_selector(error: &ParseExpressionError) -> Vec<Finding> {
    Finding::stalled(Reason::InvalidSpec, format!("spec.placement.clusterSelector: {error}"))
}

/// Whether it is known if a cluster can be used: its member was asked, or its Cluster is refused or unreadable as it stands.
pub(super) fn known(fleet: &FleetCluster) -> bool {
    match &fleet.member {
        Some(member) => member.settled(),
        None if !is_readable(&fleet.cluster) => true,
        None => fleet.cluster.status.as_ref().is_some_and(|status| {
            status.observed_generation == fleet.cluster.metadata.generation
                && is_true(&status.conditions, ConditionType::Stalled)
        }),
    }
}

fn missing_dataset(model: &ModelDeployment, snapshot: &Snapshot) -> Option<String> {
    let wanted = model.spec.model.dataset_replica.as_ref()?;
    let found = snapshot.dataset.as_ref().is_some_and(|dataset| dataset.replica.is_some());
    (!found).then(|| format!("there is no DatasetReplica {:?} in this namespace", wanted.name))
}
