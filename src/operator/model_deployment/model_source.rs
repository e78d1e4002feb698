//! Where the pods of each cluster load the model from: the verified copy in the bucket near it, or, where the spec says that one
//! further away will do, another verified one.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use kube::ResourceExt;
use skyfleet_api::bucket::{StoreProvider, WorkloadIdentity};
use skyfleet_api::dataset_replica::{Mode, ReplicaStatus};
use skyfleet_api::model_deployment::DataLocality;
use skyfleet_api::{BucketSpec, Cluster, DatasetReplica, ModelDeployment};
use skyfleet_mirror::{AzureCredentials, Credentials, GcsCredentials, StoreAccess};
use skyfleet_plan::placement::Data;
use skyfleet_plan::revision::Revision;
use skyfleet_plan::workload::{ModelSource, PodIdentity};

use super::dereference::Dataset;
use crate::buckets::{self, Identity};
use crate::operator::bucket::Asker;

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

impl VerifiedModel {
    /// The version of the data that a revision has: of several versions in a bucket the last few manifests are kept.
    pub(super) fn of(&self, revision: Option<&Revision>) -> Self {
        let mut verified = self.clone();
        if let Some(digest) = revision.and_then(|revision| revision.digest.clone()) {
            verified.source.digest = digest;
        }
        verified
    }
}

/// Credentials are not for anybody's eyes.
impl std::fmt::Debug for VerifiedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedModel").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What a cluster's pods load, and how near it is; no state where they load nothing, or where there is nothing to load.
pub(super) fn model_source(
    model: &ModelDeployment,
    dataset: Option<&Dataset>,
    cluster: &Cluster,
) -> (Data, Option<ModelState>) {
    let Some(dataset) = dataset else { return (Data::NotNeeded, None) };
    let Some(replica) = dataset.replica.as_ref() else { return (Data::NoBucketNear, None) };
    let covers = |place: &&Place<'_>| {
        let near = dataset.buckets.get(place.bucket).and_then(|with| with.bucket.spec.near.as_ref());
        near.is_some_and(|near| near.covers(&cluster.name_any(), &cluster.spec.region))
    };
    let places = places(replica);
    if let Some(place) = places.iter().find(covers) {
        let failed = place.status.and_then(|status| status.error.clone());
        let state = state(model, dataset, replica, *place);
        let data = match (&state, failed) {
            (ModelState::Waiting(_), Some(error)) => Data::Failed(error),
            _ => Data::Near,
        };
        return (data, Some(state));
    }
    if model.spec.placement.data_locality == DataLocality::Required {
        return (Data::NoBucketNear, None);
    }
    let mut states = places.iter().map(|place| state(model, dataset, replica, *place));
    let verified = states.find(|state| matches!(state, ModelState::Verified(_)));
    let nowhere = || ModelState::Waiting("no copy of the data is verified yet".to_owned());
    (Data::NoBucketNear, Some(verified.unwrap_or_else(nowhere)))
}

/// The copy in one place.
fn state(model: &ModelDeployment, dataset: &Dataset, replica: &DatasetReplica, place: Place<'_>) -> ModelState {
    if replica.spec.mode == Mode::Shard {
        let message = "the DatasetReplica splits its data over its targets, and a model needs all of it: use one with mode Mirror";
        return ModelState::Waiting(message.to_owned());
    }
    let wanted = model.spec.model.dataset_replica.as_ref();
    let pinned = wanted.and_then(|wanted| wanted.digest.as_deref());
    match version(place, pinned) {
        Ok(digest) => verified(model, dataset, replica, place, digest),
        Err(message) => ModelState::Waiting(message),
    }
}

/// The version that is loaded from a place: the newest verified one, or the one that is pinned as long as it is kept there.
fn version(place: Place<'_>, pinned: Option<&str>) -> Result<String, String> {
    let newest = |status: &ReplicaStatus| status.manifest_digest.clone();
    let Some((status, newest)) = place.status.and_then(|status| Some((status, newest(status)?))) else {
        return Err(waiting(place));
    };
    match pinned {
        None => Ok(newest),
        Some(pinned) if status.has_version(pinned) => Ok(pinned.to_owned()),
        Some(pinned) => Err(format!(
            "the Bucket {:?} holds {newest}, and spec.model.datasetReplica.digest wants {pinned}, which is none of the versions \
             that are kept there",
            place.bucket
        )),
    }
}

#[derive(Clone, Copy)]
struct Place<'a> {
    bucket: &'a str,
    prefix: &'a str,
    status: Option<&'a ReplicaStatus>,
}

/// Source and targets of a dataset with what is known of each. What is transformed lies only at the targets.
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
    let source = spec.transform.is_none().then_some(source);
    source.into_iter().chain(targets).collect()
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
    let data;
    let identity = match &with.asker {
        Asker::Anonymous => Identity::Anonymous,
        Asker::Secret(secret_found) => {
            data = secret_found.as_ref().and_then(|secret| secret.data.clone()).unwrap_or_default();
            Identity::Secret(secret, &data)
        }
        // Whoever the pod is: the hub's identity stays on the hub.
        Asker::Identity(_) => Identity::Own,
    };
    let access = match buckets::access(bucket, identity) {
        Ok(access) => access,
        Err(error) => return ModelState::Waiting(format!("the Bucket {:?}: {error}", place.bucket)),
    };
    let source = ModelSource {
        endpoint: bucket.endpoint.clone(),
        region: bucket.region.clone(),
        bucket: argument(bucket),
        bucket_prefix: bucket.prefix.clone(),
        dataset_prefix: place.prefix.to_owned(),
        dataset: format!("{}.{}", replica.namespace().unwrap_or_default(), replica.name_any()),
        digest,
        path: model.spec.model.dataset_replica.as_ref().map(|wanted| wanted.path.clone()).unwrap_or_default(),
        identity: pod_identity(bucket),
    };
    ModelState::Verified(Box::new(VerifiedModel { source, credentials: environment(&access) }))
}

/// The identity by which pods load; none where they are given credentials, or need none.
fn pod_identity(bucket: &BucketSpec) -> Option<PodIdentity> {
    let WorkloadIdentity { service_account_name } = bucket.workload_identity.as_ref()?;
    let is_azure = bucket.provider == StoreProvider::AzureBlob;
    Some(PodIdentity { service_account: service_account_name.clone(), is_azure })
}

/// How the loader is told of a bucket: one of S3 by its name.
fn argument(bucket: &BucketSpec) -> String {
    let name = &bucket.name;
    let nobody = if bucket.anonymous { "?anonymous=true" } else { "" };
    match bucket.provider {
        StoreProvider::S3 if !bucket.anonymous => name.clone(),
        StoreProvider::S3 => format!("s3://{name}{nobody}"),
        StoreProvider::AzureBlob => {
            format!("az://{}/{name}{nobody}", bucket.account.as_deref().unwrap_or_default())
        }
        StoreProvider::Gcs => format!("gs://{name}{nobody}"),
    }
}

/// The variables by which the loader in the pod gets its credentials.
fn environment(access: &StoreAccess) -> BTreeMap<String, ByteString> {
    let mut variables: Vec<(&str, &str)> = Vec::new();
    match access {
        StoreAccess::S3(_, Credentials::Static { access_key_id, secret_access_key, session_token }) => {
            variables.push(("AWS_ACCESS_KEY_ID", access_key_id));
            variables.push(("AWS_SECRET_ACCESS_KEY", secret_access_key));
            variables.extend(session_token.as_deref().map(|token| ("AWS_SESSION_TOKEN", token)));
        }
        StoreAccess::Azure(_, AzureCredentials::AccountKey(key)) => variables.push(("AZURE_STORAGE_KEY", key)),
        StoreAccess::Azure(_, AzureCredentials::SasToken(token)) => {
            variables.push(("AZURE_STORAGE_SAS_TOKEN", token));
        }
        StoreAccess::Gcs(_, GcsCredentials::ServiceAccountKey(key)) => variables.push(("GOOGLE_CREDENTIALS", key)),
        // Nobody, or whoever the pod is.
        StoreAccess::S3(..) | StoreAccess::Azure(..) | StoreAccess::Gcs(..) => {}
    }
    let owned = |(name, value): (&str, &str)| (name.to_owned(), ByteString(value.as_bytes().to_vec()));
    variables.into_iter().map(owned).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use serde_json::{Value, json};
    use skyfleet_api::BucketSpec;
    use skyfleet_plan::workload::PodIdentity;

    use super::{Place, argument, environment, pod_identity, version};
    use crate::buckets::{self, Identity};

    fn spec(provider: &str, more: &[(&str, Value)]) -> BucketSpec {
        let mut spec = json!({"provider": provider, "name": "models"});
        for (name, value) in more {
            spec[*name] = value.clone();
        }
        serde_json::from_value(spec).expect("a spec")
    }

    #[test]
    fn a_version_can_be_pinned_as_long_as_it_is_kept() {
        let versions = json!([{"digest": "sha256:3"}, {"digest": "sha256:2"}]);
        let status = json!({"bucket": "b", "manifestDigest": "sha256:3", "versions": versions});
        let status = serde_json::from_value(status).expect("a status");
        let place = |status| Place { bucket: "b", prefix: "", status };
        for (pinned, wanted) in [(None, "sha256:3"), (Some("sha256:3"), "sha256:3"), (Some("sha256:2"), "sha256:2")] {
            assert_eq!(version(place(Some(&status)), pinned).as_deref(), Ok(wanted));
        }
        let refused = version(place(Some(&status)), Some("sha256:1")).expect_err("it is gone");
        assert!(refused.contains("none of the versions that are kept there"), "{refused}");
        assert!(version(place(None), None).expect_err("nothing is known").contains("is not verified yet"));
    }

    #[test]
    fn the_loader_is_told_of_each_kind_of_bucket() {
        let (account, nobody) = (("account", json!("acme")), ("anonymous", json!(true)));
        for (spec, wanted) in [
            (spec("s3", &[]), "models"),
            (spec("s3", std::slice::from_ref(&nobody)), "s3://models?anonymous=true"),
            (spec("azureBlob", std::slice::from_ref(&account)), "az://acme/models"),
            (spec("gcs", &[]), "gs://models"),
            (spec("gcs", std::slice::from_ref(&nobody)), "gs://models?anonymous=true"),
        ] {
            assert_eq!(argument(&spec), wanted);
        }
    }

    #[test]
    fn pods_have_the_identity_that_the_bucket_names_and_no_credentials() {
        let account = ("account", json!("acme"));
        for (provider, identity, wanted) in [
            (
                "s3",
                json!({"serviceAccountName": "models"}),
                PodIdentity { service_account: Some("models".into()), is_azure: false },
            ),
            ("azureBlob", json!({}), PodIdentity { service_account: None, is_azure: true }),
        ] {
            let spec = spec(provider, &[account.clone(), ("workloadIdentity", identity)]);
            assert_eq!(pod_identity(&spec), Some(wanted));
            assert!(environment(&buckets::access(&spec, Identity::Own).expect("an access")).is_empty());
        }
        assert_eq!(pod_identity(&spec("s3", &[])), None);
    }

    #[test]
    fn the_loader_has_the_variables_of_each_kind_of_key() {
        for (provider, key, variable) in [
            ("azureBlob", "accountKey", "AZURE_STORAGE_KEY"),
            ("azureBlob", "sasToken", "AZURE_STORAGE_SAS_TOKEN"),
            ("gcs", "serviceAccountKey", "GOOGLE_CREDENTIALS"),
        ] {
            let data = BTreeMap::from([(key.to_owned(), ByteString(b"value".to_vec()))]);
            let access = buckets::access(&spec(provider, &[("account", json!("acme"))]), Identity::Secret("s", &data));
            let wanted = BTreeMap::from([(variable.to_owned(), ByteString(b"value".to_vec()))]);
            assert_eq!(environment(&access.expect("an access")), wanted);
        }
        let public = buckets::access(&spec("gcs", &[]), Identity::Anonymous).expect("an access");
        assert!(environment(&public).is_empty());
    }
}
