//! `Bucket`: find out whether a bucket can be used, and what its store can do.

mod apply;
mod dereference;
mod identities;
#[cfg(test)]
mod identity_tests;
mod status;
mod trust;
mod validate;

pub(crate) use dereference::{Asker, Identity, asker};
pub(crate) use identities::{Identities, token, with_tokens};
pub(crate) use validate::{Access, access};

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Client, Resource, ResourceExt};
use skyfleet_api::Bucket;

use super::context::Context;
use super::controller::Turn;
use super::error::ReconcileError;
use super::report::write_status;

/// How often a bucket that works is looked at again, by a read.
const LOOK_INTERVAL: Duration = Duration::from_mins(1);
/// How often one that does not is.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// The controller: Buckets and the Secrets they name.
pub(super) fn controller(hub: &Client) -> Controller<DeserializeGuard<Bucket>> {
    let controller = Controller::new(Api::all(hub.clone()), watcher::Config::default());
    let buckets = controller.store();
    let secrets = Api::<PartialObjectMeta<Secret>>::all(hub.clone());
    controller.watches(secrets, watcher::Config::default(), move |secret| {
        let named = |bucket: &DeserializeGuard<Bucket>| {
            bucket.meta().namespace == secret.metadata.namespace
                && bucket
                    .0
                    .as_ref()
                    .is_ok_and(|bucket| dereference::secret_name(&bucket.spec) == secret.metadata.name.as_deref())
        };
        buckets
            .state()
            .iter()
            .filter(|bucket| named(bucket))
            .map(|bucket| ObjectRef::from_obj(&**bucket))
            .collect::<Vec<_>>()
    })
}

/// One pass over a Bucket.
///
/// # Errors
/// The hub does not do what is asked. Whatever is wrong with the store is in the Bucket's conditions instead.
pub(super) async fn reconcile(
    bucket: Arc<Bucket>,
    context: Arc<Context>,
    _turn: Turn,
) -> Result<Action, ReconcileError> {
    if bucket.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let namespace = bucket.namespace().unwrap_or_default();
    let asker = asker(&context, &namespace, &bucket.spec).await?;
    let look = match validate::access(&bucket.spec, &asker) {
        Ok(access) => apply::look(access, &bucket).await,
        Err(refusal) => Err(refusal),
    };
    let status = status::status(&bucket, &look, jiff::Timestamp::now());
    write_status(&context, &Api::namespaced(context.hub.clone(), &namespace), &*bucket, status).await?;
    Ok(Action::requeue(if look.is_ok() { LOOK_INTERVAL } else { RETRY_INTERVAL }))
}
