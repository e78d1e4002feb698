//! The snapshot as the hub's objects alone give it, for when the operator cannot be asked.

use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use skyfleet_api::{Bucket, Cluster, DatasetReplica, ModelDeployment};
use skyfleet_plan::capacity::ModelKey;
use skyfleet_plan::placement::Snapshot;
use skyfleet_plan::question::contact_by_status;

use crate::cli::failure::Failure;
use crate::cli::fleet::{Books, Fleet, Key, Moment, Unknown};
use crate::cli::hub;

/// As the operator has it unless it is told otherwise.
const MAX_LOST_SHARE: f64 = 0.5;

/// Reads the hub and makes the snapshot of one ModelDeployment.
pub(super) async fn snapshot(
    client: &Client,
    key: &ModelKey,
    model: &ModelDeployment,
    now: Timestamp,
) -> Result<Snapshot, Failure> {
    let fleet = fleet(client, key, model).await?;
    of(&fleet, key, now)
}

/// The snapshot of one ModelDeployment of this fleet.
pub(super) fn of(fleet: &Fleet, key: &ModelKey, now: Timestamp) -> Result<Snapshot, Failure> {
    if let Some(model) = fleet.models.get(key) {
        refuse(fleet, key, model)?;
    }
    let contact = |_: &str, cluster: &Cluster| contact_by_status(cluster.status.as_ref(), now);
    let moment = Moment { now, max_lost_share: MAX_LOST_SHARE };
    let snapshot = Books::open(fleet, Unknown::NotCounted).snapshot(fleet, key, contact, moment);
    snapshot.ok_or_else(|| Failure::Refused("no pod can be made of its spec".to_owned()))
}

/// What the operator refuses it places nowhere.
fn refuse(fleet: &Fleet, key: &ModelKey, model: &ModelDeployment) -> Result<(), Failure> {
    if let Some(why) = Fleet::refusal(model) {
        return Err(Failure::Refused(why));
    }
    match Fleet::dataset_key(key, model) {
        Some(dataset) if !fleet.datasets.contains_key(&dataset) => {
            let (namespace, name) = dataset;
            Err(Failure::Refused(format!("there is no DatasetReplica {name:?} in the namespace {namespace:?}")))
        }
        _ => Ok(()),
    }
}

async fn fleet(client: &Client, key: &ModelKey, model: &ModelDeployment) -> Result<Fleet, Failure> {
    let clusters = Api::<Cluster>::all(client.clone()).list(&ListParams::default()).await;
    let clusters = clusters.map_err(hub::failure("the Clusters"))?;
    let mut models = match list(Api::<ModelDeployment>::all(client.clone()), "the ModelDeployments").await {
        Ok(models) => models,
        // Whoever may read one namespace only sees what is taken by the others in the Clusters' sums.
        Err(_) => list(Api::namespaced(client.clone(), &key.namespace), "the ModelDeployments").await?,
    };
    models.retain(|other| key_of(other) != key_of(model));
    models.push(model.clone());
    let datasets: Vec<DatasetReplica> =
        list(Api::namespaced(client.clone(), &key.namespace), "the DatasetReplicas").await?;
    let buckets: Vec<Bucket> = list(Api::namespaced(client.clone(), &key.namespace), "the Buckets").await?;
    let model_key = |model: &ModelDeployment| {
        let (namespace, name) = key_of(model);
        ModelKey { namespace, name }
    };
    Ok(Fleet {
        clusters: clusters.items.into_iter().map(|cluster| (cluster.name_any(), cluster)).collect(),
        models: models.into_iter().map(|model| (model_key(&model), model)).collect(),
        datasets: datasets.into_iter().map(|dataset| (key_of(&dataset), dataset)).collect(),
        buckets: buckets.into_iter().map(|bucket| (key_of(&bucket), bucket)).collect(),
        ..Fleet::default()
    })
}

async fn list<K>(api: Api<K>, what: &str) -> Result<Vec<K>, Failure>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    Ok(api.list(&ListParams::default()).await.map_err(hub::failure(what))?.items)
}

fn key_of<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}
