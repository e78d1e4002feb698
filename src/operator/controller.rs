//! Runs a controller: decodes with care, bounds time and concurrency, backs off, measures.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::Controller;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::error::ReconcileError;

/// A pass that takes longer is given up and tried again: every call in it has its own, shorter limit.
const PASS_LIMIT: Duration = Duration::from_secs(90);
/// How long triggers are gathered.
const GATHERING: Duration = Duration::from_millis(100);
/// Delay after the first failure; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// The longest delay.
const LONGEST_DELAY: Duration = Duration::from_mins(1);

/// A place among the passes of one kind that run at once; whoever drops it gives way. Places are given in the order in which
/// objects came: the controller library has no such order, and under load one object could wait for ever.
pub(crate) type Turn = OwnedSemaphorePermit;

/// Runs `reconcile` for every object that changes until `stop`, for at most `concurrency` objects at once.
pub(crate) async fn run<K, Reconcile, Outcome>(
    controller: Controller<DeserializeGuard<K>>,
    reconcile: Reconcile,
    context: Arc<Context>,
    concurrency: u16,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    Reconcile: Fn(Arc<K>, Arc<Context>, Turn) -> Outcome + Send + Sync + 'static,
    Outcome: Future<Output = Result<Action, ReconcileError>> + Send + 'static,
{
    let kind = kind_of::<K>();
    let backoff = Arc::new(Backoff::default());
    let reconcile = Arc::new(reconcile);
    let turns = Arc::new(Semaphore::new(concurrency.into()));
    let objects = controller.store();
    let passes = {
        let (backoff, stop) = (backoff.clone(), stop.clone());
        move |object: Arc<DeserializeGuard<K>>, context: Arc<Context>| {
            let (reconcile, backoff) = (reconcile.clone(), backoff.clone());
            let (turns, objects, stop) = (turns.clone(), objects.clone(), stop.clone());
            async move {
                let Some(Ok(turn)) = stop.run_until_cancelled(turns.acquire_owned()).await else {
                    return Err(ReconcileError::Stopping);
                };
                // As it is now: it may have changed while it waited. One that is gone needs nothing any more.
                let Some(object) = objects.get(&ObjectRef::from_obj(&*object)) else {
                    return Ok(Action::await_change());
                };
                let object = match &object.0 {
                    Ok(object) => Arc::new(object.clone()),
                    // Of another version, perhaps: it must not stall the others. A change of it brings it back.
                    Err(error) => {
                        tracing::warn!(kind, name = error.metadata.name, %error, "an object cannot be read; it is left alone");
                        return Ok(Action::await_change());
                    }
                };
                let started = Instant::now();
                let key = (object.namespace(), object.name_any());
                let outcome = timeout(PASS_LIMIT, reconcile(object, context.clone(), turn))
                    .await
                    .unwrap_or(Err(ReconcileError::TimedOut(PASS_LIMIT)));
                let word = if outcome.is_ok() { "done" } else { "failed" };
                context.metrics.reconciled(kind, word, started.elapsed());
                if outcome.is_ok() {
                    backoff.forget(&key);
                }
                outcome
            }
        }
    };
    let on_error = move |object: Arc<DeserializeGuard<K>>, error: &ReconcileError, _: Arc<Context>| {
        let key = (object.namespace(), object.name_any());
        let delay = if error.is_conflict() { delay(0, noise()) } else { backoff.next(key) };
        if error.is_ordinary() {
            tracing::debug!(kind, name = object.name_any(), %error, "looking again");
        } else {
            tracing::warn!(kind, namespace = object.namespace(), name = object.name_any(), %error, ?delay, "trying again");
        }
        Action::requeue(delay)
    };
    controller
        // Without a bound of its own: turns bound it.
        .with_config(Config::default().concurrency(0))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(passes, on_error, context)
        .for_each(|outcome| {
            // A failed pass is told by `on_error`; a failed watch is told nowhere else, and is tried again by itself.
            if let Err(controller::Error::QueueError(error)) = outcome {
                tracing::warn!(kind, %error, "a watch on the hub failed; trying again");
            }
            std::future::ready(())
        })
        .await;
}

fn kind_of<K: Resource<DynamicType = ()>>() -> &'static str {
    match K::kind(&()) {
        std::borrow::Cow::Borrowed(kind) => kind,
        std::borrow::Cow::Owned(_) => "unknown",
    }
}

/// A stream of references for [`Controller::reconcile_on`], from a channel's end. What comes close together is gathered, each
/// object once: a rollout in several members would start a pass for every pod otherwise.
pub(crate) fn triggers<K>(
    receiver: mpsc::Receiver<ObjectRef<K>>,
) -> impl futures::Stream<Item = ObjectRef<K>> + Send + 'static
where
    K: Resource<DynamicType: Hash + Eq + Clone + Send> + Send + 'static,
{
    let batches = futures::stream::unfold(receiver, |mut receiver| async move {
        let mut batch = HashSet::from([receiver.recv().await?]);
        sleep(GATHERING).await;
        batch.extend(std::iter::from_fn(|| receiver.try_recv().ok()));
        Some((futures::stream::iter(batch), receiver))
    });
    batches.flatten()
}

/// Failures in a row, by object.
#[derive(Default)]
struct Backoff(Mutex<HashMap<(Option<String>, String), u32>>);

impl Backoff {
    fn forget(&self, key: &(Option<String>, String)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn next(&self, key: (Option<String>, String)) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key).or_default();
        let delay = delay(*count, noise());
        *count += 1;
        delay
    }
}

/// Enough of chance to part those that failed together.
fn noise() -> u32 {
    Timestamp::now().subsec_nanosecond().unsigned_abs()
}

/// Doubles with each failure; the upper half of it is left to chance, so that objects that failed together part.
fn delay(failures: u32, noise: u32) -> Duration {
    let full = FIRST_DELAY.saturating_mul(1 << failures.min(16)).min(LONGEST_DELAY);
    full.mul_f64(0.5 + f64::from(noise % 1000) / 2000.0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    #[tokio::test]
    async fn triggers_that_come_close_together_are_one_for_each_object() {
        let (sender, receiver) = mpsc::channel::<ObjectRef<ConfigMap>>(8);
        for name in ["a", "b", "a", "a"] {
            sender.send(ObjectRef::new(name)).await.expect("the receiver is there");
        }
        drop(sender);
        let mut names: Vec<String> = triggers(receiver).map(|reference| reference.name).collect().await;
        names.sort();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn delays_double_up_to_a_bound_and_differ_by_chance() {
        for (failures, noise, wanted) in [(0, 0, 250), (0, 999, 499), (1, 0, 500), (3, 0, 2000), (40, 0, 30_000)] {
            assert_eq!(delay(failures, noise).as_millis(), wanted);
        }
        assert!(delay(u32::MAX, 999) <= LONGEST_DELAY);
    }
}
