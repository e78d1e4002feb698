//! `Cluster`: connect to a member, say how it is, and let it leave in good order.

mod apply;
mod dereference;
mod status;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Client, ResourceExt};
use skyfleet_api::{Cluster, labels};

use super::context::Context;
use super::controller::Turn;
use super::error::ReconcileError;
use super::fleet::Member;
use super::report::write_status;
use validate::Refusal;

/// How often what nobody owns any more is looked for in a member.
const SWEEP_INTERVAL: Duration = Duration::from_mins(5);

/// The controller: Clusters, the Secrets they name, and what is known of the members.
pub(super) fn controller(
    hub: &Client,
    namespace: &str,
    triggers: impl Stream<Item = ObjectRef<DeserializeGuard<Cluster>>> + Send + 'static,
) -> Controller<DeserializeGuard<Cluster>> {
    let controller = Controller::new(Api::all(hub.clone()), watcher::Config::default());
    let clusters = controller.store();
    let secrets = Api::<PartialObjectMeta<Secret>>::namespaced(hub.clone(), namespace);
    controller
        .watches(secrets, watcher::Config::default(), move |secret| {
            let name = secret.name_any();
            let named = |cluster: &DeserializeGuard<Cluster>| {
                cluster.0.as_ref().is_ok_and(|cluster| dereference::secret_name(&cluster.spec) == Some(name.as_str()))
            };
            clusters
                .state()
                .iter()
                .filter(|cluster| named(cluster))
                .map(|cluster| ObjectRef::from_obj(&**cluster))
                .collect::<Vec<_>>()
        })
        .reconcile_on(triggers)
}

/// One pass over a Cluster.
///
/// # Errors
/// The hub does not do what is asked. Whatever is wrong with the member is in the Cluster's conditions instead.
pub(super) async fn reconcile(
    cluster: Arc<Cluster>,
    context: Arc<Context>,
    _turn: Turn,
) -> Result<Action, ReconcileError> {
    let api = Api::<Cluster>::all(context.hub.clone());
    finalizer(&api, labels::FINALIZER, cluster, |event| async {
        match event {
            Event::Apply(cluster) => keep(&cluster, &api, &context).await,
            Event::Cleanup(cluster) => leave(&cluster, &api, &context).await,
        }
    })
    .await
    .map_err(ReconcileError::from_finalizer)
}

async fn keep(cluster: &Cluster, api: &Api<Cluster>, context: &Context) -> Result<Action, ReconcileError> {
    let member = connected(cluster, context).await?;
    let status = status::status(cluster, member.as_deref().map(Member::report), jiff::Timestamp::now());
    write_status(context, api, cluster, status).await?;
    if let Ok(member) = member {
        apply::sweep(context, &member).await?;
        return Ok(Action::requeue(SWEEP_INTERVAL));
    }
    Ok(Action::await_change())
}

async fn leave(cluster: &Cluster, api: &Api<Cluster>, context: &Context) -> Result<Action, ReconcileError> {
    let member = connected(cluster, context).await?;
    let now = jiff::Timestamp::now();
    let Some(wait) = apply::departure(cluster, member.as_deref().ok(), now) else {
        context.fleet.disconnect(&cluster.name_any());
        return Ok(Action::await_change());
    };
    let status = status::leaving(cluster, member.as_deref().map(Member::report), &wait, now);
    write_status(context, api, cluster, status).await?;
    Err(ReconcileError::NotYet(wait))
}

/// The member over the connection that the Cluster gives now, or why there is none.
async fn connected(cluster: &Cluster, context: &Context) -> Result<Result<Arc<Member>, Refusal>, ReconcileError> {
    let name = cluster.name_any();
    let secret = dereference::secret(&context.hub, &context.namespace, &cluster.spec).await?;
    Ok(match validate::connection(&cluster.spec, secret.as_ref(), &context.namespace) {
        Ok(connection) => apply::connect(context, &name, connection).await,
        Err(refusal) => {
            context.fleet.disconnect(&name);
            Err(refusal)
        }
    })
}
