//! `ModelDeployment`: replicas of a model all over the fleet.

mod apply;
mod decide;
mod dereference;
mod explain;
mod fleet_watch;
mod model_source;
mod rollout;
mod share;
mod status;
mod validate;

pub(super) use explain::{NotExplained, explain};

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Client, ResourceExt};
use skyfleet_api::{Bucket, Cluster, DatasetReplica, ModelDeployment, ModelDeploymentStatus, labels};
use skyfleet_plan::autoscaling;
use skyfleet_plan::placement::{News, Plan};
use tokio::time::timeout;

use super::context::Context;
use super::controller::Turn;
use super::error::ReconcileError;
use super::report::write_status;
use rollout::Rollout;
use validate::{Request, Verdict};

/// How soon a fleet that is not fully known yet is looked at again.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(2);
/// How long a pass waits for members before another one may run.
const PATIENCE: Duration = Duration::from_millis(250);
/// How soon a member that refused a change is asked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);

/// The controller: ModelDeployments, what they refer to, the Clusters, and their objects in members; and the Clusters as its
/// watch shows them.
pub(super) fn controller(
    hub: &Client,
    in_members: impl Stream<Item = ObjectRef<DeserializeGuard<ModelDeployment>>> + Send + 'static,
) -> (Controller<DeserializeGuard<ModelDeployment>>, Store<Cluster>) {
    let controller = Controller::new(Api::all(hub.clone()), watcher::Config::default());
    let (for_clusters, for_datasets, for_buckets) = (controller.store(), controller.store(), controller.store());
    let (clusters, changed_clusters) = fleet_watch::fleet_watch(hub);
    let controller = controller
        .watches_stream(changed_clusters, move |_| all(&for_clusters, |_| true))
        .watches(Api::<DatasetReplica>::all(hub.clone()), watcher::Config::default(), move |dataset| {
            all(&for_datasets, |model| {
                model.metadata.namespace == dataset.metadata.namespace
                    && dereference::dataset_name(&model.spec) == dataset.metadata.name.as_deref()
            })
        })
        .watches(Api::<Bucket>::all(hub.clone()), watcher::Config::default(), move |bucket| {
            all(&for_buckets, |model| model.metadata.namespace == bucket.metadata.namespace)
        })
        .reconcile_on(in_members);
    (controller, clusters)
}

fn all(
    models: &Store<DeserializeGuard<ModelDeployment>>,
    concerned: impl Fn(&ModelDeployment) -> bool,
) -> Vec<ObjectRef<DeserializeGuard<ModelDeployment>>> {
    let concerned = |model: &DeserializeGuard<ModelDeployment>| model.0.as_ref().is_ok_and(&concerned);
    models.state().iter().filter(|model| concerned(model)).map(|model| ObjectRef::from_obj(&**model)).collect()
}

/// One pass over a ModelDeployment.
///
/// # Errors
/// The hub does not do what is asked. Whatever is wrong with members is in the conditions instead.
pub(super) async fn reconcile(
    model: Arc<ModelDeployment>,
    context: Arc<Context>,
    turn: Turn,
) -> Result<Action, ReconcileError> {
    let api = Api::<ModelDeployment>::namespaced(context.hub.clone(), &model.namespace().unwrap_or_default());
    let model = context.own_writes.newest(model);
    finalizer(&api, labels::FINALIZER, model, |event| async {
        match event {
            Event::Apply(model) => keep(&model, &api, &context, turn).await,
            Event::Cleanup(model) => delete(&model, &api, &context).await,
        }
    })
    .await
    .map_err(ReconcileError::from_finalizer)
}

async fn keep(
    model: &ModelDeployment,
    api: &Api<ModelDeployment>,
    context: &Context,
    turn: Turn,
) -> Result<Action, ReconcileError> {
    let snapshot = dereference::snapshot(context, model).await?;
    let now = jiff::Timestamp::now();
    let request = match validate::validate(model, &snapshot) {
        Verdict::Refused(findings) => {
            write(context, api, model, status::without_plan(model, &findings, now)).await?;
            return Ok(Action::await_change());
        }
        Verdict::Unknown(findings) => {
            // What was said of this generation holds until more is known: a new leader's first look is no news of the pods.
            let said = model.status.as_ref().and_then(|status| status.observed_generation);
            if said != model.metadata.generation {
                write(context, api, model, status::without_plan(model, &findings, now)).await?;
            }
            return Ok(Action::requeue(UNKNOWN_INTERVAL));
        }
        Verdict::Place(request) => request,
    };
    dereference::watch_loads(model, &snapshot.clusters);
    let (plan, asked) = match decide::decide(context, model, &snapshot, &request, now) {
        Ok(decided) => decided,
        Err(error) => {
            let findings = validate::bad_selector(&error);
            write(context, api, model, status::without_plan(model, &findings, now)).await?;
            return Ok(Action::await_change());
        }
    };
    let rollout = match rollout::roll_out(context, model, &snapshot, &plan, now).await {
        Ok(rollout) => rollout,
        Err(error) => {
            context.books.restore(model);
            return Err(error);
        }
    };
    // Decisions are kept on the hub before members change: a crash from here on resumes with the same ones.
    let replicas = asked.question.request.replicas;
    let decisions = Decisions { replicas, plan, scaling: asked.scaling, request, rollout };
    let model = match status::reserve(model, &decisions, &apply::look(model, &snapshot, &decisions), now) {
        Some(reservation) => &reserve(context, api, model, reservation).await?,
        None => model,
    };
    tell(context, model, &decisions);
    let outcomes = give_way(turn, apply::apply(context, model, &snapshot, &decisions)).await;
    let failed = outcomes.values().any(|outcome| outcome.error.is_some());
    let status = status::status(model, &decisions, &outcomes, jiff::Timestamp::now());
    write(context, api, model, status).await?;
    Ok(next_look(&decisions, failed))
}

/// Work in members: when it takes long the turn goes to another pass, so that one member that does not answer holds up no
/// model but its own.
async fn give_way<T>(turn: Turn, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(outcome) = timeout(PATIENCE, &mut work).await {
        return outcome;
    }
    drop(turn);
    work.await
}

/// Everything that a pass has decided.
struct Decisions {
    /// Replicas over the whole fleet, by the spec or by load.
    replicas: i32,
    plan: Plan,
    scaling: Option<autoscaling::Answer>,
    request: Request,
    rollout: Rollout,
}

/// Writes what is decided; when that fails, the books say again what the hub says.
async fn reserve(
    context: &Context,
    api: &Api<ModelDeployment>,
    model: &ModelDeployment,
    reservation: ModelDeploymentStatus,
) -> Result<ModelDeployment, ReconcileError> {
    let written = write(context, api, model, reservation).await;
    if written.is_err() {
        context.books.restore(model);
    }
    written
}

/// Writes a status unless it is there already, and remembers what the hub made of it.
async fn write(
    context: &Context,
    api: &Api<ModelDeployment>,
    model: &ModelDeployment,
    status: ModelDeploymentStatus,
) -> Result<ModelDeployment, ReconcileError> {
    let written = write_status(context, api, model, status).await;
    match &written {
        Ok(written) if written.resource_version() == model.resource_version() => {}
        Ok(written) => context.own_writes.wrote(written.clone()),
        Err(_) => context.own_writes.forget(model),
    }
    written
}

/// Events of what is moved and brought out.
fn tell(context: &Context, model: &ModelDeployment, decisions: &Decisions) {
    if let Some((reason, note, warning)) = decisions.rollout.news() {
        context.events.tell(model, reason, &note, warning);
    }
    for news in &decisions.plan.news {
        let (reason, note, warning) = match news {
            News::FailedOver(note) => ("FailedOver", note, true),
            News::FailedBack(note) => ("FailedBack", note, false),
            News::Rebalanced(note) => ("Rebalanced", note, false),
        };
        context.events.tell(model, reason, note, warning);
    }
}

/// When to look again although nothing changes.
fn next_look(decisions: &Decisions, failed: bool) -> Action {
    let times = [
        decisions.plan.look_again,
        decisions.rollout.look_again(),
        decisions.scaling.as_ref().and_then(|scaling| scaling.look_again),
    ];
    let due = times.into_iter().flatten().min().map(|at| at.duration_since(jiff::Timestamp::now()));
    let due = due.map(|due| Duration::try_from(due).unwrap_or_default() + Duration::from_secs(1));
    match (due, failed) {
        (Some(due), true) => Action::requeue(due.min(RETRY_INTERVAL)),
        (Some(due), false) => Action::requeue(due),
        (None, true) => Action::requeue(RETRY_INTERVAL),
        (None, false) => Action::await_change(),
    }
}

async fn delete(
    model: &ModelDeployment,
    api: &Api<ModelDeployment>,
    context: &Context,
) -> Result<Action, ReconcileError> {
    let clusters = dereference::clusters(context).await?;
    let Some(wait) = apply::remove_everywhere(context, model, &clusters, jiff::Timestamp::now()).await else {
        context.books.forget(model);
        context.own_writes.forget(model);
        return Ok(Action::await_change());
    };
    write(context, api, model, status::deleting(model, &wait, jiff::Timestamp::now())).await?;
    Err(ReconcileError::NotYet(wait))
}
