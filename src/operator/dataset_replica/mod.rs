//! `DatasetReplica`: keep data the same in several buckets. Copying takes as long as it takes, so a pass of the mirror runs
//! beside the reconcile, which starts it, looks at it and says how it went.

mod apply;
mod chain;
mod connected;
mod dereference;
mod jobs;
mod lineage;
mod passes;
mod pins;
mod status;
mod stream;
mod validate;

pub(crate) use connected::Connected;
pub(crate) use dereference::{Buckets, buckets};
pub(crate) use jobs::{JobLimits, Task, TaskError, jobs_in, sweep};
pub(crate) use passes::Passes;

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Client, Resource, ResourceExt};
use skyfleet_api::{Bucket, DatasetReplica, DatasetReplicaStatus, Reason};

use super::context::Context;
use super::controller::Turn;
use super::error::ReconcileError;
use super::report::write_status;
use apply::Pass;
use chain::Standing;
use passes::{Kind, Look};
use validate::Verdict;

/// How often a pass that runs is looked at.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// How often is looked for what an object needs and is not there.
const WAITING_INTERVAL: Duration = Duration::from_secs(15);

/// What the reconciles of all DatasetReplicas share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) passes: Arc<Passes>,
    /// All of them, as they are now.
    pub(super) replicas: Store<DeserializeGuard<DatasetReplica>>,
}

impl Shared {
    /// Those of a namespace that can be read.
    fn in_namespace(&self, namespace: &str) -> Vec<Arc<DatasetReplica>> {
        let readable = self.replicas.state().into_iter().filter_map(|replica| replica.0.as_ref().ok().cloned());
        readable.filter(|replica| replica.metadata.namespace.as_deref() == Some(namespace)).map(Arc::new).collect()
    }
}

/// The controller: DatasetReplicas, the Buckets they name, those they are made of, and passes that ended.
pub(super) fn controller(
    hub: &Client,
    ended: impl Stream<Item = ObjectRef<DeserializeGuard<DatasetReplica>>> + Send + 'static,
) -> Controller<DeserializeGuard<DatasetReplica>> {
    let controller = Controller::new(Api::all(hub.clone()), watcher::Config::default());
    let replicas = controller.store();
    let readers = replicas.clone();
    controller
        .watches(Api::<DeserializeGuard<DatasetReplica>>::all(hub.clone()), watcher::Config::default(), move |of| {
            let Ok(of) = &of.0 else { return Vec::new() };
            let is_fed = |replica: &DeserializeGuard<DatasetReplica>| {
                replica.meta().namespace == of.metadata.namespace
                    && replica.0.as_ref().is_ok_and(|replica| chain::feeds(of, replica))
            };
            readers
                .state()
                .iter()
                .filter(|replica| is_fed(replica))
                .map(|replica| ObjectRef::from_obj(&**replica))
                .collect()
        })
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
    shared: Shared,
) -> Result<Action, ReconcileError> {
    let passes = &shared.passes;
    let uid = replica.uid().unwrap_or_default();
    let namespace = replica.namespace().unwrap_or_default();
    if replica.metadata.deletion_timestamp.is_some() {
        passes.cancel(&uid);
        context.streams.leave(&uid);
        return Ok(Action::await_change());
    }
    let found = Arc::new(dereference::dereference(&context, &namespace, &replica.spec).await?);
    let now = jiff::Timestamp::now();
    let standing = match chain::feeding(&replica, &shared.in_namespace(&namespace)) {
        Ok(feeding) => {
            let now = dereference::as_they_are_now(&context, &namespace, feeding).await?;
            chain::standing(&replica, &now)
        }
        Err(findings) => Standing::Waits(findings),
    };
    let is_held = matches!(standing, Standing::Waits(_));
    let validated = || validate::validate(&replica, &found, now);
    let (verdict, follows) = match standing {
        Standing::Ready { follows, pinned } => {
            let mut verdict = validated();
            if let Verdict::Copy(job) = &mut verdict {
                job.pinned = pinned;
            }
            (verdict, follows)
        }
        // A pass that runs goes on: what it copies is proven object by object, and the next one follows in order.
        Standing::Waits(_) if passes.is_running(&uid) => (validated(), String::new()),
        Standing::Waits(findings) => (Verdict::Refused(findings), String::new()),
    };
    let (status, action) = match verdict {
        Verdict::Refused(findings) => {
            passes.cancel(&uid);
            context.streams.leave(&uid);
            // A Secret that comes is not watched, nor is all on which it stands in some way.
            let is_missing = findings.iter().any(|finding| finding.reason == Reason::ReferenceNotFound);
            let waits = is_missing || is_held;
            let action = if waits { Action::requeue(WAITING_INTERVAL) } else { Action::await_change() };
            (status::without_pass(&replica, &findings, now), action)
        }
        Verdict::Copy(mut job) => {
            let reference = ObjectRef::from_obj(&DeserializeGuard(Ok((*replica).clone())));
            let stream = stream::follow(&context, (&uid, reference.clone()), &replica, &job, now);
            let (of_job, known) = ((&*job.fingerprint, &*follows, &job.schedule), status::known_end(&replica));
            let look = passes.look(&uid, of_job, (known, stream.as_deref()), now);
            if let (Look::Due(_), Some(kept)) = (&look, &mut job.options.versions) {
                kept.pinned = pins::pinned(&context, &namespace, &replica).await?;
            }
            if let Look::Due(Some(last)) = &look {
                job.options.aside = last.report.set_aside();
            }
            let pass = || {
                let (counters, cancel) = passes.counters(&uid);
                Pass {
                    job: (*job).clone(),
                    replica: replica.clone(),
                    found: found.clone(),
                    context: context.clone(),
                    stream: stream.clone(),
                    counters,
                    cancel,
                    slots: passes.slots(),
                }
            };
            match (&look, &stream) {
                (Look::Due(_), _) => {
                    passes.start(&uid, reference, (&job.fingerprint, &follows), pass().run());
                }
                (Look::Changed(_), Some(stream)) => passes.start_look(&uid, reference, pass().look(stream.clone())),
                _ => {}
            }
            let said = look_on(&replica, &job, look, now);
            match stream {
                Some(stream) => stream::say(&context, said, &replica, &stream, now),
                None => said,
            }
        }
    };
    let (status, action) = with_job(&context, &replica, passes.is_running(&uid), status, action);
    write_status(&context, &Api::namespaced(context.hub.clone(), &namespace), &*replica, status).await?;
    Ok(action)
}

/// The status with what is left of Jobs that nobody follows. Until it is removed it is looked for.
fn with_job(
    context: &Context,
    replica: &DatasetReplica,
    is_running: bool,
    status: DatasetReplicaStatus,
    action: Action,
) -> (DatasetReplicaStatus, Action) {
    if is_running {
        return (status, action);
    }
    let said = replica.status.as_ref().and_then(|status| status.job.as_ref());
    let job = jobs::left(context, &replica.uid().unwrap_or_default(), said);
    let action = if job.is_some() { Action::requeue(PROGRESS_INTERVAL) } else { action };
    (DatasetReplicaStatus { job, ..status }, action)
}

fn look_on(
    replica: &DatasetReplica,
    job: &validate::Job,
    look: Look,
    now: jiff::Timestamp,
) -> (DatasetReplicaStatus, Action) {
    match look {
        Look::Running { kind: Kind::Everything, progress } => {
            (status::running(replica, &progress, now), Action::requeue(PROGRESS_INTERVAL))
        }
        // A stream that brings what changed is as it was: how far it is behind is told beside.
        Look::Running { kind: Kind::Changes, .. } => {
            (replica.status.clone().unwrap_or_default(), Action::requeue(PROGRESS_INTERVAL))
        }
        Look::Changed(report) => {
            (status::of_look(replica, job, Some(&report), now), Action::requeue(PROGRESS_INTERVAL))
        }
        Look::Resting { next } => (replica.status.clone().unwrap_or_default(), Action::requeue(next)),
        Look::Ended { report, next } => (status::of_look(replica, job, Some(&report), now), Action::requeue(next)),
        Look::Due(report) => {
            (status::of_look(replica, job, report.as_deref(), now), Action::requeue(PROGRESS_INTERVAL))
        }
    }
}
