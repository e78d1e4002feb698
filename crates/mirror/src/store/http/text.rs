//! How text travels in URLs and headers: pure.

use std::time::Duration;

use http::{HeaderMap, Uri};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986 calls unreserved: nothing on the way may read a meaning into a key.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A text as one segment of a path, or a value in a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A text as a path: its slashes stay.
pub(crate) fn encoded_path(text: &str) -> String {
    const PATH: &AsciiSet = &ENCODED.remove(b'/');
    utf8_percent_encode(text, PATH).to_string()
}

/// A query of names that need no encoding.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    pairs.join("&")
}

/// The endpoint without slashes at its end; the error says what is wrong with it.
pub(crate) fn check_endpoint(url: &str) -> Result<String, String> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err("the endpoint must start with http:// or https://".to_owned());
    }
    // What stands in the other parts of a URL may be a secret, and would be shown in messages.
    if url.contains(['?', '#', '@']) {
        return Err("the endpoint must not have a user, a query or a fragment".to_owned());
    }
    let valid = url.parse::<Uri>().is_ok_and(|url| url.host().is_some_and(|host| !host.is_empty()));
    if valid { Ok(url.trim_end_matches('/').to_owned()) } else { Err("the endpoint is not a URL".to_owned()) }
}

/// What a store said of a failure, in one line.
pub(crate) fn said(status: u16, code: &str, message: &str) -> String {
    match (code, message) {
        ("", "") => format!("HTTP status {status}"),
        (one, "") | ("", one) => one.to_owned(),
        (code, message) => format!("{code}: {message}"),
    }
}

/// A header's text, when it is there and is one.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// How long `Retry-After` asks to wait: in seconds, or until a time, counted from that of the answer.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = header(headers, "retry-after")?.trim();
    let until = || http_date(text)?.checked_sub(header(headers, "date").and_then(http_date)?);
    let seconds = text.parse().ok().or_else(|| u64::try_from(until()?.max(0)).ok());
    seconds.map(Duration::from_secs)
}

/// Seconds since the Unix epoch of a date as headers have it.
pub(crate) fn http_date(text: &str) -> Option<i64> {
    DateTimeParser::new().parse_timestamp(text).ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::{check_endpoint, encoded, encoded_path, http_date, query, retry_after};

    #[test]
    fn when_to_come_back_is_told_in_seconds_or_by_a_time() {
        let after = |text: &str, date: &str| {
            let headers = [("retry-after", text), ("date", date)].into_iter().filter(|(_, text)| !text.is_empty());
            let parse = |(name, text): (&'static str, &str)| (HeaderName::from_static(name), text.parse().unwrap());
            retry_after(&headers.map(parse).collect()).map(|wait| wait.as_secs())
        };
        let (noon, later) = ("Wed, 25 Nov 2026 12:00:00 GMT", "Wed, 25 Nov 2026 12:01:30 GMT");
        for (text, date, wait) in [
            ("", noon, None),
            ("7", "", Some(7)),
            (later, noon, Some(90)),
            (noon, later, Some(0)),
            (later, "", None),
            ("soon", noon, None),
            ("-1", noon, None),
        ] {
            assert_eq!(after(text, date), wait, "{text} {date}");
        }
    }

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(encoded("a/../b c+d%é\n"), "a%2F..%2Fb%20c%2Bd%25%C3%A9%0A");
        assert_eq!(encoded_path("/a/../b c"), "/a/../b%20c");
        assert_eq!(query(&[("prefix", "a&b="), ("comp", "list")]), "prefix=a%26b%3D&comp=list");
    }

    #[test]
    fn an_endpoint_is_a_plain_url() {
        assert_eq!(check_endpoint("http://127.0.0.1:1/account/"), Ok("http://127.0.0.1:1/account".to_owned()));
        for wrong in ["ftp://x", "https://", "https://x?sig=y", "https://u:p@x", "https://a b"] {
            assert!(check_endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dates_of_headers_are_read() {
        assert_eq!(http_date("Fri, 09 Oct 2009 21:04:30 GMT"), Some(1_255_122_270));
        assert_eq!(http_date("yesterday"), None);
    }
}
