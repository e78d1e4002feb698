//! Reads what a Bucket refers to: the Secret with its credentials, or the ServiceAccount whose identity it uses.

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Client;
use kube::api::Api;
use skyfleet_api::BucketSpec;
use skyfleet_api::bucket::WorkloadIdentity;
use skyfleet_api::conditions::Reason;

use super::identities::{FORBIDDEN, Identities};
use super::trust::trust;
use super::validate::Refusal;
use crate::buckets::Federation;
use crate::operator::context::Context;
use crate::operator::error::ReconcileError;

/// Who asks a Bucket's store, as far as the hub knows.
#[derive(Clone, Debug)]
pub(crate) enum Asker {
    /// Nobody.
    Anonymous,
    /// Who has the keys of the Secret; `None` when there is no such Secret.
    Secret(Option<Box<Secret>>),
    /// An identity, or why it cannot be used.
    Identity(Box<Result<Identity, Refusal>>),
}

/// Whose identity is used.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// The operator's own.
    Own,
    /// That of a ServiceAccount, in the state that has this resourceVersion.
    Federated { federation: Federation, account: Box<ServiceAccount>, version: Option<String> },
}

impl Asker {
    /// The resourceVersion of what the credentials are from.
    pub(crate) fn version(&self) -> Option<&str> {
        match self {
            Self::Secret(secret) => secret.as_ref()?.metadata.resource_version.as_deref(),
            Self::Identity(identity) => match &**identity {
                Ok(Identity::Federated { version, .. }) => version.as_deref(),
                Ok(Identity::Own) | Err(_) => None,
            },
            Self::Anonymous => None,
        }
    }
}

/// The name of the Secret that a Bucket names.
pub(super) fn secret_name(spec: &BucketSpec) -> Option<&str> {
    spec.credentials_secret_ref.as_ref().map(|reference| reference.name.as_str())
}

/// Reads who asks the store of a Bucket in this namespace.
pub(crate) async fn asker(context: &Context, namespace: &str, spec: &BucketSpec) -> Result<Asker, ReconcileError> {
    find(&context.hub, &context.identities, namespace, spec).await
}

pub(super) async fn find(
    hub: &Client,
    identities: &Identities,
    namespace: &str,
    spec: &BucketSpec,
) -> Result<Asker, ReconcileError> {
    if let Some(WorkloadIdentity { service_account_name }) = &spec.workload_identity {
        let name = service_account_name.as_deref();
        return identity(hub, identities, namespace, spec, name).await.map(|found| Asker::Identity(Box::new(found)));
    }
    let Some(name) = secret_name(spec) else { return Ok(Asker::Anonymous) };
    let secrets = Api::<Secret>::namespaced(hub.clone(), namespace);
    let secret = secrets.get_opt(name).await.map_err(ReconcileError::hub("read the Secret of a Bucket"))?;
    Ok(Asker::Secret(secret.map(Box::new)))
}

async fn identity(
    hub: &Client,
    identities: &Identities,
    namespace: &str,
    spec: &BucketSpec,
    name: Option<&str>,
) -> Result<Result<Identity, Refusal>, ReconcileError> {
    let Some(name) = name else { return Ok(own(identities.own)) };
    let accounts = Api::<ServiceAccount>::namespaced(hub.clone(), namespace);
    let found = match accounts.get_opt(name).await {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Err(Refusal::lasting(Reason::PermissionDenied, FORBIDDEN))
        }
        found => Ok(found.map_err(ReconcileError::hub("read the ServiceAccount of a Bucket"))?),
    };
    Ok(found.and_then(|account| federated(identities, namespace, spec, name, account)))
}

fn federated(
    identities: &Identities,
    namespace: &str,
    spec: &BucketSpec,
    name: &str,
    account: Option<ServiceAccount>,
) -> Result<Identity, Refusal> {
    let missing = || {
        let message = format!("there is no ServiceAccount {name:?} in the Bucket's namespace on the hub: make it");
        Refusal::lasting(Reason::ReferenceNotFound, message)
    };
    let account = account.ok_or_else(missing)?;
    let federation = identities.federation(namespace, &account, trust(spec, &account)?);
    let version = account.metadata.resource_version.clone();
    Ok(Identity::Federated { federation, account: Box::new(account), version })
}

/// Whoever may write Buckets in any namespace would act as the operator: so only where that was asked for.
fn own(allowed: bool) -> Result<Identity, Refusal> {
    let message = "the operator does not use its own identity for Buckets: name a ServiceAccount in \
        spec.workloadIdentity.serviceAccountName, or let every namespace use the operator's, with the chart's \
        buckets.ownIdentity=true";
    if allowed { Ok(Identity::Own) } else { Err(Refusal::lasting(Reason::PermissionDenied, message)) }
}

#[cfg(test)]
mod tests {
    use skyfleet_api::conditions::Reason;

    use super::{Identity, own};

    #[test]
    fn the_operator_s_own_identity_is_not_used_unless_that_was_asked_for() {
        assert!(matches!(own(true), Ok(Identity::Own)));
        let refusal = own(false).expect_err("it is refused");
        assert_eq!(refusal.reason, Reason::PermissionDenied);
        assert!(refusal.message.contains("serviceAccountName") && refusal.message.contains("buckets.ownIdentity"));
    }
}
