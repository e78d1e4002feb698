//! The wire format: OpenAI's embeddings API, its errors included.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::embedder::Embedding;

/// Most texts in one request.
pub const MAX_TEXTS: usize = 64;

/// How a vector is written into the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// A list of JSON numbers.
    #[default]
    Float,
    /// Little-endian 32-bit floats in base64: what OpenAI's own clients ask for.
    Base64,
}

/// The body of `POST /v1/embeddings`.
#[derive(Debug, Deserialize)]
pub struct EmbeddingsRequest {
    /// Name of the model.
    pub model: String,
    /// A string or a list of strings; kept as it came, because the error of an untagged enum tells a client nothing.
    pub input: Value,
    /// How vectors are written.
    #[serde(default)]
    pub encoding_format: EncodingFormat,
    /// Not supported: the model has one size.
    pub dimensions: Option<u32>,
}

/// What is wrong with a request, or with the server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ApiError {
    /// The body is no such request: axum's own status and words.
    #[error("{message}")]
    Body {
        /// 400, 413, 415 or 422.
        status: StatusCode,
        /// What was wrong with the body.
        message: String,
    },
    /// `input` is neither text nor a list of texts.
    #[error("input must be a string or a list of strings; {0}")]
    Input(String),
    /// Too many texts at once.
    #[error("input holds {0} texts; at most {MAX_TEXTS} are taken in one request: send several")]
    TooMany(usize),
    /// Another model.
    #[error("model {asked:?} is not served here; this server serves {served:?}")]
    UnknownModel {
        /// The name in the request.
        asked: String,
        /// The name of this server's model.
        served: String,
    },
    /// Vectors of another size were asked for.
    #[error("dimensions is not supported: the model's vectors have one size; leave it out")]
    Dimensions,
    /// The queue is full.
    #[error("too many requests in flight; try again in a second")]
    Overloaded,
    /// The model is not loaded yet.
    #[error("the model is still loading; /readyz says when it is there")]
    Loading,
    /// The server was started to fail now and then.
    #[error("this server fails on purpose: it was started with --fail-percent")]
    OnPurpose,
    /// The computation failed: the cause is in the log, not in the answer.
    #[error("the model failed to answer; the server's log says why")]
    Internal,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Body { status, .. } => *status,
            Self::Input(_) | Self::TooMany(_) | Self::Dimensions => StatusCode::BAD_REQUEST,
            Self::UnknownModel { .. } => StatusCode::NOT_FOUND,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::Loading => StatusCode::SERVICE_UNAVAILABLE,
            Self::OnPurpose | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    message: String,
    r#type: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
        let body = json!({ "error": ErrorBody { message: self.to_string(), r#type: kind } });
        let mut response = (status, Json(body)).into_response();
        if matches!(self, Self::Overloaded | Self::Loading) {
            response.headers_mut().insert("retry-after", axum::http::HeaderValue::from_static("1"));
        }
        response
    }
}

impl EmbeddingsRequest {
    /// The texts to embed, after every check that needs no model.
    ///
    /// # Errors
    /// When the request asks for another model or size, or `input` is not 1 to [`MAX_TEXTS`] non-empty texts.
    pub fn texts(self, served: &str) -> Result<Vec<String>, ApiError> {
        if self.model != served {
            return Err(ApiError::UnknownModel { asked: self.model, served: served.to_owned() });
        }
        if self.dimensions.is_some() {
            return Err(ApiError::Dimensions);
        }
        let items = match self.input {
            Value::Array(items) => items,
            single => vec![single],
        };
        if items.is_empty() {
            return Err(ApiError::Input("the list is empty".into()));
        }
        if items.len() > MAX_TEXTS {
            return Err(ApiError::TooMany(items.len()));
        }
        items.into_iter().enumerate().map(text).collect()
    }
}

fn text((index, item): (usize, Value)) -> Result<String, ApiError> {
    match item {
        Value::String(text) if text.is_empty() => Err(ApiError::Input(format!("text {index} is empty"))),
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Array(_) => {
            Err(ApiError::Input(format!("item {index} holds token ids, which are not taken")))
        }
        _ => Err(ApiError::Input(format!("item {index} is no string"))),
    }
}

/// The response to `POST /v1/embeddings`.
#[derive(Debug, Serialize)]
pub struct EmbeddingsResponse {
    object: &'static str,
    model: String,
    data: Vec<Item>,
    usage: Usage,
}

#[derive(Debug, Serialize)]
struct Item {
    object: &'static str,
    index: usize,
    embedding: Encoded,
}

#[derive(Debug, Serialize, PartialEq)]
#[serde(untagged)]
enum Encoded {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

impl EmbeddingsResponse {
    /// The response that carries `embeddings`, in their order.
    #[must_use]
    pub fn new(model: &str, embeddings: Vec<Embedding>, format: EncodingFormat) -> Self {
        let tokens = embeddings.iter().map(|e| e.tokens).sum();
        let data = embeddings
            .into_iter()
            .enumerate()
            .map(|(index, e)| Item { object: "embedding", index, embedding: encode(e.vector, format) })
            .collect();
        Self {
            object: "list",
            model: model.to_owned(),
            data,
            usage: Usage { prompt_tokens: tokens, total_tokens: tokens },
        }
    }
}

fn encode(vector: Vec<f32>, format: EncodingFormat) -> Encoded {
    match format {
        EncodingFormat::Float => Encoded::Float(vector),
        EncodingFormat::Base64 => {
            let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
            Encoded::Base64(STANDARD.encode(bytes))
        }
    }
}

/// The response to `GET /v1/models`: the one model.
#[must_use]
pub fn models_response(model: &str) -> Value {
    json!({ "object": "list", "data": [{ "id": model, "object": "model", "owned_by": "skyfleet-example" }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: Value) -> Result<Vec<String>, ApiError> {
        serde_json::from_value::<EmbeddingsRequest>(body).unwrap().texts("m")
    }

    #[test]
    fn a_string_and_a_list_are_taken() {
        assert_eq!(texts(json!({"model": "m", "input": "a"})).unwrap(), ["a"]);
        assert_eq!(texts(json!({"model": "m", "input": ["a", "b"]})).unwrap(), ["a", "b"]);
    }

    #[test]
    fn bad_input_is_refused_with_its_place() {
        let cases = [
            (json!([]), "the list is empty"),
            (json!(["a", ""]), "text 1 is empty"),
            (json!([1, 2]), "item 0 holds token ids"),
            (json!([[1, 2]]), "item 0 holds token ids"),
            (json!(null), "item 0 is no string"),
            (json!({"text": "a"}), "item 0 is no string"),
        ];
        for (input, expected) in cases {
            let message = texts(json!({"model": "m", "input": input})).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(texts(json!({"model": "m", "input": vec!["a"; 65]})), Err(ApiError::TooMany(65)));
    }

    #[test]
    fn another_model_or_size_is_refused() {
        let error = texts(json!({"model": "gpt", "input": "a"})).unwrap_err();
        assert_eq!(error.status(), StatusCode::NOT_FOUND);
        assert_eq!(texts(json!({"model": "m", "input": "a", "dimensions": 8})), Err(ApiError::Dimensions));
    }

    #[test]
    fn base64_holds_little_endian_floats() {
        assert_eq!(encode(vec![1.0, -2.0], EncodingFormat::Base64), Encoded::Base64("AACAPwAAAMA=".into()));
    }
}
