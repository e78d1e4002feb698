//! `DatasetReplica`: keep data the same in several buckets. Copying takes as long as it takes, so a pass of the mirror runs
//! beside the reconcile, which starts it, looks at it and says how it went.

mod apply;
mod dereference;
mod lineage;
mod passes;
mod status;
mod validate;

pub(crate) use dereference::{Buckets, buckets};
pub(crate) use passes::Passes;

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Client, Resource, ResourceExt};
use skyfleet_api::{Bucket, DatasetReplica, Reason};

use super::context::Context;
use super::controller::Turn;
use super::error::ReconcileError;
use super::report::write_status;
use passes::Look;
use validate::Verdict;

/// How often a pass that runs is looked at.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// How often is looked for what an object names and is not there.
const MISSING_INTERVAL: Duration = Duration::from_secs(15);

/// The controller: DatasetReplicas, the Buckets they name, and passes that ended.
pub(super) fn controller(
    hub: &Client,
    ended: impl Stream<Item = ObjectRef<DeserializeGuard<DatasetReplica>>> + Send + 'static,
) -> Controller<DeserializeGuard<DatasetReplica>> {
    let controller = Controller::new(Api::all(hub.clone()), watcher::Config::default());
    let replicas = controller.store();
    controller
        .watches(Api::<Bucket>::all(hub.clone()), watcher::Config::default(), move |bucket| {
            let name = bucket.name_any();
            let named = |replica: &DeserializeGuard<DatasetReplica>| {
                replica.meta().namespace == bucket.metadata.namespace
                    && replica
                        .0
                        .as_ref()
                        .is_ok_and(|replica| dereference::bucket_names(&replica.spec).any(|of| of == name))
            };
            replicas
                .state()
                .iter()
                .filter(|replica| named(replica))
                .map(|replica| ObjectRef::from_obj(&**replica))
                .collect::<Vec<_>>()
        })
        .reconcile_on(ended)
}

/// One pass over a DatasetReplica.
///
/// # Errors
/// The hub does not do what is asked. Whatever is wrong with buckets is in the conditions instead.
pub(super) async fn reconcile(
    replica: Arc<DatasetReplica>,
    context: Arc<Context>,
    _turn: Turn,
    passes: Arc<Passes>,
) -> Result<Action, ReconcileError> {
    let uid = replica.uid().unwrap_or_default();
    let namespace = replica.namespace().unwrap_or_default();
    if replica.metadata.deletion_timestamp.is_some() {
        passes.cancel(&uid);
        return Ok(Action::await_change());
    }
    let buckets = dereference::buckets(&context, &namespace, &replica.spec).await?;
    let mask_keys = dereference::mask_keys(&context, &namespace, &replica.spec).await?;
    let now = jiff::Timestamp::now();
    let (status, action) = match validate::validate(&replica, (&buckets, &mask_keys), now) {
        Verdict::Refused(findings) => {
            passes.cancel(&uid);
            // A Secret that comes is not watched.
            let is_missing = findings.iter().any(|finding| finding.reason == Reason::ReferenceNotFound);
            let action = if is_missing { Action::requeue(MISSING_INTERVAL) } else { Action::await_change() };
            (status::without_pass(&replica, &findings, now), action)
        }
        Verdict::Copy(job) => {
            let look = passes.look(&uid, (&job.fingerprint, &job.schedule), status::known_end(&replica), now);
            if let Look::Due(earlier) = &look {
                let work = apply::pass(*job.clone(), replica.clone(), &context, passes.counters(&uid));
                passes.start(
                    &uid,
                    ObjectRef::from_obj(&DeserializeGuard(Ok((*replica).clone()))),
                    &job.fingerprint,
                    work,
                );
                (status::of_look(&replica, &job, earlier.as_deref(), now), Action::requeue(PROGRESS_INTERVAL))
            } else {
                look_on(&replica, &job, look, now)
            }
        }
    };
    write_status(&context, &Api::namespaced(context.hub.clone(), &namespace), &*replica, status).await?;
    Ok(action)
}

fn look_on(
    replica: &DatasetReplica,
    job: &validate::Job,
    look: Look,
    now: jiff::Timestamp,
) -> (skyfleet_api::DatasetReplicaStatus, Action) {
    match look {
        Look::Running { progress } => (status::running(replica, progress, now), Action::requeue(PROGRESS_INTERVAL)),
        Look::Resting { next } => (replica.status.clone().unwrap_or_default(), Action::requeue(next)),
        Look::Ended { report, next } => (status::of_look(replica, job, Some(&report), now), Action::requeue(next)),
        Look::Due(report) => {
            (status::of_look(replica, job, report.as_deref(), now), Action::requeue(PROGRESS_INTERVAL))
        }
    }
}
