//! Tells those who collect lineage what passes over DatasetReplicas read and wrote. It is sent beside the passes, one event
//! after the other: a collector that is slow or gone slows and fails nothing, and what lasts lies beside the data.

mod collector;
mod event;
mod naming;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::metrics::{LineageReport, Metrics};
use collector::{Collector, Patience};

pub(crate) use collector::CollectorUrl;
pub(crate) use event::{Held, Run, RunEnd, run_id};
pub(crate) use naming::DatasetId;

/// Events that wait to be sent; those beyond are left out.
const WAITING: usize = 1024;
/// For those that wait when the operator stops.
const LAST_LIMIT: Duration = Duration::from_secs(3);

/// Takes events; none where nobody collects them.
#[derive(Clone)]
pub(crate) struct Lineage {
    queue: Option<mpsc::Sender<Value>>,
    metrics: Metrics,
}

/// Sends the events that were taken.
pub(super) struct Sending {
    task: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

/// Begins to send events to a collector, where there is one. The error says why it cannot be done.
pub(super) fn start(
    url: Option<CollectorUrl>,
    api_key: Option<&str>,
    metrics: Metrics,
) -> Result<(Lineage, Sending), String> {
    let collector = url.map(|url| Collector::new(url, api_key, Patience::default())).transpose()?;
    Ok(started(collector, WAITING, metrics))
}

fn started(collector: Option<Collector>, waiting: usize, metrics: Metrics) -> (Lineage, Sending) {
    let stop = CancellationToken::new();
    let Some(collector) = collector else {
        return (Lineage { queue: None, metrics }, Sending { task: None, stop });
    };
    let (queue, events) = mpsc::channel(waiting);
    let task = tokio::spawn(send_all(collector, events, metrics.clone(), stop.clone()));
    (Lineage { queue: Some(queue), metrics }, Sending { task: Some(task), stop })
}

impl Sending {
    /// Sends what waits, for a short while.
    pub(super) async fn end(self) {
        self.stop.cancel();
        let Some(mut task) = self.task else { return };
        if timeout(LAST_LIMIT, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("the collector of lineage did not take the last events in time");
        }
    }
}

/// Ends when nothing waits any more after it was asked to.
async fn send_all(collector: Collector, mut events: mpsc::Receiver<Value>, metrics: Metrics, stop: CancellationToken) {
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            () = stop.cancelled() => None,
        };
        let Some(event) = event else { return };
        let outcome = collector.send(Bytes::from(event.to_string())).await;
        metrics.lineage(if outcome.is_ok() { LineageReport::Sent } else { LineageReport::Refused });
        if let Err(refused) = outcome {
            tracing::warn!(
                job = %event["job"]["name"], namespace = %event["job"]["namespace"], event = %event["eventType"],
                reason = refused.reason, "an OpenLineage event was not taken; what lies beside the data says the same"
            );
        }
    }
}

impl Lineage {
    /// A run that is told of once it has something to do, or has failed; `None` where nobody collects.
    pub(crate) fn run(&self, run: impl FnOnce() -> Run) -> Option<Arc<Told>> {
        self.queue.as_ref()?;
        Some(Arc::new(Told { run: run(), lineage: self.clone(), has_begun: AtomicBool::new(false) }))
    }

    fn tell(&self, event: Value) {
        let Some(Err(left_out)) = self.queue.as_ref().map(|queue| queue.try_send(event)) else { return };
        let event = left_out.into_inner();
        self.metrics.lineage(LineageReport::LeftOut);
        tracing::warn!(
            job = %event["job"]["name"], namespace = %event["job"]["namespace"], event = %event["eventType"],
            "an OpenLineage event is left out: more of them wait than the collector takes"
        );
    }
}

/// A run of which it is known what was told.
pub(crate) struct Told {
    run: Run,
    lineage: Lineage,
    has_begun: AtomicBool,
}

impl Told {
    /// There is something to do. Does not block.
    pub(crate) fn begin(&self) {
        if !self.has_begun.swap(true, Ordering::Relaxed) {
            self.lineage.tell(self.run.start());
        }
    }

    /// It has ended. Of one that had nothing to do, or was stopped before it had, nothing is told.
    pub(crate) fn end(&self, end: &RunEnd, at: Timestamp, held: &[Option<Held>]) {
        if matches!(end, RunEnd::Fail(_)) {
            self.begin();
        }
        if self.has_begun.load(Ordering::Relaxed) {
            self.lineage.tell(self.run.end(end, at, held));
        }
    }
}
