//! Which clusters are near the data, the nearest first: where a Job that mirrors it runs.

use kube::ResourceExt as _;
use skyfleet_api::{BucketSpec, Cluster};

/// The names of the clusters that are near the source, then of those that are near a target, in the order of the targets. A cluster
/// with a taint takes no Jobs, and one that is being deleted takes nothing.
#[must_use]
pub fn nearest<'a>(
    clusters: impl IntoIterator<Item = &'a Cluster>,
    source: &BucketSpec,
    targets: &[&BucketSpec],
) -> Vec<String> {
    let is_open = |cluster: &&Cluster| cluster.metadata.deletion_timestamp.is_none() && cluster.spec.taints.is_empty();
    let places: Vec<_> = std::iter::once(source).chain(targets.iter().copied()).collect();
    let ranked = clusters.into_iter().filter(is_open).filter_map(|cluster| {
        let rank = places.iter().position(|bucket| is_near(bucket, cluster))?;
        Some((rank, cluster.name_any()))
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort();
    ranked.into_iter().map(|(_, name)| name).collect()
}

/// By what the Bucket says, or by its region where it says nothing.
fn is_near(bucket: &BucketSpec, cluster: &Cluster) -> bool {
    let region = &cluster.spec.region;
    match &bucket.near {
        Some(near) => near.covers(&cluster.name_any(), region),
        None => bucket.region.as_ref() == Some(region),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use skyfleet_api::{BucketSpec, Cluster};

    use super::nearest;

    fn cluster(name: &str, region: &str, extra: &Value) -> Cluster {
        let connection = json!({"kubeconfigSecretRef": {"name": "k"}});
        let mut spec = json!({"provider": "aws", "region": region, "connection": connection});
        spec.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name}, "spec": spec,
        }))
        .expect("a Cluster")
    }

    fn bucket(extra: &Value) -> BucketSpec {
        let mut spec = json!({"provider": "s3", "name": "data", "anonymous": true});
        spec.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        serde_json::from_value(spec).expect("a Bucket")
    }

    #[test]
    fn those_near_the_source_come_before_those_near_a_target_and_others_not_at_all() {
        let none = json!({});
        let taint = json!({"taints": [{"key": "maintenance", "effect": "NoSchedule"}]});
        let clusters = [
            cluster("z", "eu", &none),
            cluster("target-2", "asia", &none),
            cluster("a", "eu", &none),
            cluster("target-1", "us", &none),
            cluster("away", "moon", &none),
            cluster("tainted", "eu", &taint),
        ];
        let source = bucket(&json!({"region": "eu"}));
        let (us, asia) =
            (bucket(&json!({"near": {"cluster": "target-1"}})), bucket(&json!({"near": {"region": "asia"}})));
        assert_eq!(nearest(&clusters, &source, &[&us, &asia]), ["a", "z", "target-1", "target-2"]);
        assert_eq!(nearest(&clusters, &source, &[]), ["a", "z"]);
        // What is said wins over the region.
        let elsewhere = bucket(&json!({"region": "eu", "near": {"cluster": "away"}}));
        assert_eq!(nearest(&clusters, &elsewhere, &[&us]), ["away", "target-1"]);
        assert!(nearest(&clusters, &bucket(&none), &[]).is_empty());
    }
}
