//! How a request is signed and sent, and what its failure becomes.

use http::header::CONTENT_LENGTH;
use http::request::Builder;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use super::classify::classify;
use super::{AzureStore, names};
use crate::http::{Answer, Chunks, Failure, encoded, query, unsigned};
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
            let answer = self.http.ask(self.signed(request, body).await?).await?;
            if answer.status.is_success() { Ok(answer) } else { Err(failure(&answer)) }
        };
        attempt.await.map_err(self.failed(action))
    }

    /// One attempt of a request whose answer is read as it comes.
    pub(super) async fn open(&self, action: &str, request: Builder) -> Result<Response<Incoming>, StoreError> {
        let attempt = async {
            let response = self.http.open(self.signed(request, Chunks::default()).await?).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            Err(failure(&self.http.finish(response).await?))
        };
        attempt.await.map_err(self.failed(action))
    }

    pub(super) fn failed(&self, action: &str) -> impl Fn(Failure) -> StoreError {
        move |failure| failure.at(&self.place, action)
    }

    async fn signed(&self, request: Builder, body: Chunks) -> Result<Request<Chunks>, Failure> {
        let rejected = |error: http::Error| Failure::new(StoreErrorKind::Rejected, error.to_string());
        let request = request.header("x-ms-version", VERSION).body(body).map_err(rejected)?;
        let (mut head, body) = request.into_parts();
        // The length is signed, so it has to be there before.
        if head.method == Method::PUT {
            head.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        if let Some(signer) = &self.signer {
            signer.sign(&mut head, None).await.map_err(|error| unsigned(&error, self.given))?;
        }
        Ok(Request::from_parts(head, body))
    }
}

fn failure(answer: &Answer) -> Failure {
    classify(answer.status, &answer.headers, &answer.body).with(&answer.headers)
}
