use std::sync::Arc;

use crate::{StoreError, StoreErrorKind};

/// A store by name: for messages, and to tell whether two stores are the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The endpoint's URL, or the service's name.
    pub endpoint: Arc<str>,
    /// The bucket.
    pub bucket: Arc<str>,
    /// The prefix in it.
    pub prefix: Arc<str>,
}

impl Place {
    pub(crate) fn error(
        &self,
        kind: StoreErrorKind,
        action: impl Into<String>,
        detail: impl Into<String>,
    ) -> StoreError {
        StoreError {
            kind,
            action: action.into(),
            endpoint: self.endpoint.clone(),
            bucket: self.bucket.clone(),
            detail: detail.into(),
            retry_after: None,
        }
    }
}
