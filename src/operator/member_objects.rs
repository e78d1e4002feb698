//! What this hub has in a member, by owner, and its removal.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use skyfleet_api::labels;
use skyfleet_plan::workload::credentials_name;
use tokio::time::timeout;

use super::context::FIELD_MANAGER;
use super::fleet::{Member, Objects};

/// For one call to a member.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(10);

/// A ModelDeployment as its objects in a member name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// Why a member did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum MemberError {
    #[error("cannot {action} {what}: no answer within {CALL_LIMIT:?}")]
    TimedOut { action: &'static str, what: String },
    /// It was not even asked: what waits for its time-out could do something else.
    #[error("it does not answer; it will be asked again")]
    Silent,
    #[error("cannot {action} {what}: {source}")]
    Refused { action: &'static str, what: String, source: Box<kube::Error> },
    #[error("{0} is there already and is not Skyfleet's: rename one of the two")]
    Foreign(String),
    #[error("{0}")]
    Revision(String),
    #[error("{0}")]
    Workload(#[from] skyfleet_plan::workload::WorkloadError),
}

impl MemberError {
    /// The HTTP status that the member refused with.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A call to a member within its limit.
///
/// # Errors
/// The member refuses, or does not answer. After a call without answer none is made until the member answers a probe.
pub(super) async fn call<T>(
    member: &Member,
    action: &'static str,
    what: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, MemberError> {
    if member.silent() {
        return Err(MemberError::Silent);
    }
    match timeout(CALL_LIMIT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(MemberError::Refused { action, what: what.to_owned(), source: Box::new(source) }),
        Err(_) => {
            member.gave_no_answer();
            Err(MemberError::TimedOut { action, what: what.to_owned() })
        }
    }
}

/// The owners of all objects of this hub in a member.
pub(super) fn owners(objects: &Objects) -> BTreeSet<Owner> {
    let mut owners = owners_in(&objects.deployments);
    owners.extend(owners_in(&objects.services));
    owners.extend(owners_in(&objects.secrets));
    owners
}

fn owners_in<K: Resource<DynamicType = ()> + Clone + 'static>(store: &Store<K>) -> BTreeSet<Owner> {
    store.state().iter().filter_map(|object| owner(&**object)).collect()
}

fn owner<K: Resource>(object: &K) -> Option<Owner> {
    let label = |key: &str| object.labels().get(key).cloned();
    Some(Owner {
        namespace: object.namespace()?,
        name: label(labels::MODEL_DEPLOYMENT)?,
        uid: label(labels::OWNER_UID)?,
    })
}

/// Whether a member holds anything of this owner.
pub(super) fn holds(objects: &Objects, owner: &Owner) -> bool {
    fn any<K: Resource<DynamicType = ()> + Clone + 'static>(store: &Store<K>, name: &str, owner: &Owner) -> bool {
        let found = store.get(&ObjectRef::new(name).within(&owner.namespace));
        found.is_some_and(|object| is_of(&*object, owner))
    }
    any(&objects.deployments, &owner.name, owner)
        || any(&objects.services, &owner.name, owner)
        || any(&objects.secrets, &credentials_name(&owner.name), owner)
}

/// Whether an object in a member is this owner's.
fn is_of<K: Resource>(object: &K, owner: &Owner) -> bool {
    let is = |key: &str, value: &str| object.labels().get(key).is_some_and(|label| label == value);
    is(labels::OWNER_UID, &owner.uid)
        && is(labels::MODEL_DEPLOYMENT, &owner.name)
        && object.meta().namespace.as_deref() == Some(&owner.namespace)
}

/// Removes everything of an owner from a member. The Deployment goes after its pods, so that as long as anything runs
/// something says so.
///
/// # Errors
/// The member refuses or does not answer; what was not removed is still there.
pub(super) async fn remove(member: &Member, owner: &Owner) -> Result<(), MemberError> {
    remove_kind::<Deployment>(member, &member.objects.deployments, owner).await?;
    remove_kind::<Service>(member, &member.objects.services, owner).await?;
    remove_secrets(member, owner).await
}

/// Removes the Secrets of an owner from a member.
///
/// # Errors
/// As [`remove`].
pub(super) async fn remove_secrets(member: &Member, owner: &Owner) -> Result<(), MemberError> {
    remove_kind::<Secret>(member, &member.objects.secrets, owner).await
}

async fn remove_kind<K>(member: &Member, store: &Store<K>, whose: &Owner) -> Result<(), MemberError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + 'static,
{
    let api = Api::<K>::namespaced(member.client.clone(), &whose.namespace);
    let theirs = |object: &K| is_of(object, whose) && object.meta().deletion_timestamp.is_none();
    for object in store.state().iter().filter(|object| theirs(object)) {
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
            ..DeleteParams::foreground()
        };
        let name = object.name_any();
        match call(member, "delete", &name, api.delete(&name, &params)).await {
            Err(MemberError::Refused { source, .. }) if is_gone(&source) => {}
            outcome => {
                outcome?;
            }
        }
    }
    Ok(())
}

/// Makes a namespace like the hub's, where it is missing.
///
/// # Errors
/// The member refuses or does not answer.
pub(super) async fn create_namespace(member: &Member, name: &str) -> Result<(), MemberError> {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    namespace.metadata.labels = Some([(labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned())].into());
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let api = Api::<Namespace>::all(member.client.clone());
    match call(member, "create the Namespace", name, api.create(&params, &namespace)).await {
        Err(error) if error.code() == Some(409) => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Already gone, or another object by now: either way nothing of this owner.
pub(super) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || status.code == 409)
}
