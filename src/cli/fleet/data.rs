//! Which clusters a model's data lies near.

use kube::ResourceExt;
use skyfleet_api::dataset_replica::{Mode, ReplicaStatus};
use skyfleet_api::{Cluster, DatasetReplica, ModelDeployment};
use skyfleet_plan::capacity::ModelKey;
use skyfleet_plan::placement::Data;

use super::Fleet;

impl Fleet {
    /// A model's data as far as a cluster is concerned, as the operator judges it. A dataset that nothing is told of bounds
    /// nothing.
    pub(super) fn data(&self, key: &ModelKey, model: &ModelDeployment, cluster: &Cluster) -> Data {
        let Some(dataset) = Self::dataset_key(key, model).and_then(|key| self.datasets.get(&key)) else {
            return Data::NotNeeded;
        };
        let near = places(dataset).into_iter().find(|place| self.is_near(&key.namespace, place.bucket, cluster));
        let Some(place) = near else { return Data::NoBucketNear };
        let pinned = model.spec.model.dataset_replica.as_ref().and_then(|wanted| wanted.digest.as_ref());
        let holds = |status: &ReplicaStatus| match pinned {
            Some(pinned) => status.manifest_digest.is_some() && status.has_version(pinned),
            None => status.manifest_digest.is_some(),
        };
        // A part of a dataset that is split is no model's data.
        let is_whole = dataset.spec.mode != Mode::Shard;
        let verified = is_whole && place.status.is_some_and(holds);
        match place.status.and_then(|status| status.error.clone()).filter(|_| !verified) {
            Some(error) => Data::Failed(error),
            None => Data::Near,
        }
    }

    /// The Buckets of a model's dataset that nothing is told of.
    pub(in crate::cli) fn missing_buckets(&self, key: &ModelKey, model: &ModelDeployment) -> Vec<&str> {
        let dataset = Self::dataset_key(key, model).and_then(|key| self.datasets.get(&key));
        let missing = |bucket: &&str| !self.buckets.contains_key(&(key.namespace.clone(), (*bucket).to_owned()));
        dataset.into_iter().flat_map(places).map(|place| place.bucket).filter(missing).collect()
    }

    fn is_near(&self, namespace: &str, bucket: &str, cluster: &Cluster) -> bool {
        let bucket = self.buckets.get(&(namespace.to_owned(), bucket.to_owned()));
        let near = bucket.and_then(|bucket| bucket.spec.near.as_ref());
        near.is_some_and(|near| near.covers(&cluster.name_any(), &cluster.spec.region))
    }
}

/// A bucket that holds a dataset or shall, and what is known of it there.
struct Place<'a> {
    bucket: &'a str,
    status: Option<&'a ReplicaStatus>,
}

/// The source and the targets of a dataset, where they are to hold it.
fn places(dataset: &DatasetReplica) -> Vec<Place<'_>> {
    let (spec, status) = (&dataset.spec, dataset.status.as_ref());
    let source =
        Place { bucket: &spec.source.bucket_ref.name, status: status.and_then(|status| status.source.as_ref()) };
    let targets = spec.targets.iter().map(|target| Place {
        bucket: &target.bucket_ref.name,
        status: status.and_then(|status| {
            status.targets.iter().find(|of| of.bucket == target.bucket_ref.name && of.prefix == target.prefix)
        }),
    });
    // What is transformed lies only at the targets.
    let source = spec.transform.is_none().then_some(source);
    source.into_iter().chain(targets).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fleet(status: &Value) -> (Fleet, ModelKey, ModelDeployment) {
        let of = |value: Value| serde_json::from_value(value);
        let model: ModelDeployment = serde_json::from_value(json!({
            "metadata": {"name": "m", "namespace": "n"},
            "spec": {"model": {"name": "m", "datasetReplica": {"name": "d"}}, "runtime": {"image": "i", "port": 80}},
        }))
        .expect("a ModelDeployment");
        let dataset = json!({
            "metadata": {"name": "d", "namespace": "n"}, "status": status,
            "spec": {"source": {"bucketRef": {"name": "a"}}, "targets": [{"bucketRef": {"name": "b"}}]},
        });
        let bucket = |near: Value| {
            json!({"metadata": {"name": "a"}, "spec": {"provider": "s3", "name": "abc", "near": near,
                "credentialsSecretRef": {"name": "s"}}})
        };
        let key = |name: &str| ("n".to_owned(), name.to_owned());
        let mut fleet = Fleet::default();
        fleet.datasets.insert(key("d"), serde_json::from_value(dataset).expect("a DatasetReplica"));
        fleet.buckets.insert(key("a"), of(bucket(json!({"cluster": "aws-1"}))).expect("a Bucket"));
        fleet.buckets.insert(key("b"), of(bucket(json!({"region": "west"}))).expect("a Bucket"));
        (fleet, ModelKey { namespace: "n".to_owned(), name: "m".to_owned() }, model)
    }

    fn data(status: &Value, cluster: &str, region: &str) -> Data {
        let (fleet, key, model) = fleet(status);
        let cluster = json!({"metadata": {"name": cluster},
            "spec": {"provider": "aws", "region": region, "connection": {}}});
        fleet.data(&key, &model, &serde_json::from_value(cluster).expect("a Cluster"))
    }

    #[test]
    fn a_bucket_is_near_by_cluster_or_by_region() {
        for (cluster, region, wanted) in
            [("aws-1", "east", Data::Near), ("gcp-1", "west", Data::Near), ("gcp-1", "east", Data::NoBucketNear)]
        {
            assert_eq!(data(&json!({}), cluster, region), wanted, "{cluster} {region}");
        }
    }

    #[test]
    fn data_that_cannot_be_verified_is_not_near_and_an_error_over_verified_data_changes_nothing() {
        let failed = json!({"targets": [{"bucket": "b", "error": "access denied"}]});
        assert_eq!(data(&failed, "x", "west"), Data::Failed("access denied".to_owned()));
        let behind = json!({"targets": [{"bucket": "b", "error": "access denied", "manifestDigest": "sha256:1"}]});
        assert_eq!(data(&behind, "x", "west"), Data::Near);
    }

    #[test]
    fn a_pinned_version_is_there_as_long_as_it_is_kept() {
        let versions = json!([{"digest": "sha256:2"}, {"digest": "sha256:1"}]);
        let told = json!({"bucket": "b", "error": "e", "manifestDigest": "sha256:2", "versions": versions});
        let (fleet, key, mut model) = fleet(&json!({"targets": [told]}));
        let spec = json!({"provider": "aws", "region": "west", "connection": {}});
        let cluster = serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": spec})).expect("a Cluster");
        let failed = Data::Failed("e".to_owned());
        for (digest, wanted) in [("sha256:2", Data::Near), ("sha256:1", Data::Near), ("sha256:0", failed)] {
            let dataset = model.spec.model.dataset_replica.as_mut().expect("a dataset");
            dataset.digest = Some(digest.to_owned());
            assert_eq!(fleet.data(&key, &model, &cluster), wanted, "{digest}");
        }
    }

    #[test]
    fn what_is_made_of_a_source_does_not_lie_there() {
        let (mut fleet, key, model) = fleet(&json!({}));
        let cluster = |name: &str, region: &str| {
            let spec = json!({"provider": "aws", "region": region, "connection": {}});
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a Cluster")
        };
        let transform = serde_json::from_value(json!({"output": {"format": "Parquet"}})).expect("a transform");
        let dataset = fleet.datasets.values_mut().next().expect("a DatasetReplica");
        dataset.spec.transform = Some(transform);
        assert_eq!(fleet.data(&key, &model, &cluster("aws-1", "east")), Data::NoBucketNear);
        assert_eq!(fleet.data(&key, &model, &cluster("gcp-1", "west")), Data::Near);
    }

    #[test]
    fn what_is_not_told_is_named_or_not_needed() {
        let (mut fleet, key, model) = fleet(&json!({}));
        fleet.buckets.remove(&("n".to_owned(), "b".to_owned()));
        assert_eq!(fleet.missing_buckets(&key, &model), ["b"]);
        fleet.datasets.clear();
        let cluster = json!({"metadata": {"name": "x"}, "spec": {"provider": "aws", "region": "r", "connection": {}}});
        let cluster = serde_json::from_value(cluster).expect("a Cluster");
        assert_eq!(fleet.data(&key, &model, &cluster), Data::NotNeeded);
    }
}
