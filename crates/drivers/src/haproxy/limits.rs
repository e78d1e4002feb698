//! What is let through: pure.

use skyfleet_gateway::config::{RateLimits, RouteConfig};

use super::backend::milliseconds;
use super::names::quote;

/// Clients that are remembered.
const CLIENTS: &str = "100k";

/// The lines of what clients may ask for. Clients count in the slot 1 of `track-sc`, all together in 2.
pub(super) fn lines(limits: &RateLimits, request_bytes: u64) -> Vec<String> {
    let mut lines = Vec::new();
    if request_bytes > 0 {
        lines.push(format!(
            "http-request return status 413 {} if {{ req.hdr_val(content-length) gt {request_bytes} }}",
            error("invalid_request_error", "the request is too large", "request_too_large")
        ));
    }
    let client = limits.per_client.and_then(|rates| rates.requests_per_minute);
    let total = limits.total.and_then(|rates| rates.requests_per_minute);
    if client.is_none() && total.is_none() {
        return lines;
    }
    // Only what was let through counts.
    lines.push(format!("stick-table type string len 64 size {CLIENTS} expire 2m store gpc0_rate(1m)"));
    if client.is_some() {
        if let Some(header) = &limits.client_header {
            lines.push(format!(
                "http-request track-sc1 req.fhdr({header}),sha2(256),hex if {{ req.fhdr({header}) -m len gt 0 }}"
            ));
            lines.push(format!("http-request track-sc1 src unless {{ req.fhdr({header}) -m len gt 0 }}"));
        } else {
            lines.push("http-request track-sc1 src".to_owned());
        }
    }
    if total.is_some() {
        // No client has this key: theirs are addresses and hexadecimal digits.
        lines.push("http-request track-sc2 str(total)".to_owned());
    }
    let bounds = [(1, client), (2, total)].into_iter().filter_map(|(slot, most)| Some((slot, most?)));
    for (slot, most) in bounds.clone() {
        let error = error("invalid_request_error", "too many requests of late", "rate_limited");
        lines.push(format!(
            "http-request return status 429 {error} hdr Retry-After 5 if {{ sc{slot}_gpc0_rate ge {most} }}"
        ));
    }
    lines.extend(bounds.map(|(slot, _)| format!("http-request sc-inc-gpc0({slot})")));
    lines
}

/// The lines of who waits while all servers are full.
pub(super) fn queue(route: &RouteConfig) -> Vec<String> {
    match (&route.most_in_flight, &route.queue) {
        (None, _) => Vec::new(),
        // Who would wait is answered at once.
        (Some(_), None) => vec!["timeout queue 1ms".to_owned()],
        (Some(_), Some(queue)) => {
            let error = error("server_error", "too many requests wait already", "queue_full");
            let full =
                format!("http-request return status 503 {error} hdr Retry-After 1 if {{ queue ge {} }}", queue.most);
            vec![format!("timeout queue {}", milliseconds(queue.timeout)), full]
        }
    }
}

/// As the gateway says what it refuses.
fn error(kind: &str, message: &str, code: &str) -> String {
    let json = format!(r#"{{"error":{{"message":"{message}","type":"{kind}","code":"{code}"}}}}"#);
    format!("content-type application/json string {}", quote(&json))
}
