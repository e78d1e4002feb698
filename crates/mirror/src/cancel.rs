use std::future::Future;

use tokio_util::sync::CancellationToken;

use crate::{Place, StoreError, StoreErrorKind};

/// Runs a request until it ends or the caller asks to stop.
pub(crate) async fn cancellable<T>(
    cancel: &CancellationToken,
    place: &Place,
    request: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    cancel
        .run_until_cancelled(request)
        .await
        .unwrap_or_else(|| Err(place.error(StoreErrorKind::Cancelled, "finish", String::new())))
}
