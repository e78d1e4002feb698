//! A client of gRPC: calls over HTTP/2, with messages that are text.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What all calls begin with.
pub(super) const SERVICE: &str = "/inference.GRPCInferenceService";
/// Far more than a call may take.
const LIMIT: Duration = Duration::from_mins(1);

/// A connection that calls go over.
pub(super) struct Calls(SendRequest<Full<Bytes>>);

impl Calls {
    pub(super) async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Calls a method with one message. What comes back, message by message, if all went well.
    pub(super) async fn call(&mut self, method: &str, said: &str) -> Result<Vec<String>, String> {
        timeout(LIMIT, self.answer(method, said)).await.map_err(|_| format!("no end within {LIMIT:?}"))?
    }

    async fn answer(&mut self, method: &str, said: &str) -> Result<Vec<String>, String> {
        let request = Request::post(format!("http://models.test{SERVICE}/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(message(said)))
            .unwrap();
        let answer = self.0.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?;
        let trailers = body.trailers().cloned().unwrap_or(head.headers);
        match trailers.get("grpc-status") {
            Some(status) if status == "0" => Ok(texts(body.to_bytes())),
            _ => Err(format!("{}: {trailers:?}", head.status)),
        }
    }
}

fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat().into()
}

fn texts(mut data: Bytes) -> Vec<String> {
    let mut texts = Vec::new();
    while data.has_remaining() {
        assert_eq!(data.get_u8(), 0, "it is not compressed");
        let length = data.get_u32().try_into().unwrap();
        texts.push(String::from_utf8(data.split_to(length).to_vec()).unwrap());
    }
    texts
}
