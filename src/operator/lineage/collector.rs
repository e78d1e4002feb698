//! Who collects events, over HTTP.

use std::str::FromStr;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// Where OpenLineage's own clients send events, below the collector's URL.
const PATH: &str = "/api/v1/lineage";
/// What is read of an answer.
const LONGEST_ANSWER: usize = 16 * 1024;
/// What is told of it, in bytes.
const LONGEST_TOLD: usize = 200;

/// Where events are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CollectorUrl(Uri);

impl FromStr for CollectorUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.starts_with("http://") && !text.starts_with("https://") {
            return Err("it must start with http:// or https://".to_owned());
        }
        // They may be secrets, and would be shown in messages.
        if text.contains(['?', '#', '@']) {
            return Err(
                "it must not have a user, a query or a fragment; a key goes into OPENLINEAGE_API_KEY".to_owned()
            );
        }
        let base = text.trim_end_matches('/');
        let base = base.strip_suffix(PATH).unwrap_or(base);
        format!("{base}{PATH}").parse().map(Self).map_err(|error| format!("it is no URL: {error}"))
    }
}

/// How long one event is worth being sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For an answer.
    pub(super) attempt: Duration,
    /// Before the second attempt; each further one waits twice as long.
    pub(super) first_delay: Duration,
    /// After the first one.
    pub(super) attempts: usize,
}

impl Default for Patience {
    /// A minute at most, all in all.
    fn default() -> Self {
        Self { attempt: Duration::from_secs(5), first_delay: Duration::from_millis(500), attempts: 5 }
    }
}

/// Why an event was not taken.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: String,
    /// Whether it may be taken later.
    is_passing: bool,
}

/// Sends events to a collector.
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    authorization: Option<HeaderValue>,
    patience: Patience,
}

impl Collector {
    /// The error says why nothing can be sent at all. It does not show the key.
    pub(super) fn new(
        CollectorUrl(url): CollectorUrl,
        api_key: Option<&str>,
        patience: Patience,
    ) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(patience.attempt));
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|error| format!("cannot load the certificates that the system trusts: {error}"))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let authorization = api_key.map(bearer).transpose()?;
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(tls), url, authorization, patience })
    }

    /// Sends an event, again and again as far as that makes sense.
    pub(super) async fn send(&self, event: Bytes) -> Result<(), Refused> {
        let Patience { first_delay, attempts, .. } = self.patience;
        let delays = ExponentialBuilder::default().with_min_delay(first_delay).with_max_times(attempts).with_jitter();
        (|| self.attempt(event.clone())).retry(delays).when(|refused: &Refused| refused.is_passing).await
    }

    async fn attempt(&self, event: Bytes) -> Result<(), Refused> {
        let passing = |reason: String| Refused { reason, is_passing: true };
        match timeout(self.patience.attempt, self.exchange(event)).await {
            Ok(Ok(status)) if status.0.is_success() => Ok(()),
            Ok(Ok((status, said))) => {
                let is_passing = status.is_server_error()
                    || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
                Err(Refused { reason: format!("HTTP status {status} {said}").trim_end().to_owned(), is_passing })
            }
            Ok(Err(error)) => Err(passing(error)),
            Err(_) => Err(passing(format!("no answer within {:?}", self.patience.attempt))),
        }
    }

    /// The status, and what was said of it.
    async fn exchange(&self, event: Bytes) -> Result<(StatusCode, String), String> {
        let mut request = Request::post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let request = request.body(Full::new(event)).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| chain(&error))?;
        let status = response.status();
        // How an answer ends that was a refusal or was not, changes nothing.
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let said = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        Ok((status, said[..said.floor_char_boundary(LONGEST_TOLD)].to_owned()))
    }
}

fn bearer(api_key: &str) -> Result<HeaderValue, String> {
    let invalid = |_| "OPENLINEAGE_API_KEY has characters that no HTTP header can have".to_owned();
    let mut value = HeaderValue::from_str(&format!("Bearer {}", api_key.trim())).map_err(invalid)?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::CollectorUrl;

    #[test]
    fn the_path_is_openlineage_s_and_no_secret_is_in_the_url() {
        for text in ["http://m:5000", "http://m:5000/", "http://m:5000/api/v1/lineage"] {
            assert_eq!(text.parse::<CollectorUrl>().unwrap().0, "http://m:5000/api/v1/lineage", "{text}");
        }
        let below = "https://h/openlineage".parse::<CollectorUrl>().unwrap();
        assert_eq!(below.0, "https://h/openlineage/api/v1/lineage");
        for text in ["", "m:5000", "ftp://m", "https://u:p@m", "https://m?key=1", "http://"] {
            assert!(text.parse::<CollectorUrl>().is_err(), "{text}");
        }
    }
}
