//! How long a body may give nothing.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Ends after a time in which nothing came. It costs nothing as long as each piece is there when it is asked for.
#[derive(Debug)]
pub(crate) struct Idle {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Idle {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, is_waiting: false }
    }

    /// Something came.
    pub(crate) fn came(&mut self) {
        self.is_waiting = false;
    }

    /// Nothing is there now; ready once that has been so for too long.
    pub(crate) fn poll_waited(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        if !self.is_waiting {
            self.is_waiting = true;
            sleep.as_mut().reset(Instant::now() + self.limit);
        }
        sleep.as_mut().poll(cx)
    }
}
