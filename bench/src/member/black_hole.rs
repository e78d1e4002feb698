//! A member that takes what it is sent and says nothing.

use tokio::sync::watch;

/// Whether a member is a black hole.
#[derive(Clone)]
pub(super) struct BlackHole(watch::Sender<bool>);

impl Default for BlackHole {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl BlackHole {
    pub(super) fn set(&self, on: bool) {
        self.0.send_replace(on);
    }

    pub(super) fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is none.
    pub(super) async fn passed(&self) {
        let mut states = self.0.subscribe();
        // The sender is here: the channel cannot be closed.
        let _open = states.wait_for(|on| !on).await;
    }
}
