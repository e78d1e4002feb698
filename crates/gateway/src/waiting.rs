//! Requests that wait for a replica: until one has room, or their deadline.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use skyfleet_balance::queue::{self, Place, Queue};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::backend::{Backend, InFlight};
use crate::config::QueueConfig;
use crate::deadline::{Deadline, Overdue, in_time};

/// Those that wait at one backend.
pub(crate) struct Waiting {
    settings: QueueConfig,
    queue: Queue<u64>,
    /// Who gets the place that comes free.
    receivers: HashMap<Place, oneshot::Sender<InFlight>>,
}

/// Why a request waits no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotServed {
    #[error(transparent)]
    Refused(#[from] queue::Refusal),
    #[error("no replica had room within {0:?}")]
    TimedOut(Duration),
    #[error(transparent)]
    Overdue(#[from] Overdue),
}

impl Waiting {
    pub(crate) fn new() -> Self {
        let settings = QueueConfig::default();
        Self { queue: queue(&settings), settings, receivers: HashMap::new() }
    }

    /// Other bounds count once nobody waits by the old ones.
    pub(crate) fn configure(&mut self, settings: QueueConfig) {
        if self.settings != settings && self.queue.is_empty() {
            (self.queue, self.settings) = (queue(&settings), settings);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Who is next, as the place that comes free was taken for it.
    pub(crate) fn next(&mut self, now: Duration) -> Option<oneshot::Sender<InFlight>> {
        let place = self.queue.next(now)?;
        self.receivers.remove(&place)
    }

    fn leave(&mut self, place: Place) {
        self.queue.remove(place);
        self.receivers.remove(&place);
    }
}

fn queue(settings: &QueueConfig) -> Queue<u64> {
    let most = usize::try_from(settings.most).unwrap_or(usize::MAX);
    // A quarter of it: then no client alone keeps the others out.
    Queue::new(queue::Settings { most, most_of_one: most.div_ceil(4) })
}

/// Waits for a place at an endpoint.
pub(crate) async fn wait(
    backend: &Arc<Backend>,
    client: u64,
    deadline: Option<Deadline>,
) -> Result<InFlight, NotServed> {
    let (place, limit, mut receiver) = {
        let (now, mut state) = backend.waiting();
        let limit = state.waiting.settings.timeout;
        let place = state.waiting.queue.admit(&client, now + limit, now)?;
        let (sender, receiver) = oneshot::channel();
        state.waiting.receivers.insert(place, sender);
        (place, limit, receiver)
    };
    let _place = Left { backend, place };
    // It may have come free in between.
    backend.serve_waiting();
    match in_time(deadline, timeout(limit, &mut receiver)).await? {
        Ok(Ok(in_flight)) => Ok(in_flight),
        Ok(Err(_)) | Err(_) => Err(NotServed::TimedOut(limit)),
    }
}

/// Gives the place in the queue up, also when the client has gone.
struct Left<'a> {
    backend: &'a Arc<Backend>,
    place: Place,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.backend.waiting().1.waiting.leave(self.place);
    }
}
