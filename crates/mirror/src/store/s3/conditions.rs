//! Conditional writes, at stores that know them and at those that do not.

use std::sync::atomic::Ordering;

use http::request::Builder;

use super::S3Store;
use crate::store::condition::ANY;
use crate::{Condition, StoreError, StoreErrorKind};

impl S3Store {
    /// Writes on a condition, or without where the store refuses any. Most of those that do not know conditions ignore them.
    pub(super) async fn conditionally<'a, T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        condition: &'a Condition,
        write: impl Fn(&'a Condition) -> F,
    ) -> Result<T, StoreError> {
        if *condition == ANY || self.refuses_conditions.load(Ordering::Relaxed) {
            return write(&ANY).await;
        }
        match write(condition).await {
            Err(error) if error.kind == StoreErrorKind::Rejected => {
                // It may be for any reason; that it was the condition shows only when it works without.
                let written = write(&ANY).await.map_err(|_| error)?;
                self.refuses_conditions.store(true, Ordering::Relaxed);
                Ok(written)
            }
            written => written,
        }
    }
}

/// Puts the condition on a request that writes.
pub(super) fn conditional(request: Builder, condition: &Condition) -> Builder {
    match condition.header() {
        Some((name, value)) => request.header(name, value),
        None => request,
    }
}
