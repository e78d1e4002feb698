//! What a gateway says of itself: `/healthz`, `/readyz`, `/metrics`, `/routes`, the routes as JSON, and `/`, a page that shows them.

mod page;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use skyfleet_gateway::Gateway;
use skyfleet_gateway::config::Config;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Answers of a gateway about itself. It is ready once it knows the routes, and until it is to stop.
pub(super) fn pages(
    gateway: Arc<Gateway>,
    told: watch::Receiver<Option<Arc<Config>>>,
    stopping: CancellationToken,
) -> Router {
    let readiness = move || match (&*told.borrow(), stopping.is_cancelled()) {
        (_, true) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
        (None, _) => (StatusCode::SERVICE_UNAVAILABLE, "the hub has not said which routes there are\n").into_response(),
        (Some(_), _) => "ok\n".into_response(),
    };
    let measured = gateway.clone();
    page::routes()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readiness()))
        .route("/metrics", get(async move || metrics(&measured)))
        .route("/routes", get(async move || routes(&gateway)))
}

fn routes(gateway: &Gateway) -> Response {
    let headers = [(CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, axum::Json(gateway.status())).into_response()
}

fn metrics(gateway: &Gateway) -> Response {
    match gateway.metrics() {
        Ok(text) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode the metrics: {error}\n")).into_response()
        }
    }
}
