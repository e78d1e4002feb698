//! By what copies to one target are stopped while those to others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Which target it is, of those of the pass.
    pub(crate) target: usize,
    /// Of what is sent to it.
    pub(crate) cancel: CancellationToken,
    of_pass: CancellationToken,
    /// What ends uploads that were stopped: nobody waits for it but who goes on with the same.
    pub(crate) endings: TaskTracker,
    has_progressed: Arc<AtomicBool>,
}

impl Stop {
    /// Of a copy that only ends with all others.
    pub(crate) fn of_all(cancel: &CancellationToken) -> Self {
        Self {
            target: 0,
            cancel: cancel.clone(),
            of_pass: cancel.clone(),
            endings: TaskTracker::new(),
            has_progressed: Arc::default(),
        }
    }

    /// Of copies to one target of a pass.
    pub(crate) fn of_target(target: usize, of_pass: &CancellationToken) -> Self {
        Self { target, cancel: of_pass.child_token(), ..Self::of_all(of_pass) }
    }

    /// Of copies to the same target that are stopped by themselves.
    pub(crate) fn by(&self, cancel: &CancellationToken) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// Whether the target is stopped, and the pass is not.
    pub(crate) fn is_alone(&self) -> bool {
        self.cancel.is_cancelled() && !self.of_pass.is_cancelled()
    }

    /// What cannot be taken up again half done is only stopped with the pass.
    pub(crate) fn of_pass(&self) -> &CancellationToken {
        &self.of_pass
    }

    /// Something came to the target that need not be sent again.
    pub(crate) fn progress(&self) {
        self.has_progressed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_progressed(&self) -> bool {
        self.has_progressed.load(Ordering::Relaxed)
    }

    /// Waits until uploads that were stopped have ended. To be called once no more are begun that may be stopped.
    pub(crate) async fn ended(&self) {
        self.endings.close();
        self.endings.wait().await;
    }
}
