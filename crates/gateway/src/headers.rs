//! What headers become on their way.

use std::net::IpAddr;

use http::header::{
    CONNECTION, COOKIE, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use crate::config::Endpoint;
use crate::trace::TraceContext;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Headers that are about one connection only (RFC 9110, section 7.6.1). The framing is the HTTP library's own.
const OF_ONE_CONNECTION: [HeaderName; 7] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, UPGRADE, TRANSFER_ENCODING, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION];

/// Removes what is about one connection only, and what `Connection` names.
pub(crate) fn remove_of_one_connection(headers: &mut HeaderMap) {
    if let Some(named) = headers.get(CONNECTION).cloned() {
        for name in named.to_str().unwrap_or_default().split(',').map(str::trim) {
            // It would take away what the request is about.
            if !name.eq_ignore_ascii_case("host")
                && let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            {
                headers.remove(name);
            }
        }
    }
    for name in &OF_ONE_CONNECTION {
        headers.remove(name);
    }
    // Trailers are all that may be asked for across a proxy.
    let wants_trailers = headers.get_all(TE).iter().any(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    if headers.remove(TE).is_some() && wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// What of a connection a request asks to become another protocol, such as `websocket`.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let connection = headers.get(CONNECTION)?.to_str().ok()?;
    let asks = connection.split(',').any(|option| option.trim().eq_ignore_ascii_case("upgrade"));
    asks.then(|| headers.get(UPGRADE).cloned()).flatten()
}

/// Asks for another protocol, or grants it.
pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// The host that a request is for: of its target, else of `Host`. `None` where it has none or several, which is wrong.
pub(crate) fn host<B>(request: &Request<B>) -> Option<HeaderValue> {
    if let Some(authority) = request.uri().authority() {
        return HeaderValue::from_str(without_user(authority)).ok();
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next()?;
    let is_one =
        hosts.next().is_none() && !host.as_bytes().contains(&b',') && Authority::try_from(host.as_bytes()).is_ok();
    is_one.then(|| host.clone())
}

fn without_user(authority: &Authority) -> &str {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

/// In lower case, without port and without the dot that may end it.
pub(crate) fn host_name(host: &str) -> String {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Says for whom, and in which trace, a request goes on.
pub(crate) fn forward(
    headers: &mut HeaderMap,
    (client, protocol): (IpAddr, &'static str),
    host: &HeaderValue,
    trace: &TraceContext,
) {
    let mut chain = client.to_string();
    if headers.contains_key(X_FORWARDED_FOR) {
        let before = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        chain = before.chain([chain.as_str()]).collect::<Vec<_>>().join(", ");
    }
    if let Ok(chain) = HeaderValue::try_from(chain) {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    join_cookies(headers);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(protocol));
    headers.insert(X_FORWARDED_HOST, host.clone());
    // It says the same, and would say something else.
    headers.remove(FORWARDED);
    // The gateway itself asks for the body, as soon as somebody takes it.
    headers.remove(EXPECT);
    if headers.get(HOST) != Some(host) {
        headers.insert(HOST, host.clone());
    }
    headers.insert(TRACEPARENT, trace.header());
}

/// Asks an endpoint that is reached by a name for that name: whoever serves several there, as an Ingress does, tells by it what is asked
/// for. One at an address, and one that something else leads to, is asked for the host that the client named.
pub(crate) fn ask_by_name(headers: &mut HeaderMap, endpoint: &Endpoint, is_secured: bool) {
    if endpoint.is_relayed || endpoint.host.parse::<IpAddr>().is_ok() {
        return;
    }
    if let Ok(host) = HeaderValue::try_from(authority(endpoint, is_secured)) {
        headers.insert(HOST, host);
    }
}

/// An endpoint as a `Host` header has it: without the port that goes without saying.
pub(crate) fn authority(Endpoint { host, port, .. }: &Endpoint, is_secured: bool) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    if *port == if is_secured { 443 } else { 80 } { host } else { format!("{host}:{port}") }
}

/// HTTP/2 may split cookies into several headers, and HTTP/1.1 must not have them so (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// The trace that a client is in.
pub(crate) fn trace(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(TRACEPARENT)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Request};

    use super::{ask_by_name, authority, host, host_name, join_cookies, remove_of_one_connection, upgrade};
    use crate::config::Endpoint;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = of.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
    }

    #[test]
    fn what_is_about_one_connection_goes() {
        let mut all = headers(&[
            ("connection", "keep-alive, X-Mine, host"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("host", "h"),
            ("x-other", "2"),
        ]);
        remove_of_one_connection(&mut all);
        assert_eq!(all, headers(&[("te", "trailers"), ("host", "h"), ("x-other", "2")]));
    }

    #[test]
    fn who_is_reached_by_a_name_is_asked_for_it() {
        let endpoint = |host: &str, port, is_relayed| {
            let (cluster, name, host) = ("a".to_owned(), "service".to_owned(), host.to_owned());
            Endpoint { cluster, name, host, port, is_relayed }
        };
        for (host, port, is_relayed, is_secured, expected) in [
            ("a.example.com", 8443, false, true, "a.example.com:8443"),
            ("a.example.com", 443, false, true, "a.example.com"),
            ("a.example.com", 443, false, false, "a.example.com:443"),
            ("a.example.com", 80, false, false, "a.example.com"),
            ("10.0.0.1", 80, false, false, "client.example.com"),
            ("fd00::1", 80, false, false, "client.example.com"),
            ("m.ml.svc", 80, true, false, "client.example.com"),
        ] {
            let mut all = headers(&[("host", "client.example.com")]);
            ask_by_name(&mut all, &endpoint(host, port, is_relayed), is_secured);
            assert_eq!(all.get("host").unwrap(), expected, "{host}:{port}");
        }
        assert_eq!(authority(&endpoint("fd00::1", 8080, false), false), "[fd00::1]:8080");
    }

    #[test]
    fn cookies_become_one_header() {
        let mut split = headers(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]);
        join_cookies(&mut split);
        assert_eq!(split, headers(&[("cookie", "a=1; b=2"), ("x", "y")]));
    }

    #[test]
    fn an_upgrade_is_asked_for_in_two_headers() {
        assert_eq!(upgrade(&headers(&[("connection", "Upgrade"), ("upgrade", "websocket")])).unwrap(), "websocket");
        assert_eq!(upgrade(&headers(&[("connection", "close"), ("upgrade", "websocket")])), None);
        assert_eq!(upgrade(&headers(&[("connection", "upgrade")])), None);
    }

    #[test]
    fn a_request_is_for_one_host() {
        for (uri, hosts, expected) in [
            ("/", vec!["a.example.com:80"], Some("a.example.com:80")),
            ("http://user@b/", vec!["a"], Some("b")),
            ("/", vec![], None),
            ("/", vec!["a", "b"], None),
            ("/", vec!["a, b"], None),
            ("/", vec!["a b"], None),
        ] {
            let mut request = Request::builder().uri(uri);
            for host in &hosts {
                request = request.header("host", *host);
            }
            let found = host(&request.body(()).unwrap());
            assert_eq!(found.as_ref().map(HeaderValue::as_bytes), expected.map(str::as_bytes), "{uri} {hosts:?}");
        }
        for (host, name) in [("A.Example.com.:80", "a.example.com"), ("[::1]:80", "::1"), ("x", "x")] {
            assert_eq!(host_name(host), name);
        }
    }
}
