//! The HTTP server: routes, admission, and who answered.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::sync::Semaphore;

use crate::api::{ApiError, EmbeddingsRequest, EmbeddingsResponse, models_response};
use crate::args::Args;
use crate::embedder::{Embedder, Embedding};
use crate::faults::Faults;
use crate::metrics::Metrics;

/// Longest request body in bytes.
const MAX_BODY: usize = 1 << 20;

/// What the handlers share.
pub struct Server {
    model_name: String,
    model: OnceLock<Embedder>,
    admission: Arc<Semaphore>,
    computation: Arc<Semaphore>,
    served_by: HeaderMap,
    metrics: Metrics,
    faults: Faults,
}

impl Server {
    /// A server whose model is yet to come.
    ///
    /// # Errors
    /// When the pod's or cluster's name cannot be a header's value.
    pub fn new(args: &Args) -> Result<Self, header::InvalidHeaderValue> {
        let names = [("x-served-by-pod", &args.pod_name), ("x-served-by-cluster", &args.cluster)];
        let mut served_by = HeaderMap::new();
        for (header, value) in names {
            if let Some(value) = value {
                served_by.insert(HeaderName::from_static(header), HeaderValue::from_str(value)?);
            }
        }
        Ok(Self {
            model_name: args.model_name.clone(),
            model: OnceLock::new(),
            admission: Arc::new(Semaphore::new(args.max_in_flight.into())),
            computation: Arc::new(Semaphore::new(args.concurrency.into())),
            served_by,
            metrics: Metrics::default(),
            faults: Faults::new(args.fail_percent),
        })
    }

    /// Hands over the loaded and tested model: from here on the server is ready. A second model changes nothing.
    pub fn set_model(&self, model: Embedder) {
        self.model.get_or_init(|| model);
    }

    async fn embed(self: Arc<Self>, texts: Vec<String>) -> Result<Vec<Embedding>, ApiError> {
        // Refuse at once rather than queue without end: the caller may try another replica.
        let admitted = Arc::clone(&self.admission).try_acquire_owned().map_err(|_| ApiError::Overloaded)?;
        let waiting = self.metrics.waiting();
        let turn = Arc::clone(&self.computation).acquire_owned().await.map_err(|_| ApiError::Internal)?;
        drop(waiting);
        let computing = self.metrics.computing();
        let outcome = tokio::task::spawn_blocking(move || {
            // A client that hangs up does not end the computation: the permits belong to it, not to the connection.
            let _permits = (admitted, turn, computing);
            let model = self.model.get().ok_or(ApiError::Loading)?;
            texts.iter().map(|text| model.embed(text)).collect::<Result<Vec<_>, _>>().map_err(|error| {
                tracing::error!(%error, "the model failed to answer");
                ApiError::Internal
            })
        });
        outcome.await.map_err(|error| {
            tracing::error!(%error, "the computation panicked");
            ApiError::Internal
        })?
    }
}

/// All routes over one server.
pub fn router(server: Arc<Server>) -> Router {
    let embeddings = post(embeddings).layer(middleware::from_fn_with_state(Arc::clone(&server), measure));
    Router::new()
        .route("/v1/embeddings", embeddings)
        .route("/v1/models", get(models))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&server), sign))
        .with_state(server)
}

async fn embeddings(
    State(server): State<Arc<Server>>,
    body: Result<Json<EmbeddingsRequest>, JsonRejection>,
) -> Result<Json<EmbeddingsResponse>, ApiError> {
    let Json(request) = body.map_err(|e| ApiError::Body { status: e.status(), message: e.body_text() })?;
    let format = request.encoding_format;
    let texts = request.texts(&server.model_name)?;
    if server.faults.strikes() {
        return Err(ApiError::OnPurpose);
    }
    let embeddings = Arc::clone(&server).embed(texts).await?;
    server.metrics.add_tokens(embeddings.iter().map(|e| e.tokens).sum());
    Ok(Json(EmbeddingsResponse::new(&server.model_name, embeddings, format)))
}

async fn models(State(server): State<Arc<Server>>) -> Response {
    Json(models_response(&server.model_name)).into_response()
}

async fn readyz(State(server): State<Arc<Server>>) -> Result<&'static str, ApiError> {
    server.model.get().map(|_| "ok\n").ok_or(ApiError::Loading)
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match server.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, media_type)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn measure(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let response = next.run(request).await;
    server.metrics.finished(response.status().as_u16(), start.elapsed().as_secs_f64());
    response
}

async fn sign(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().extend(server.served_by.clone());
    response
}
