//! Answers as an API server gives them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What a request gets instead of an object.
#[derive(Debug)]
pub(super) struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into() }
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("{what} not found"))
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// As a `Status` object.
    pub(super) fn status(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "code": self.code.as_u16(), "reason": self.reason, "message": self.message,
        })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        respond(self.code, &self.status())
    }
}

/// A JSON answer.
pub(super) fn respond(code: StatusCode, body: &Value) -> Response {
    (code, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// A stream of JSON lines.
pub(super) fn stream(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Whether whole objects are wanted, or their metadata only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    Metadata,
}

impl Form {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accept.contains("as=PartialObjectMetadata") { Self::Metadata } else { Self::Whole }
    }

    /// The object in this form.
    pub(super) fn of_object(self, object: &Arc<Value>) -> Arc<Value> {
        match self {
            Self::Whole => object.clone(),
            Self::Metadata => Arc::new(json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"],
            })),
        }
    }

    /// The version and kind of a list in this form.
    pub(super) fn of_list(self, kind: Option<(&str, &str)>) -> (String, String) {
        match (self, kind) {
            (Self::Metadata, _) => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned()),
            (Self::Whole, Some((kind, version))) => (version.to_owned(), format!("{kind}List")),
            (Self::Whole, None) => ("v1".to_owned(), "List".to_owned()),
        }
    }
}
