//! The time that a request and its answer may take in all.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::record::Record;
use crate::route::Route;

/// When a request and its answer must be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

/// A request has taken as long as it may.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request and its answer took longer than {0:?}")]
pub(crate) struct Overdue(Duration);

impl Deadline {
    /// From the first byte of the request on; `None` where its route lets requests take any time.
    pub(crate) fn of(record: &Record, route: &Route) -> Option<Self> {
        let limit = route.config.timeouts.request?;
        Some(Self { at: Instant::from_std(record.began) + limit, limit })
    }

    pub(crate) fn alarm(&self) -> Alarm {
        Alarm { sleep: Box::pin(sleep_until(self.at)), limit: self.limit }
    }
}

/// Whether a request has taken as long as it may by now.
pub(crate) fn late(deadline: Option<Deadline>) -> Option<Overdue> {
    let Deadline { at, limit } = deadline?;
    (at <= Instant::now()).then_some(Overdue(limit))
}

/// Waits for something, but not beyond the deadline.
pub(crate) async fn in_time<T>(deadline: Option<Deadline>, what: impl Future<Output = T>) -> Result<T, Overdue> {
    match deadline {
        None => Ok(what.await),
        Some(Deadline { at, limit }) => timeout_at(at, what).await.map_err(|_| Overdue(limit)),
    }
}

/// Goes off at a deadline.
#[derive(Debug)]
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    limit: Duration,
}

impl Alarm {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Overdue> {
        self.sleep.as_mut().poll(cx).map(|()| Overdue(self.limit))
    }
}
