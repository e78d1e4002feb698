use bytes::Bytes;
use http::{Request, Response, StatusCode};
use reqsign_core::{Context, Error, HttpSend, OsEnv};
use serde::Deserialize;

use super::{TokenError, TokenSource};
use crate::store::http::Http;

/// The token services of Azure and Google, whose refusals are told: without, nobody could say what is wrong with a trust.
#[derive(Debug)]
pub(crate) struct TokenService(Http);

impl TokenService {
    pub(crate) fn new(http: &Http) -> Self {
        Self(http.clone())
    }

    /// For the crates that speak to token services. No file is read, and no program is run, for what somebody else named.
    pub(crate) fn context(http: &Http) -> Context {
        Context::new().with_env(OsEnv).with_http_send(Self::new(http))
    }

    /// A token to exchange.
    pub(crate) async fn subject(tokens: &dyn TokenSource) -> reqsign_core::Result<String> {
        tokens.token().await.map_err(|error| match error {
            TokenError::Unavailable(said) => Error::unexpected(said).set_retryable(true),
            TokenError::Refused(said) => Error::credential_invalid(said),
        })
    }
}

impl HttpSend for TokenService {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let service = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let response = self.0.http_send(request).await?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(&service, &response)) }
    }
}

/// What OAuth 2 (RFC 6749, section 5.2) and Google's APIs say of a refusal.
#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: Code,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Code {
    Text(String),
    Object {
        #[serde(default)]
        message: String,
    },
}

impl Default for Code {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

fn refusal(service: &str, response: &Response<Bytes>) -> Error {
    let status = response.status();
    let Refusal { error: Code::Text(said) | Code::Object { message: said }, error_description } =
        serde_json::from_slice(response.body()).unwrap_or_default();
    // Entra's other lines name the request, for its support.
    let description = error_description.lines().next().unwrap_or_default();
    let words: Vec<_> = [said.as_str(), description].into_iter().filter(|word| !word.is_empty()).collect();
    let said = if words.is_empty() { String::new() } else { format!(": {}", words.join(": ")) };
    let text = format!("the token service {service} answered {}{said}", status.as_u16());
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Error::unexpected(text).set_retryable(true)
    } else {
        Error::credential_invalid(text)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Response;

    use super::refusal;

    #[test]
    fn a_refusal_says_what_the_service_said() {
        let entra =
            r#"{"error":"invalid_client","error_description":"AADSTS70021: No matching record.\r\nTrace ID: 1"}"#;
        let google = r#"{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}"#;
        for (status, body, said, passing) in [
            (401, entra, "the token service h answered 401: invalid_client: AADSTS70021: No matching record.", false),
            (403, google, "the token service h answered 403: Permission denied", false),
            (503, "<html>", "the token service h answered 503", true),
            (429, "", "the token service h answered 429", true),
        ] {
            let mut response = Response::new(Bytes::from_static(body.as_bytes()));
            *response.status_mut() = status.try_into().unwrap();
            let error = refusal("h", &response);
            assert_eq!((error.to_string().as_str(), error.is_retryable()), (said, passing));
        }
    }
}
