use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The memory budget is counted in blocks: a semaphore hands out at most `u32::MAX` permits at once.
const BLOCK: u64 = 64 * 1024;

/// Room for content on its way. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    memory: Arc<Semaphore>,
    most: u32,
}

impl Room {
    /// For so many bytes in all.
    pub(crate) fn new(bytes: u64) -> Self {
        let most = blocks(bytes);
        Self { memory: Arc::new(Semaphore::new(most as usize)), most }
    }

    /// Room for so many bytes; who wants more than the whole budget gets all of it.
    pub(crate) async fn take(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.memory.clone().acquire_many_owned(blocks(bytes).min(self.most)).await.ok()
    }

    /// Room for so many bytes, if there is any now.
    pub(super) fn try_take(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        self.memory.clone().try_acquire_many_owned(blocks(bytes)).ok()
    }

    /// Gives back what was taken for more than so many bytes.
    pub(crate) fn shrink(permit: &mut OwnedSemaphorePermit, bytes: u64) {
        let kept = permit.num_permits().min(blocks(bytes) as usize);
        drop(permit.split(permit.num_permits() - kept));
    }
}

fn blocks(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX >> 3).clamp(1, u32::MAX >> 3)
}
