//! How a request is signed and sent, and what its failure becomes.

use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::request::Builder;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::S3Store;
use super::classify::classify;
use crate::store::credentials::exchange;
use crate::store::http::{Answer, Chunks, Failure, encoded_path, query};
use crate::{Checksum, Payload, StoreError, StoreErrorKind};

impl S3Store {
    /// The URL of an object, with a query or none.
    pub(super) fn object(&self, key: &str, parameters: &[(&str, &str)]) -> String {
        let key = encoded_path(&format!("{}{key}", self.location.prefix));
        let separator = if parameters.is_empty() { "" } else { "?" };
        format!("{}/{key}{separator}{}", self.bucket, query(parameters))
    }

    /// The URL of the bucket, with a query.
    pub(super) fn bucket(&self, parameters: &[(&str, &str)]) -> String {
        // Where the bucket is in the host's name, it is the path that is empty.
        format!("{}/?{}", self.bucket, query(parameters))
    }

    /// One attempt of a request; an answer that is none of success is an error.
    pub(super) async fn ask(
        &self,
        action: &str,
        request: Builder,
        body: Option<Payload>,
    ) -> Result<Answer, StoreError> {
        self.ask_within(Duration::ZERO, action, request, body).await
    }

    /// As [`Self::ask`], with so much time more for an answer.
    pub(super) async fn ask_within(
        &self,
        more: Duration,
        action: &str,
        request: Builder,
        body: Option<Payload>,
    ) -> Result<Answer, StoreError> {
        let attempt = async {
            let (request, content) = ready(request, body)?;
            let send = |request| self.http.succeed_within(more, request, failure);
            exchange(&self.signer, request, content, send).await
        };
        attempt.await.map_err(self.failed(action))
    }

    /// One attempt of a request whose answer is read as it comes.
    pub(super) async fn open(&self, action: &str, request: Builder) -> Result<Response<Incoming>, StoreError> {
        let attempt = async {
            let (request, content) = ready(request, None)?;
            exchange(&self.signer, request, content, |request| self.http.open_success(request, failure)).await
        };
        attempt.await.map_err(self.failed(action))
    }

    pub(super) fn failed(&self, action: &str) -> impl Fn(Failure) -> StoreError {
        move |failure| failure.at(&self.place, action)
    }

    /// The error in an answer that began as one of success.
    pub(super) fn failed_after_all(&self, action: &str, answer: &Answer) -> StoreError {
        self.failed(action)(classify(StatusCode::INTERNAL_SERVER_ERROR, &answer.headers, &answer.body))
    }

    pub(super) fn protocol(&self, action: &str, detail: impl Into<String>) -> StoreError {
        self.place.error(StoreErrorKind::Protocol, action, detail)
    }
}

/// The request and the checksum of its content, ready to be signed.
fn ready(request: Builder, body: Option<Payload>) -> Result<(Request<Chunks>, Option<Checksum>), Failure> {
    let rejected = |error: http::Error| Failure::new(StoreErrorKind::Rejected, error.to_string());
    let content = body.as_ref().map(Payload::checksum);
    let body = body.map(Payload::into_chunks).unwrap_or_default();
    let length = body.len();
    let mut request = request.body(body).map_err(rejected)?;
    // An empty body would go without one.
    if matches!(*request.method(), Method::PUT | Method::POST) {
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    Ok((request, content))
}

pub(super) fn failure(answer: &Answer) -> Failure {
    classify(answer.status, &answer.headers, &answer.body).with(&answer.headers)
}
