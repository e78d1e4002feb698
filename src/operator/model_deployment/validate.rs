//! Checks a ModelDeployment and makes of it, and of what is known of the fleet, the question that placement answers.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use kube::ResourceExt;
use kube::core::ParseExpressionError;
use skyfleet_api::conditions::{ConditionType, Finding, Reason, is_true};
use skyfleet_api::dataset_replica::ReplicaStatus;
use skyfleet_api::{Cluster, DatasetReplica, ModelDeployment, UnsupportedFields, labels};
use skyfleet_plan::placement::{Candidate, Data, Request as PlacementRequest};
use skyfleet_plan::workload::ModelSource;

use super::dereference::{Dataset, FleetCluster, Snapshot};
use crate::buckets;
use crate::operator::report::unsupported;

/// What is to be done.
pub(super) enum Verdict {
    /// Nothing, for these reasons, until somebody changes something.
    Refused(Vec<Finding>),
    /// Nothing yet: some of the fleet is not known.
    Unknown(Vec<Finding>),
    /// Place.
    Place(Box<Request>),
}

/// The question to placement, and what each cluster's pods load.
pub(super) struct Request {
    pub(super) placement: PlacementRequest,
    pub(super) candidates: Vec<Candidate>,
    /// By cluster. A cluster that is not there needs to load nothing.
    pub(super) models: BTreeMap<String, ModelState>,
}

/// The model near one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ModelState {
    /// Verified: pods can load it.
    Verified(Box<VerifiedModel>),
    /// Not verified yet, for this reason.
    Waiting(String),
}

/// A verified copy and the credentials to read it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct VerifiedModel {
    pub(super) source: ModelSource,
    pub(super) credentials: BTreeMap<String, ByteString>,
}

/// Credentials are not for anybody's eyes.
impl std::fmt::Debug for VerifiedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedModel").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Checks a ModelDeployment against the snapshot.
pub(super) fn validate(model: &ModelDeployment, snapshot: &Snapshot) -> Verdict {
    let fields = model.spec.unsupported_fields();
    if !fields.is_empty() {
        return Verdict::Refused(Finding::stalled(Reason::UnsupportedField, unsupported(&fields)));
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
    let mut models = BTreeMap::new();
    let mut candidates = Vec::new();
    for fleet in &snapshot.clusters {
        let near = snapshot.dataset.as_ref().map(|dataset| near(model, dataset, &fleet.cluster));
        let data = match near {
            None => Data::NotNeeded,
            Some(None) => Data::NoBucketNear,
            Some(Some(state)) => {
                models.insert(fleet.cluster.name_any(), state);
                Data::Near
            }
        };
        candidates.push(candidate(fleet, data));
    }
    let placement = PlacementRequest { replicas: model.spec.replicas, placement: model.spec.placement.clone() };
    Verdict::Place(Box::new(Request { placement, candidates, models }))
}

/// The findings for a cluster selector that is none.
pub(super) fn bad_selector(error: &ParseExpressionError) -> Vec<Finding> {
    Finding::stalled(Reason::InvalidSpec, format!("spec.placement.clusterSelector: {error}"))
}

/// Whether it is known if a cluster can be used: its member was asked, or its Cluster is refused as it stands.
pub(super) fn known(fleet: &FleetCluster) -> bool {
    match &fleet.member {
        Some(member) => member.settled(),
        None => fleet.cluster.status.as_ref().is_some_and(|status| {
            status.observed_generation == fleet.cluster.metadata.generation
                && is_true(&status.conditions, ConditionType::Stalled)
        }),
    }
}

fn candidate(fleet: &FleetCluster, data: Data) -> Candidate {
    let spec = &fleet.cluster.spec;
    let mut all = fleet.cluster.labels().clone();
    all.insert(labels::PROVIDER.to_owned(), spec.provider.as_str().to_owned());
    all.insert(labels::REGION.to_owned(), spec.region.clone());
    all.extend(spec.zone.iter().map(|zone| (labels::ZONE.to_owned(), zone.clone())));
    Candidate {
        name: fleet.cluster.name_any(),
        labels: all,
        taints: spec.taints.clone(),
        reachable: fleet.member.as_ref().is_some_and(|member| member.usable()),
        leaving: fleet.cluster.metadata.deletion_timestamp.is_some(),
        data,
    }
}

fn missing_dataset(model: &ModelDeployment, snapshot: &Snapshot) -> Option<String> {
    let wanted = model.spec.model.dataset_replica.as_ref()?;
    let found = snapshot.dataset.as_ref().is_some_and(|dataset| dataset.replica.is_some());
    (!found).then(|| format!("there is no DatasetReplica {:?} in this namespace", wanted.name))
}

/// The model near a cluster; `None` when no bucket of the dataset lies near it.
fn near(model: &ModelDeployment, dataset: &Dataset, cluster: &Cluster) -> Option<ModelState> {
    let wanted = model.spec.model.dataset_replica.as_ref();
    let replica = dataset.replica.as_ref()?;
    let covers = |place: &&Place<'_>| {
        let near = dataset.buckets.get(place.bucket).and_then(|with| with.bucket.spec.near.as_ref());
        near.is_some_and(|near| near.covers(&cluster.name_any(), &cluster.spec.region))
    };
    let place = places(replica).iter().find(covers).copied()?;
    let digest = place.status.and_then(|status| status.manifest_digest.as_deref());
    let pinned = wanted.and_then(|wanted| wanted.digest.as_deref());
    let digest = match (digest, pinned) {
        (None, _) => return Some(ModelState::Waiting(waiting(place))),
        (Some(digest), Some(pinned)) if digest != pinned => {
            let message = format!(
                "the Bucket {:?} holds {digest}, and spec.model.datasetReplica.digest wants {pinned}",
                place.bucket
            );
            return Some(ModelState::Waiting(message));
        }
        (Some(digest), _) => digest.to_owned(),
    };
    Some(verified(model, dataset, replica, place, digest))
}

#[derive(Clone, Copy)]
struct Place<'a> {
    bucket: &'a str,
    prefix: &'a str,
    status: Option<&'a ReplicaStatus>,
}

/// Source and targets of a dataset with what is known of each.
fn places(replica: &DatasetReplica) -> Vec<Place<'_>> {
    let status = replica.status.as_ref();
    let spec = &replica.spec;
    let source = Place {
        bucket: &spec.source.bucket_ref.name,
        prefix: &spec.source.prefix,
        status: status.and_then(|status| status.source.as_ref()),
    };
    let targets = spec.targets.iter().map(|target| Place {
        bucket: &target.bucket_ref.name,
        prefix: &target.prefix,
        status: status.and_then(|status| {
            status.targets.iter().find(|of| of.bucket == target.bucket_ref.name && of.prefix == target.prefix)
        }),
    });
    std::iter::once(source).chain(targets).collect()
}

fn waiting(place: Place<'_>) -> String {
    let error = place.status.and_then(|status| status.error.as_deref()).map(|error| format!(" ({error})"));
    format!("the data in the Bucket {:?} is not verified yet{}", place.bucket, error.unwrap_or_default())
}

fn verified(
    model: &ModelDeployment,
    dataset: &Dataset,
    replica: &DatasetReplica,
    place: Place<'_>,
    digest: String,
) -> ModelState {
    let Some(with) = dataset.buckets.get(place.bucket) else { return ModelState::Waiting(waiting(place)) };
    let bucket = &with.bucket.spec;
    let secret = bucket.credentials_secret_ref.as_ref().map_or("", |reference| reference.name.as_str());
    let data = with.secret.as_ref().and_then(|secret| secret.data.clone()).unwrap_or_default();
    let credentials = match buckets::credentials(secret, &data) {
        Ok(credentials) => environment(&credentials),
        Err(error) => return ModelState::Waiting(format!("the Bucket {:?}: {error}", place.bucket)),
    };
    let source = ModelSource {
        endpoint: bucket.endpoint.clone(),
        region: bucket.region.clone(),
        bucket: bucket.name.clone(),
        bucket_prefix: bucket.prefix.clone(),
        dataset_prefix: place.prefix.to_owned(),
        dataset: format!("{}.{}", replica.namespace().unwrap_or_default(), replica.name_any()),
        digest,
        path: model.spec.model.dataset_replica.as_ref().map(|wanted| wanted.path.clone()).unwrap_or_default(),
    };
    ModelState::Verified(Box::new(VerifiedModel { source, credentials }))
}

/// The variables by which the loader in the pod gets its credentials.
fn environment(credentials: &skyfleet_mirror::Credentials) -> BTreeMap<String, ByteString> {
    let skyfleet_mirror::Credentials::Static { access_key_id, secret_access_key, session_token } = credentials else {
        return BTreeMap::new();
    };
    let pairs = [
        ("AWS_ACCESS_KEY_ID", Some(access_key_id)),
        ("AWS_SECRET_ACCESS_KEY", Some(secret_access_key)),
        ("AWS_SESSION_TOKEN", session_token.as_ref()),
    ];
    pairs
        .into_iter()
        .filter_map(|(variable, value)| Some((variable.to_owned(), ByteString(value?.clone().into_bytes()))))
        .collect()
}
