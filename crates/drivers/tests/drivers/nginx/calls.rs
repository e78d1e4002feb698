//! Calls of gRPC, from end to end by HTTP/2.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use skyfleet_gateway::config::{Config, Protocol, RouteConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::Running;
use super::raw::to_server;
use crate::balancer::{Balancer as _, LONG};
use crate::port::reserve;
use crate::routes::HOST;

type Frames = UnboundedReceiver<Frame<Bytes>>;

fn body(frames: Frames) -> impl hyper::body::Body<Data = Bytes, Error = Infallible> {
    let next = async |mut frames: Frames| frames.recv().await.map(|frame| (Ok(frame), frames));
    StreamBody::new(Box::pin(futures::stream::unfold(frames, next)))
}

/// Sends each message back as it comes, and a status at the end.
async fn echo(
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let host = request.uri().authority().map(ToString::to_string);
    let host = host.or_else(|| Some(request.headers().get("host")?.to_str().unwrap().to_owned()));
    let asked = format!("{} {}", host.unwrap_or_default(), request.uri().path_and_query().unwrap());
    let (sender, frames) = unbounded_channel();
    tokio::spawn(async move {
        let mut messages = request.into_body();
        while let Some(Ok(frame)) = messages.frame().await {
            if let Ok(message) = frame.into_data()
                && !message.is_empty()
            {
                sender.send(Frame::data(message)).unwrap();
            }
        }
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        sender.send(Frame::trailers(trailers)).unwrap();
    });
    Ok(Response::builder()
        .header("content-type", "application/grpc")
        .header("x-asked", asked)
        .body(body(frames))
        .unwrap())
}

async fn serve(listener: TcpListener) {
    loop {
        let stream = TokioIo::new(listener.accept().await.unwrap().0);
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(server.serve_connection(stream, service_fn(echo)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_stream_and_trailers_arrive() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, front) = (listener.local_addr().unwrap().port(), reserve());
    let server = tokio::spawn(serve(listener));
    let of_http = format!("server {{ listen {front} http2; include skyfleet/server*.conf; }}");
    let running = Running::with(&of_http, "").await;
    let route = RouteConfig { protocol: Protocol::Http2, ..to_server("127.0.0.1", port) };
    running.settle(&Config { routes: vec![route] }).await;
    timeout(LONG, call(front)).await.expect("an answered call");
    server.abort();
}

async fn call(front: std::net::SocketAddr) {
    let stream = TokioIo::new(TcpStream::connect(front).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let (sender, frames) = unbounded_channel();
    let uri = format!("http://{HOST}/inference.GRPCInferenceService/ModelStreamInfer");
    let request = Request::post(uri).header("te", "trailers").header("content-type", "application/grpc");
    let answer = client.send_request(request.body(body(frames)).unwrap());
    sender.send(Frame::data(Bytes::from("one"))).unwrap();
    let mut answer = answer.await.unwrap();
    let asked = answer.headers()["x-asked"].to_str().unwrap();
    assert_eq!(asked, format!("{HOST} /inference.GRPCInferenceService/ModelStreamInfer"));
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    // The second message is sent when the first one has come back.
    sender.send(Frame::data(Bytes::from("two"))).unwrap();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    drop(sender);
    let trailers = answer.into_body().collect().await.unwrap().trailers().cloned().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}
