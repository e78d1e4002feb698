//! The manifests of `examples/`, with what only this machine knows filled in: the stores' addresses and the built image.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_yaml::Value;

use super::Fleet;
use crate::LabError;
use crate::object_store::REGION;

/// The namespace of the examples on the hub and in the members.
pub const NAMESPACE: &str = "default";

/// The examples, each ready for `kubectl apply`.
#[derive(Debug, Clone)]
pub struct Manifests {
    /// The members.
    pub clusters: String,
    /// A bucket a cloud.
    pub buckets: String,
    /// The model's weights in all three.
    pub dataset_replica: String,
    /// The model, served by six replicas.
    pub model_deployment: String,
}

impl Manifests {
    pub(super) fn read(fleet: &Fleet) -> Result<Self, LabError> {
        let mut buckets = documents("buckets.yaml")?;
        for bucket in &mut buckets {
            let name = bucket["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if let Some(cloud) = fleet.stores.iter().find(|cloud| cloud.bucket == name) {
                set(&mut bucket["spec"], "endpoint", &cloud.store.endpoint());
                set(&mut bucket["spec"], "region", REGION);
            }
        }
        let mut models = documents("model-deployment.yaml")?;
        for model in &mut models {
            set(&mut model["spec"]["runtime"], "image", &fleet.artifacts.inference_server.reference);
        }
        Ok(Self {
            clusters: example("clusters.yaml")?,
            buckets: text(&buckets)?,
            dataset_replica: example("dataset-replica.yaml")?,
            model_deployment: text(&models)?,
        })
    }
}

fn set(object: &mut Value, field: &str, value: &str) {
    if let Some(object) = object.as_mapping_mut() {
        object.insert(field.into(), value.into());
    }
}

fn documents(file: &str) -> Result<Vec<Value>, LabError> {
    serde_yaml::Deserializer::from_str(&example(file)?)
        .map(|document| Value::deserialize(document).map_err(|error| LabError::Missing(format!("{file}: {error}"))))
        .collect()
}

fn text(documents: &[Value]) -> Result<String, LabError> {
    let each = documents.iter().map(serde_yaml::to_string).collect::<Result<Vec<_>, _>>();
    Ok(each.map_err(|error| LabError::Missing(error.to_string()))?.join("---\n"))
}

/// The text of a file in `examples/`.
pub(super) fn example(file: &str) -> Result<String, LabError> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(file);
    fs::read_to_string(&path).map_err(LabError::file("read", &path))
}
