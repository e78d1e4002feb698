//! What of a ModelDeployment a rollout brings out: the model, the runtime, the Service, and the version of the data. Kept on the
//! hub as a ControllerRevision, as Kubernetes keeps those of its own workloads, so that there is something to go back to.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use skyfleet_api::ModelDeploymentSpec;
use skyfleet_api::model_deployment::{Model, Runtime, ServiceSpec};

/// What a rollout brings out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The model.
    pub model: Model,
    /// The runtime.
    pub runtime: Runtime,
    /// The Service.
    #[serde(default)]
    pub service: ServiceSpec,
    /// The digest of the dataset that pods load; absent where they load none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Revision {
    /// What a spec asks for, with this version of the data.
    #[must_use]
    pub fn of(spec: &ModelDeploymentSpec, digest: Option<String>) -> Self {
        Self { model: spec.model.clone(), runtime: spec.runtime.clone(), service: spec.service.clone(), digest }
    }

    /// Its name: ten hexadecimal digits that are the same for the same content.
    #[must_use]
    pub fn name(&self) -> String {
        // Plain data always renders; were it not so, all revisions would be one, and nothing would be rolled out.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(&bytes).iter().take(5).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }

    /// The spec with what this revision had.
    #[must_use]
    pub fn in_spec(&self, spec: &ModelDeploymentSpec) -> ModelDeploymentSpec {
        ModelDeploymentSpec {
            model: self.model.clone(),
            runtime: self.runtime.clone(),
            service: self.service.clone(),
            ..spec.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_brought_out_does_not_change_the_name() {
        let spec = |args: serde_json::Value, replicas: i32| -> ModelDeploymentSpec {
            serde_json::from_value(json!({
                "model": {"name": "m", "image": {}}, "runtime": {"image": "i", "port": 80, "args": args}, "replicas": replicas,
            }))
            .expect("a spec")
        };
        let name =
            |spec: &ModelDeploymentSpec, digest: Option<&str>| Revision::of(spec, digest.map(str::to_owned)).name();
        let first = spec(json!([]), 1);
        assert_eq!(name(&first, None), name(&spec(json!([]), 9), None));
        assert_ne!(name(&first, None), name(&spec(json!(["-v"]), 1), None));
        assert_ne!(name(&first, None), name(&first, Some("sha256:a")));
        let back = Revision::of(&first, None).in_spec(&spec(json!(["-v"]), 9));
        assert_eq!((back.runtime.args.len(), back.replicas), (0, 9));
    }
}
