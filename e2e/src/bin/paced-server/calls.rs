//! Calls of gRPC: one that gets back what it sent, one that gets it back again and again at the set pace, and whether the server is well.
//! What the messages say is nothing to it.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use futures::{Stream, StreamExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Of the first field, `status`: `SERVING`.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 0x08, 1];
/// Messages of a stream.
const MESSAGES: usize = 5;

/// Where calls go, with the pace of streams.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(between: Duration) -> Router<S> {
    Router::new()
        .route("/inference.GRPCInferenceService/ModelInfer", post(async |asked: Bytes| answer(once(asked))))
        .route(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            post(async move |asked: Bytes| answer(again(asked, between))),
        )
        .route("/grpc.health.v1.Health/Check", post(async || answer(once(Bytes::from_static(SERVING)))))
}

fn once(message: Bytes) -> impl Stream<Item = Bytes> {
    stream::iter([message])
}

fn again(message: Bytes, between: Duration) -> impl Stream<Item = Bytes> {
    stream::repeat(message).take(MESSAGES).then(move |message| async move {
        tokio::time::sleep(between).await;
        message
    })
}

fn answer(messages: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let good = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let frames = messages.map(Frame::data).chain(stream::iter([Frame::trailers(good)]));
    let body = Body::new(StreamBody::new(frames.map(Ok::<_, Infallible>)));
    ([(CONTENT_TYPE, "application/grpc")], body).into_response()
}
