//! The HTTP surface without a model: what a pod answers while its weights are loading, and to bad requests.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use clap::Parser;
use http_body_util::BodyExt;
use inference_server::args::Args;
use inference_server::server::{Server, router};
use serde_json::Value;
use tower::ServiceExt;

async fn send(request: Request<Body>) -> Response {
    let args = Args::parse_from(["inference-server", "--pod-name", "embed-0", "--cluster", "aws-1"]);
    router(Arc::new(Server::new(&args).unwrap())).oneshot(request).await.unwrap()
}

async fn post(body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post("/v1/embeddings").header("content-type", "application/json").body(body.into()).unwrap();
    let response = send(request).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn alive_but_not_ready_without_a_model() {
    let get = |path: &str| send(Request::get(path).body(Body::empty()).unwrap());
    assert_eq!(get("/healthz").await.status(), StatusCode::OK);
    assert_eq!(get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let (status, body) = post(r#"{"model": "all-MiniLM-L6-v2", "input": "a"}"#).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["error"]["type"], "server_error");
}

#[tokio::test]
async fn bad_bodies_get_a_json_error() {
    for (body, expected) in [
        ("{", StatusCode::BAD_REQUEST),
        (r#"{"input": "a"}"#, StatusCode::UNPROCESSABLE_ENTITY),
        (r#"{"model": "all-MiniLM-L6-v2", "input": []}"#, StatusCode::BAD_REQUEST),
        (r#"{"model": "other", "input": "a"}"#, StatusCode::NOT_FOUND),
    ] {
        let (status, answer) = post(body).await;
        assert_eq!(status, expected, "{body}");
        assert_eq!(answer["error"]["type"], "invalid_request_error", "{body}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty(), "{body}");
    }
}

#[tokio::test]
async fn a_huge_body_is_refused() {
    let (status, _) = post(format!(r#"{{"model": "m", "input": "{}"}}"#, "a".repeat(1 << 20))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn every_answer_says_who_gave_it() {
    let response = send(Request::get("/healthz").body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["x-served-by-pod"], "embed-0");
    assert_eq!(response.headers()["x-served-by-cluster"], "aws-1");
}

#[tokio::test]
async fn failures_on_purpose_are_the_servers_and_are_counted() {
    let args = Args::parse_from(["inference-server", "--fail-percent", "100"]);
    let app = router(Arc::new(Server::new(&args).unwrap()));
    for (body, expected) in [
        (r#"{"model": "all-MiniLM-L6-v2", "input": "a"}"#, StatusCode::INTERNAL_SERVER_ERROR),
        (r#"{"model": "other", "input": "a"}"#, StatusCode::NOT_FOUND),
    ] {
        let request = Request::post("/v1/embeddings").header("content-type", "application/json");
        let response = app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        assert_eq!(response.status(), expected, "{body}");
    }
    let text = metrics(app).await;
    assert!(text.contains("inference_request_errors_total 1\n"), "{text}");
    assert!(Args::try_parse_from(["inference-server", "--fail-percent", "101"]).is_err());
}

#[tokio::test]
async fn refused_requests_are_counted_by_status() {
    let args = Args::parse_from(["inference-server"]);
    let app = router(Arc::new(Server::new(&args).unwrap()));
    let bad = Request::post("/v1/embeddings").body(Body::from("{}")).unwrap();
    app.clone().oneshot(bad).await.unwrap();
    let text = metrics(app).await;
    assert!(text.contains("inference_requests_total{code=\"415\"} 1"), "{text}");
    assert!(text.contains("inference_request_errors_total 0"), "{text}");
}

async fn metrics(app: Router) -> String {
    let response = app.oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}
