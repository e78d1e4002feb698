//! `/healthz`, `/readyz`, `/metrics` and, for the plugin, `/explain/NAMESPACE/NAME`.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::metrics::Metrics;
use super::model_deployment::{NotExplained, explain};
use super::streams;

/// Serves until `stop`: what the operator says of itself, and, where that is asked for, to those who tell of changes in buckets. Standing by is ready too: a rollout must not wait for leadership.
///
/// # Errors
/// The address cannot be bound.
pub(crate) async fn serve(
    listen: SocketAddr,
    notifications: Option<SocketAddr>,
    (metrics, leader): (Metrics, Leader),
    stop: CancellationToken,
) -> Result<(), NotServed> {
    let leading = leader.clone();
    let leading: streams::Leading = Arc::new(move || leading.get().map(|context| context.streams.clone()));
    let of_changes = async {
        match notifications {
            Some(address) => serve_at(address, streams::routes(leading), stop.clone()).await,
            None => Ok(()),
        }
    };
    let of_itself = serve_at(listen, of_itself(metrics, leader.clone(), stop.clone()), stop.clone());
    futures::try_join!(of_itself, of_changes).map(drop)
}

/// An address that cannot be served.
#[derive(Debug)]
pub(crate) struct NotServed(pub(crate) SocketAddr, pub(crate) std::io::Error);

async fn serve_at(listen: SocketAddr, routes: Router, stop: CancellationToken) -> Result<(), NotServed> {
    let not_served = |error| NotServed(listen, error);
    let listener = TcpListener::bind(listen).await.map_err(not_served)?;
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await.map_err(not_served)
}

fn of_itself(metrics: Metrics, leader: Leader, ready: CancellationToken) -> Router {
    let leading = leader.clone();
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readiness(&ready)))
        .route("/explain/{namespace}/{name}", get(explanation).with_state(leader))
        .route("/metrics", get(async move || metrics_response(&metrics, &leading)))
}

/// What the leader works with; empty while another leads.
pub(crate) type Leader = Arc<OnceLock<Arc<Context>>>;

async fn explanation(State(leader): State<Leader>, Path((namespace, name)): Path<(String, String)>) -> Response {
    let Some(context) = leader.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "this operator does not lead: ask the one that the Lease names\n")
            .into_response();
    };
    match explain(context, &namespace, &name).await {
        Ok(explanation) => match serde_json::to_string(&explanation) {
            Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write it as JSON: {error}\n")).into_response()
            }
        },
        Err(error) => {
            let status = match error {
                NotExplained::NotFound(..) => StatusCode::NOT_FOUND,
                NotExplained::NothingDecided(_) => StatusCode::CONFLICT,
                NotExplained::Failed(_) => StatusCode::BAD_GATEWAY,
            };
            (status, format!("{error}\n")).into_response()
        }
    }
}

fn readiness(stop: &CancellationToken) -> Response {
    if stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
    } else {
        "ok\n".into_response()
    }
}

fn metrics_response(metrics: &Metrics, leader: &Leader) -> Response {
    if let Some(context) = leader.get() {
        let (pending, lag) = context.streams.measure(jiff::Timestamp::now());
        metrics.streams(pending, lag.and_then(|lag| lag.try_into().ok()).unwrap_or_default());
    }
    match metrics.encode() {
        Ok(body) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], body).into_response()
        }
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode the metrics: {error}\n")).into_response()
        }
    }
}
