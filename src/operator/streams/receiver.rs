//! `POST /notifications/NAMESPACE/BUCKET`: what clouds and programs send.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::Timestamp;
use skyfleet_stream::Notice;

use super::Streams;
use crate::operator::metrics::NoticeOutcome;

/// Larger than what any cloud sends at once (1 MiB).
const LARGEST: usize = 2 * 1024 * 1024;

/// Asked by Event Grid, before it sends cloud events: <https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md>.
const ASKING: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED: HeaderName = HeaderName::from_static("webhook-allowed-origin");

/// The streams of the operator that leads; none as long as another does.
pub(crate) type Leading = Arc<dyn Fn() -> Option<Arc<Streams>> + Send + Sync>;

/// What is served to those who tell of changes.
pub(crate) fn routes(leading: Leading) -> Router {
    Router::new()
        .route("/notifications/{namespace}/{bucket}", post(receive).options(allow))
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(leading)
}

async fn receive(
    State(leading): State<Leading>,
    Path(bucket): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let streams = match admitted(&leading, &bucket, query.as_deref(), &headers) {
        Ok(streams) => streams,
        Err(refusal) => return refusal.into_response(),
    };
    match Notice::parse(&body) {
        Ok(Notice::Changes(changes)) => {
            streams.tell(&bucket, &changes, Timestamp::now());
            (StatusCode::OK, format!("{} changes\n", changes.len())).into_response()
        }
        Ok(Notice::Validation(code)) => {
            let answer = serde_json::json!({"validationResponse": code}).to_string();
            ([(CONTENT_TYPE, "application/json")], answer).into_response()
        }
        Err(error) => {
            streams.metrics.notices(NoticeOutcome::Unreadable, 1);
            (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
        }
    }
}

async fn allow(
    State(leading): State<Leading>,
    Path(bucket): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = admitted(&leading, &bucket, query.as_deref(), &headers) {
        return refusal.into_response();
    }
    let Some(origin) = headers.get(ASKING).cloned() else {
        return (StatusCode::BAD_REQUEST, "the header WebHook-Request-Origin is missing\n").into_response();
    };
    ([(ALLOWED, origin)], "").into_response()
}

/// Why somebody may not tell now.
struct Refusal(StatusCode, &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, text) = self;
        let again = (status == StatusCode::SERVICE_UNAVAILABLE).then_some([(RETRY_AFTER, "1")]);
        (status, again, text).into_response()
    }
}

/// Who may tell; the others hear why not.
fn admitted(
    leading: &Leading,
    bucket: &(String, String),
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Arc<Streams>, Refusal> {
    let Some(streams) = leading() else {
        return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "this operator does not lead: send it again\n"));
    };
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let mut parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let parameter = parameters.find(|(name, _)| name == "token").map(|(_, token)| token.into_owned().into_bytes());
    let token = bearer.map(<[u8]>::to_vec).or(parameter);
    if streams.admits(bucket, token.as_deref()) {
        return Ok(streams);
    }
    streams.metrics.notices(NoticeOutcome::Refused, 1);
    // The same for a Bucket that is not there: nobody finds out by this which there are.
    let text = "no DatasetReplica in mode Stream reads such a Bucket, or this is not the token of the Secret that its \
                spec.notifications.webhook names: show that as Authorization: Bearer TOKEN or ?token=TOKEN\n";
    Err(Refusal(StatusCode::UNAUTHORIZED, text))
}
