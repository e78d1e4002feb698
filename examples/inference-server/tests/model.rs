//! The server on its real weights.
//!
//! `MODEL_DIR` names the directory with the weights, which the end-to-end crate fetches:
//! `cargo run --package skyfleet-e2e --bin artifacts model` prints it.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use clap::Parser;
use http_body_util::BodyExt;
use inference_server::args::Args;
use inference_server::embedder::Embedder;
use inference_server::server::{Server, router};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;

/// What sentence-transformers answers; `make_reference.py` made it.
#[derive(Deserialize)]
struct Reference {
    max_sequence_length: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    embedding: Vec<f32>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("reference.json")).unwrap()
}

fn embedder(max_tokens: usize) -> Embedder {
    let dir = std::env::var_os("MODEL_DIR").expect("MODEL_DIR names the model's directory");
    Embedder::load(&PathBuf::from(dir), max_tokens).unwrap()
}

fn app(arguments: &[&str]) -> Router {
    let args = Args::parse_from([&["inference-server"], arguments].concat());
    let server = Server::new(&args).unwrap();
    server.set_model(embedder(args.max_sequence_length.into()));
    router(Arc::new(server))
}

async fn post(app: Router, body: Value) -> (StatusCode, Value) {
    let request = Request::post("/v1/embeddings").header("content-type", "application/json");
    let response = app.oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn embeddings_equal_the_published_models() {
    let reference = reference();
    let embedder = embedder(reference.max_sequence_length);
    for case in &reference.cases {
        let difference = largest_difference(&embedder.embed(&case.text).unwrap().vector, &case.embedding);
        let start: String = case.text.chars().take(40).collect();
        println!("{difference:.2e} {start:?}");
        assert!(difference < 1e-4, "{difference:e} at {start:?}");
    }
}

#[test]
fn a_sequence_longer_than_the_model_knows_positions_for_is_refused() {
    let dir = PathBuf::from(std::env::var_os("MODEL_DIR").unwrap());
    let message = Embedder::load(&dir, 513).err().unwrap().to_string();
    assert!(message.contains("513") && message.contains("512"), "{message}");
}

#[tokio::test]
async fn a_list_is_answered_in_its_order_with_its_tokens_counted() {
    let cases = &reference().cases[..3];
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let (status, answer) = post(app(&[]), json!({ "model": "all-MiniLM-L6-v2", "input": texts })).await;
    assert_eq!(status, StatusCode::OK);
    for (index, case) in cases.iter().enumerate() {
        let item = &answer["data"][index];
        assert_eq!(item["index"], index);
        let vector: Vec<f32> = serde_json::from_value(item["embedding"].clone()).unwrap();
        assert!(largest_difference(&vector, &case.embedding) < 1e-4);
    }
    assert_eq!(answer["usage"]["total_tokens"], 9 + 3 + 12);
}

#[tokio::test]
async fn one_request_too_many_is_told_to_come_back() {
    let app = app(&["--max-in-flight", "1"]);
    let body = json!({ "model": "all-MiniLM-L6-v2", "input": "a" });
    let ((first, _), (second, error)) = tokio::join!(post(app.clone(), body.clone()), post(app.clone(), body.clone()));
    assert_eq!((first, second), (StatusCode::OK, StatusCode::TOO_MANY_REQUESTS), "{error}");
    assert_eq!(post(app, body).await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_is_computed_and_what_waits_shows_in_the_metrics() {
    let app = app(&[]);
    let body = json!({ "model": "all-MiniLM-L6-v2", "input": vec!["some words to compute"; 64] });
    let (first, second, during) =
        tokio::join!(post(app.clone(), body.clone()), post(app.clone(), body), metrics(app.clone()));
    assert_eq!((first.0, second.0), (StatusCode::OK, StatusCode::OK));
    let shows = |text: &str, line: &str| assert!(text.lines().any(|found| found == line), "{line} in {text}");
    shows(&during, "inference_requests_in_flight 1");
    shows(&during, "inference_requests_queued 1");
    let after = metrics(app).await;
    shows(&after, "inference_requests_in_flight 0");
    shows(&after, "inference_requests_queued 0");
    shows(&after, "inference_requests_total{code=\"200\"} 2");
}

async fn metrics(app: Router) -> String {
    let response = app.oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}
