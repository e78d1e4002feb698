use std::sync::Arc;

use crate::ObjectStore;

/// One copy of a dataset: the objects of a store whose key starts with `prefix` (byte for byte; relative to the store's).
#[derive(Debug, Clone)]
pub struct Replica {
    /// The bucket.
    pub store: Arc<dyn ObjectStore>,
    /// The dataset's part of it.
    pub prefix: String,
}

impl Replica {
    /// What tells it from others, as text.
    pub(crate) fn identity(&self) -> String {
        let place = self.store.place();
        format!("{}\n{}\n{}{}", place.endpoint, place.bucket, place.prefix, self.prefix)
    }

    pub(crate) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}
