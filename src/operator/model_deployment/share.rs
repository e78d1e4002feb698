//! Makes one member hold the objects of a share: a Secret where the model needs one, a Service and a Deployment.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skyfleet_api::labels;
use skyfleet_plan::workload::{Share, credentials_name, is_settled, runs_only_its_template, sealed};

use super::model_source::VerifiedModel;
use crate::operator::context::FIELD_MANAGER;
use crate::operator::fleet::Member;
use crate::operator::member_objects::{MemberError, Owner, call, create_namespace, remove_secrets};

/// What a share is made of.
struct Objects {
    secret: Option<Secret>,
    service: Service,
    deployment: Deployment,
}

/// Makes the member hold the share; gives its Deployment and Service as the member now has them.
///
/// # Errors
/// The spec gives no Deployment, an object of the same name is somebody else's (nothing is changed then), or the member does
/// not do what is asked.
pub(super) async fn apply(
    member: &Member,
    share: &Share<'_>,
    verified: Option<&VerifiedModel>,
) -> Result<(Deployment, Service), MemberError> {
    let objects = Objects {
        secret: verified
            .filter(|verified| verified.source.identity.is_none())
            .map(|verified| sealed(share.credentials(verified.credentials.clone()))),
        service: sealed(share.service()),
        deployment: sealed(share.deployment()?),
    };
    // On the heap: the futures of several requests are too large for a stack of passes.
    Box::pin(objects.refuse_foreign(member)).await?;
    let written = match Box::pin(objects.write(member)).await {
        // Looked for only when it is missing: it nearly always is there.
        Err(error) if error.code() == Some(404) => {
            create_namespace(member, share.namespace).await?;
            Box::pin(objects.write(member)).await
        }
        written => written,
    }?;
    // Of the time before its Bucket had an identity: pods that are not replaced yet may need it once more.
    let secret = ObjectRef::<Secret>::new(&credentials_name(share.name)).within(share.namespace);
    let is_left = objects.secret.is_none() && member.objects.secrets.get(&secret).is_some();
    if is_left && runs_only_its_template(&written.0) {
        Box::pin(remove_secrets(member, &owner(share))).await?;
    }
    Ok(written)
}

fn owner(share: &Share<'_>) -> Owner {
    Owner { namespace: share.namespace.to_owned(), name: share.name.to_owned(), uid: share.uid.to_owned() }
}

impl Objects {
    /// Looks for namesakes of all of them before any is written.
    async fn refuse_foreign(&self, member: &Member) -> Result<(), MemberError> {
        let known = &member.objects;
        let secret = async {
            match &self.secret {
                Some(secret) => refuse_foreign(member, &known.secrets, secret).await,
                None => Ok(()),
            }
        };
        let service = refuse_foreign(member, &known.services, &self.service);
        let deployment = refuse_foreign(member, &known.deployments, &self.deployment);
        futures::try_join!(secret, service, deployment).map(drop)
    }

    /// Writes what the member does not have as it shall be.
    async fn write(&self, member: &Member) -> Result<(Deployment, Service), MemberError> {
        let known = &member.objects;
        // Pods that cannot find it fail, and are tried again late.
        if let Some(secret) = &self.secret {
            ensure(member, &known.secrets, secret).await?;
        }
        let service = ensure(member, &known.services, &self.service);
        let deployment = ensure(member, &known.deployments, &self.deployment);
        let (service, deployment) = futures::try_join!(service, deployment)?;
        Ok((deployment, service))
    }
}

/// An object of the same name that is not this ModelDeployment's is left alone.
async fn refuse_foreign<K>(member: &Member, known: &Store<K>, wanted: &K) -> Result<(), MemberError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + 'static,
{
    if known.get(&ObjectRef::from_obj(wanted)).is_some() {
        return Ok(());
    }
    let api = Api::<K>::namespaced(member.client.clone(), &wanted.namespace().unwrap_or_default());
    let there = call(member, "read", &what(wanted), api.get_metadata_opt(&wanted.name_any())).await?;
    let ours = |key: &str| there.as_ref().is_none_or(|there| there.labels().get(key) == wanted.labels().get(key));
    if ours(labels::HUB) && ours(labels::OWNER_UID) { Ok(()) } else { Err(MemberError::Foreign(what(wanted))) }
}

/// Writes `wanted` unless the member has it already; gives the object as the member now has it.
async fn ensure<K>(member: &Member, known: &Store<K>, wanted: &K) -> Result<K, MemberError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + 'static,
{
    if let Some(found) = known.get(&ObjectRef::from_obj(wanted)).filter(|found| is_settled(wanted, &**found)) {
        return Ok((*found).clone());
    }
    let api = Api::<K>::namespaced(member.client.clone(), &wanted.namespace().unwrap_or_default());
    // By force: the object is Skyfleet's, and what somebody changed in the fields it sets by hand is set right again.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    call(member, "apply", &what(wanted), api.patch(&wanted.name_any(), &params, &Patch::Apply(wanted))).await
}

/// An object as errors name it.
pub(super) fn what<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{} {}/{}", K::kind(&()), object.namespace().unwrap_or_default(), object.name_any())
}
