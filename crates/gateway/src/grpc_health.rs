//! The call by which servers of gRPC are asked whether they are well: `grpc.health.v1.Health/Check`
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, TE};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::body::RequestBody;
use crate::grpc::GRPC_STATUS;
use crate::health::Unwell;

const METHOD: &str = "/grpc.health.v1.Health/Check";
/// Of the server as a whole: a message without a field, not compressed.
const WHOLE: [u8; 5] = [0; 5];
/// The first field of the answer, `status`, is 1: `SERVING`.
const SERVING: [u8; 7] = [0, 0, 0, 0, 2, 0x08, 1];
/// An answer has a few bytes.
const MOST_BYTES: usize = 1024;

/// Asks for the server as a whole.
pub(crate) fn check(host: String) -> Result<Request<RequestBody>, Unwell> {
    let call = Request::post(METHOD).header(HOST, host);
    let call = call.header(CONTENT_TYPE, "application/grpc").header(TE, "trailers");
    call.body(RequestBody::Whole(Some(Bytes::from_static(&WHOLE)))).map_err(Unwell::Address)
}

/// Whether this is the answer of one that serves.
pub(crate) async fn is_serving(response: Response<Incoming>) -> Result<(), Unwell> {
    if !response.status().is_success() {
        return Err(Unwell::Status(response.status()));
    }
    let status = |headers: &HeaderMap| {
        headers.get(GRPC_STATUS).map(|status| String::from_utf8_lossy(status.as_bytes()).into_owned())
    };
    let at_once = status(response.headers());
    let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
    let body = body.map_err(|error| Unwell::NotServing(error.to_string()))?;
    let status = at_once.or_else(|| body.trailers().and_then(status)).unwrap_or_else(|| "no status".to_owned());
    match (status.as_str(), body.to_bytes() == SERVING.as_slice()) {
        ("0", true) => Ok(()),
        ("0", false) => Err(Unwell::NotServing("NOT_SERVING".to_owned())),
        _ => Err(Unwell::NotServing(format!("grpc-status {status}"))),
    }
}
