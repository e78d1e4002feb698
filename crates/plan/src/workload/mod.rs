//! The objects a member cluster shall hold for its share of a ModelDeployment: one Deployment, one Service and, when the
//! model comes from a bucket, one Secret with that bucket's credentials.

mod affinity;
mod load_model;
mod mirror_job;
mod pod_template;
mod preset;
mod replaced;
mod settled;

pub use load_model::{Loader, ModelSource, PodIdentity};
pub use mirror_job::{MirrorJob, TASK_FOLDER};
pub use preset::metrics;
pub use replaced::runs_only_its_template;
pub use settled::{is_settled, sealed};

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{Secret, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use skyfleet_api::labels;
use skyfleet_api::model_deployment::{ModelDeploymentSpec, ServiceType};

use crate::capacity::PodShape;

/// A ModelDeployment's share of one member cluster.
#[derive(Clone, Debug)]
pub struct Share<'a> {
    /// The ModelDeployment's name; its objects in the member have it too.
    pub name: &'a str,
    /// Its namespace, the same in the member.
    pub namespace: &'a str,
    /// Its UID, which tells it from a later namesake.
    pub uid: &'a str,
    /// The hub's identity, which tells it from another hub that uses the same member.
    pub hub: &'a str,
    /// The member cluster.
    pub cluster: &'a str,
    /// Replicas here.
    pub replicas: i32,
    /// What the user asked for.
    pub spec: &'a ModelDeploymentSpec,
    /// The revision it is of, where there is a rollout.
    pub revision: Option<&'a str>,
    /// Where pods load the model from; `None` when it is in the image.
    pub model: Option<&'a ModelSource>,
    /// What loads it.
    pub loader: &'a Loader,
}

/// Why no objects can be made of a spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// The overlay is not a PodTemplateSpec.
    #[error("spec.runtime.podTemplate is not a PodTemplateSpec: {0}")]
    PodTemplate(String),
}

impl Share<'_> {
    /// The labels of every object of this share.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut all = self.selector();
        all.extend([
            (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
            (labels::HUB.to_owned(), self.hub.to_owned()),
            (labels::OWNER_UID.to_owned(), self.uid.to_owned()),
            (labels::MEMBER_CLUSTER.to_owned(), self.cluster.to_owned()),
        ]);
        all
    }

    /// The Deployment that runs the replicas.
    ///
    /// # Errors
    /// See [`WorkloadError`].
    pub fn deployment(&self) -> Result<Deployment, WorkloadError> {
        let annotations =
            self.revision.map(|revision| BTreeMap::from([(labels::REVISION.to_owned(), revision.to_owned())]));
        Ok(Deployment {
            metadata: ObjectMeta { annotations, ..self.metadata() },
            spec: Some(DeploymentSpec {
                replicas: Some(self.replicas),
                selector: LabelSelector { match_labels: Some(self.selector()), match_expressions: None },
                // Capacity never dips during a change: a new replica serves before an old one goes.
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: Some(IntOrString::String("25%".to_owned())),
                        max_unavailable: Some(IntOrString::Int(0)),
                    }),
                }),
                template: pod_template::pod_template(self)?,
                ..DeploymentSpec::default()
            }),
            status: None,
        })
    }

    /// The Service in front of the replicas.
    #[must_use]
    pub fn service(&self) -> Service {
        let service = &self.spec.service;
        Service {
            metadata: ObjectMeta {
                annotations: (!service.annotations.is_empty()).then(|| service.annotations.clone()),
                ..self.metadata()
            },
            spec: Some(ServiceSpec {
                type_: Some(service_type(service.type_).to_owned()),
                selector: Some(self.selector()),
                ports: Some(vec![ServicePort {
                    name: Some("http".to_owned()),
                    port: service_port(self.spec),
                    target_port: Some(IntOrString::Int(preset::port(&self.spec.runtime))),
                    ..ServicePort::default()
                }]),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    /// The Secret with the bucket's credentials, under the names the loader's environment has.
    #[must_use]
    pub fn credentials(&self, data: BTreeMap<String, ByteString>) -> Secret {
        Secret {
            metadata: ObjectMeta { name: Some(credentials_name(self.name)), ..self.metadata() },
            data: Some(data),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        }
    }

    fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(labels::MODEL_DEPLOYMENT.to_owned(), self.name.to_owned())])
    }

    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name.to_owned()),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(self.labels()),
            ..ObjectMeta::default()
        }
    }
}

/// The port of the Service in front of the replicas.
#[must_use]
pub fn service_port(spec: &ModelDeploymentSpec) -> i32 {
    spec.service.port.unwrap_or_else(|| preset::port(&spec.runtime))
}

/// What one replica needs of a node: read off the template that its member will be given, whatever the cluster.
///
/// # Errors
/// See [`WorkloadError`].
pub fn pod_shape(spec: &ModelDeploymentSpec) -> Result<PodShape, WorkloadError> {
    let loader = Loader { image: String::new(), image_pull_policy: None };
    let source = ModelSource::default();
    let share = Share {
        name: "",
        namespace: "",
        uid: "",
        hub: "",
        cluster: "",
        replicas: 1,
        spec,
        revision: None,
        model: spec.model.image.is_none().then_some(&source),
        loader: &loader,
    };
    let template = pod_template::pod_template(&share)?;
    Ok(PodShape::of(&template.spec.unwrap_or_default()))
}

/// The name of the Secret with the credentials for a ModelDeployment's bucket.
#[must_use]
pub fn credentials_name(model_deployment: &str) -> String {
    format!("{model_deployment}-model-bucket")
}

/// The text form of the selector of a ModelDeployment's pods, for the scale subresource.
#[must_use]
pub fn pod_selector(model_deployment: &str) -> String {
    format!("{}={model_deployment}", labels::MODEL_DEPLOYMENT)
}

fn service_type(type_: ServiceType) -> &'static str {
    match type_ {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    }
}

#[cfg(test)]
mod tests;
