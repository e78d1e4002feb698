//! Calls of gRPC, which are HTTP/2 with trailers on both sides of the server.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, client, server};
use hyper_util::rt::{TokioExecutor, TokioIo};
use skyfleet_gateway::config::Protocol;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::server::Server;
use crate::balancer::{Balancer, LONG};
use crate::replica::Replica;
use crate::routes::{HOST, to};

/// Answers a call with its own message, and with its status at the end.
async fn answer(
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let message = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let frames = [Ok(Frame::data(message)), Ok(Frame::trailers(trailers))];
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(response.body(StreamBody::new(stream::iter(frames))).unwrap())
}

async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(connection.serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_its_status_at_its_end() {
    let (apache, mut replica) = (Server::start().await, Replica::start("a"));
    replica.crash().await;
    let serving = tokio::spawn(serve(TcpListener::bind(replica.address).await.unwrap()));
    let mut config = to(&[&replica]);
    config.routes[0].protocol = Protocol::Http2;
    apache.settle(&config).await;
    let stream = TcpStream::connect(apache.address()).await.unwrap();
    let (mut sender, connection) =
        client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{HOST}/inference.GRPCInferenceService/ServerLive"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let asked = sender.send_request(request.body(Full::new(Bytes::from_static(b"\0\0\0\0\0"))).unwrap());
    let answer = timeout(LONG, asked).await.unwrap().unwrap();
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    let body = timeout(LONG, answer.into_body().collect()).await.unwrap().unwrap();
    assert_eq!(body.trailers().map(|all| &all["grpc-status"]).and_then(|status| status.to_str().ok()), Some("0"));
    assert_eq!(body.to_bytes(), b"\0\0\0\0\0"[..]);
    serving.abort();
}
