//! Calls of gRPC, and replicas that answer them.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use skyfleet_gateway::config::{EndpointConfig, Protocol, RouteConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::running::{Running, everything};
use crate::service::{Body, Handler, Settings, empty, fed, handler};

pub const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
pub const LONG: Duration = Duration::from_secs(30);

pub async fn client(running: &Running) -> SendRequest<Body> {
    let stream = TcpStream::connect(running.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub fn call(body: Body) -> Request<Body> {
    Request::post(format!("http://models.example.com{INFER}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "30S")
        .body(body)
        .unwrap()
}

/// A message as gRPC frames it.
pub fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat().into()
}

pub fn trailers(status: &str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    Frame::trailers(trailers)
}

/// What a call ended with: the answer's data, and the status from its trailers or its headers.
pub async fn ended(answer: Response<Incoming>) -> (Bytes, String, String) {
    let (head, body) = answer.into_parts();
    assert_eq!(head.status, 200);
    let all = timeout(LONG, body.collect()).await.expect("it ends").unwrap();
    let trailers = all.trailers().cloned().unwrap_or(head.headers);
    let value = |name: &str| trailers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (all.to_bytes(), value("grpc-status"), value("grpc-message"))
}

pub async fn answered(client: &mut SendRequest<Body>, request: Request<Body>) -> Response<Incoming> {
    timeout(LONG, client.send_request(request)).await.expect("an answer").unwrap()
}

pub fn good(data: Bytes) -> Response<Body> {
    let (feed, body) = fed();
    feed.send(Frame::data(data)).unwrap();
    feed.send(trailers("0")).unwrap();
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

/// An answer that is nothing but its failure.
pub fn failed(status: &str) -> Response<Body> {
    let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", status);
    head.body(empty()).unwrap()
}

pub fn echo() -> Handler {
    handler(|_, request| async { good(request.into_body().collect().await.unwrap().to_bytes()) })
}

pub fn http2() -> Settings {
    Settings { is_http2: true, ..Settings::default() }
}

pub fn route(endpoints: Vec<EndpointConfig>) -> RouteConfig {
    RouteConfig { protocol: Protocol::Http2, ..everything(endpoints) }
}
