//! How a request is signed and sent, and what its failure becomes.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::request::Builder;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use super::classify::classify;
use super::resource::{OBJECT_FIELDS, Resource, WRITTEN_FIELDS, crc32c};
use super::{GcsStore, names};
use crate::store::credentials::exchange;
use crate::store::http::{Answer, Chunks, Failure, encoded, query};
use crate::{Attributes, Condition, Payload, StoreError, StoreErrorKind, Written};

impl GcsStore {
    /// The whole name of an object.
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.location.prefix)
    }

    /// The URL of an object. `then` is what follows the name, such as a query.
    pub(super) fn object(&self, key: &str, then: &str) -> String {
        format!("{}/storage/v1/b/{}/o/{}{then}", self.endpoint, self.location.bucket, encoded(&self.name(key)))
    }

    /// The URL of the bucket.
    pub(super) fn bucket(&self, then: &str) -> String {
        format!("{}/storage/v1/b/{}{then}", self.endpoint, self.location.bucket)
    }

    /// Refuses a key that Google cannot hold.
    pub(super) fn check(&self, action: &str, key: &str) -> Result<(), StoreError> {
        names::check(&self.name(key)).map_err(|detail| self.place.error(StoreErrorKind::Rejected, action, detail))
    }

    /// One attempt to write an object in one request; Google refuses a content that does not fit `crc32c`. Gives the generation.
    pub(super) async fn insert(
        &self,
        action: &str,
        upload: &Insert<'_>,
        conditions: &[(&str, &str)],
    ) -> Result<Written, StoreError> {
        let parameters = [&[("uploadType", "multipart"), ("fields", WRITTEN_FIELDS)], conditions].concat();
        let bucket = &self.location.bucket;
        let url = format!("{}/upload/storage/v1/b/{bucket}/o?{}", self.endpoint, query(&parameters));
        let attempt = async {
            let name = self.name(upload.key);
            let mut resource = Resource::of(upload.attributes);
            (resource.name, resource.crc32c) = (name, Some(upload.crc32c.clone()));
            let (content_type, body) = multipart(&resource, upload)?;
            let request = Request::post(url).header("content-type", content_type);
            let answer = self.ask_for(request, body).await.map_err(without_bucket)?;
            let written = Resource::read(&answer.body).and_then(|resource| resource.written());
            written.map_err(|detail| Failure::new(StoreErrorKind::Protocol, detail))
        };
        attempt.await.map_err(self.failed(action))
    }

    /// One attempt of a request; an answer that is none of success is an error.
    pub(super) async fn ask(&self, action: &str, request: Builder, body: Bytes) -> Result<Answer, StoreError> {
        self.ask_for(request, body.into()).await.map_err(self.failed(action))
    }

    /// As [`Self::ask`], about the bucket: what is not found is the bucket.
    pub(super) async fn ask_bucket(&self, action: &str, url: &str) -> Result<Answer, StoreError> {
        let answer = self.ask_for(Request::get(url), Chunks::default()).await;
        answer.map_err(without_bucket).map_err(self.failed(action))
    }

    async fn ask_for(&self, request: Builder, body: Chunks) -> Result<Answer, Failure> {
        let send = |request| self.http.succeed_within(Duration::ZERO, request, failure);
        exchange(&self.signer, ready(request, body)?, None, send).await
    }

    /// One attempt of a request whose answer is read as it comes.
    pub(super) async fn open(&self, action: &str, request: Builder) -> Result<Response<Incoming>, StoreError> {
        let attempt = async {
            // Without it, Google decompresses what was stored compressed.
            let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            exchange(&self.signer, ready(request, Chunks::default())?, None, |request| {
                self.http.open_success(request, failure)
            })
            .await
        };
        attempt.await.map_err(self.failed(action))
    }

    /// What Google says about an object, or one generation of it.
    pub(super) async fn look(&self, action: &str, key: &str, generation: Option<&str>) -> Result<Resource, StoreError> {
        let mut parameters = vec![("fields", OBJECT_FIELDS)];
        parameters.extend(generation.map(|generation| ("generation", generation)));
        let url = self.object(key, &format!("?{}", query(&parameters)));
        let answer = self.ask(action, Request::get(url), Bytes::new()).await?;
        Resource::read(&answer.body).map_err(|detail| self.protocol(action, detail))
    }

    pub(super) fn failed(&self, action: &str) -> impl Fn(Failure) -> StoreError {
        move |failure| failure.expired_is_refused().at(&self.place, action)
    }

    pub(super) fn protocol(&self, action: &str, detail: impl Into<String>) -> StoreError {
        self.place.error(StoreErrorKind::Protocol, action, detail)
    }
}

/// The request, ready to be signed.
fn ready(request: Builder, body: Chunks) -> Result<Request<Chunks>, Failure> {
    let rejected = |error: http::Error| Failure::new(StoreErrorKind::Rejected, error.to_string());
    let mut request = request.body(body).map_err(rejected)?;
    if request.method() == Method::POST {
        let length = request.body().len();
        request.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    Ok(request)
}

/// An object that is written at once.
pub(super) struct Insert<'a> {
    pub(super) key: &'a str,
    pub(super) attributes: &'a Attributes,
    pub(super) body: Chunks,
    pub(super) crc32c: String,
}

impl<'a> Insert<'a> {
    pub(super) fn new(key: &'a str, attributes: &'a Attributes, payload: &Payload) -> Self {
        Self { key, attributes, crc32c: crc32c(payload), body: payload.clone().into_chunks() }
    }
}

fn failure(answer: &Answer) -> Failure {
    classify(answer.status, &answer.body).with(&answer.headers)
}

/// The parameter that says a condition. Generation 0 is that of no object.
pub(super) fn matching(condition: &Condition) -> Vec<(&'static str, &str)> {
    match condition {
        Condition::Any => Vec::new(),
        Condition::Absent => vec![("ifGenerationMatch", "0")],
        Condition::Version(generation) => vec![("ifGenerationMatch", generation)],
    }
}

/// A request that names no object finds no bucket when it finds nothing.
fn without_bucket(failure: Failure) -> Failure {
    match failure.kind {
        StoreErrorKind::NotFound => Failure { kind: StoreErrorKind::MissingBucket, ..failure },
        _ => failure,
    }
}

/// The object's description and its content in one body, and that body's type.
fn multipart(resource: &Resource, upload: &Insert<'_>) -> Result<(String, Chunks), Failure> {
    let rejected = |error: serde_json::Error| Failure::new(StoreErrorKind::Rejected, error.to_string());
    let description = serde_json::to_string(resource).map_err(rejected)?;
    // So long and so random that no content has it.
    let boundary = format!("{:032x}", fastrand::u128(..));
    let content_type = upload.attributes.content_type.as_deref().filter(|text| HeaderValue::from_str(text).is_ok());
    let before = format!(
        "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{description}\r\n--{boundary}\r\n\
         Content-Type: {}\r\n\r\n",
        content_type.unwrap_or("application/octet-stream")
    );
    let after = format!("\r\n--{boundary}--\r\n");
    let body = upload.body.clone().between(before.into(), after.into());
    Ok((format!("multipart/related; boundary={boundary}"), body))
}

#[cfg(test)]
mod tests {
    use super::matching;
    use crate::Condition;

    #[test]
    fn a_condition_is_a_generation() {
        assert_eq!(matching(&Condition::Any), []);
        assert_eq!(matching(&Condition::Absent), [("ifGenerationMatch", "0")]);
        assert_eq!(matching(&Condition::Version("17".to_owned())), [("ifGenerationMatch", "17")]);
    }
}
