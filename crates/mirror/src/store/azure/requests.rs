//! How a request is signed and sent, and what its failure becomes.

use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::request::Builder;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use super::classify::classify;
use super::{AzureStore, names};
use crate::store::credentials::exchange;
use crate::store::http::{Answer, Chunks, Failure, encoded, query};
use crate::{StoreError, StoreErrorKind};

/// Knows blocks of 4,000 MiB and what came before.
const VERSION: HeaderValue = HeaderValue::from_static("2021-12-02");

impl AzureStore {
    /// The URL of a blob, with a query or none. Slashes are encoded too, as Azure's own clients may do: so no `..` or `//` in a
    /// key is a path to anybody on the way.
    pub(super) fn blob(&self, key: &str, parameters: &[(&str, &str)]) -> String {
        let name = encoded(&format!("{}{key}", self.location.prefix));
        let separator = if parameters.is_empty() { "" } else { "?" };
        format!("{}/{name}{separator}{}", self.container, query(parameters))
    }

    /// Refuses a key that Azure cannot hold.
    pub(super) fn check(&self, action: &str, key: &str) -> Result<(), StoreError> {
        let name = format!("{}{key}", self.location.prefix);
        names::check(&name).map_err(|detail| self.place.error(StoreErrorKind::Rejected, action, detail))
    }

    /// One attempt of a request; an answer that is none of success is an error.
    pub(super) async fn ask(&self, action: &str, request: Builder, body: Chunks) -> Result<Answer, StoreError> {
        let attempt = async {
            let send = |request| self.http.succeed_within(Duration::ZERO, request, failure);
            exchange(&self.signer, ready(request, body)?, None, send).await
        };
        attempt.await.map_err(self.failed(action))
    }

    /// One attempt of a request whose answer is read as it comes.
    pub(super) async fn open(&self, action: &str, request: Builder) -> Result<Response<Incoming>, StoreError> {
        let attempt = async {
            exchange(&self.signer, ready(request, Chunks::default())?, None, |request| {
                self.http.open_success(request, failure)
            })
            .await
        };
        attempt.await.map_err(self.failed(action))
    }

    pub(super) fn failed(&self, action: &str) -> impl Fn(Failure) -> StoreError {
        move |failure| failure.expired_is_refused().at(&self.place, action)
    }
}

/// The request, ready to be signed.
pub(super) fn ready(request: Builder, body: Chunks) -> Result<Request<Chunks>, Failure> {
    let rejected = |error: http::Error| Failure::new(StoreErrorKind::Rejected, error.to_string());
    let mut request = request.header("x-ms-version", VERSION).body(body).map_err(rejected)?;
    // The length is signed, so it has to be there before.
    if request.method() == Method::PUT {
        let length = request.body().len();
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    Ok(request)
}

pub(super) fn failure(answer: &Answer) -> Failure {
    classify(answer.status, &answer.headers, &answer.body).with(&answer.headers)
}
