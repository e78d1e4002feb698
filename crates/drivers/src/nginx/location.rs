//! How requests of a route are passed on: pure.

use std::fmt::Write as _;
use std::time::Duration;

use skyfleet_gateway::config::{Protocol, RouteConfig};

/// Headers of requests, as the gateway has them; those about one connection NGINX removes by itself. With HTTP/2 the host becomes `:authority`.
const HEADERS: [(&str, &str); 7] = [
    ("Host", "$skyfleet_authority"),
    ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
    ("X-Forwarded-Proto", "$scheme"),
    ("X-Forwarded-Host", "$skyfleet_authority"),
    ("Forwarded", "\"\""),
    ("Proxy-Connection", "\"\""),
    ("Proxy-Authorization", "\"\""),
];

/// What NGINX answers itself: status, `type` and `code` as the gateway has them, and what to do.
const ERRORS: [(u16, &str, &str, &str); 5] = [
    (413, "invalid_request_error", "request_too_large", "raise limits.requestBytes of the ModelRoute, or send less"),
    (429, "rate_limit_error", "rate_limited", "come again later, or raise limits of the ModelRoute"),
    (502, "server_error", "replica_failed", "no replica has answered; the error log of NGINX says why"),
    (503, "server_error", "no_replica", "no replica can be asked; the status of the ModelRoute says why"),
    (
        504,
        "server_error",
        "replica_timed_out",
        "raise timeouts.firstByteSeconds of the ModelRoute, or look at the replica",
    ),
];

/// Replicas must not have NGINX send files or go by other locations.
const IGNORED: &str = "X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset";

/// More means nothing.
const LONGEST: Duration = Duration::from_hours(24 * 365);
/// Of a body; more NGINX does not take.
const MOST_BYTES: u64 = 1 << 60;

/// The URI of a location, which clients cannot ask for.
pub(super) fn uri(id: &str) -> String {
    format!("/.skyfleet/{id}")
}

/// What all routes have in common in a `server` block. `$skyfleet_uri` is empty until a request has been taken: what it leads to within NGINX,
/// such as an `auth_request` of the user, goes on to the user's own locations.
pub(super) fn common() -> String {
    let mut text =
        "if ($skyfleet_next) {\n    rewrite \"(?s)^(?<skyfleet_uri>.*)$\" $skyfleet_taken last;\n}\n".to_owned();
    for (status, kind, code, message) in ERRORS {
        let json = format!(r#"{{"error": {{"message": "{message}", "type": "{kind}", "code": "{code}"}}}}"#);
        let _ = writeln!(
            text,
            "location @skyfleet_{status} {{\n    default_type application/json;\n    return {status} '{json}';\n}}"
        );
    }
    text
}

/// The locations of a route: the usual one, and one for workers that are about to end, which has clients close. `extra` are lines of both.
pub(super) fn location(route: &RouteConfig, id: &str, extra: &str) -> String {
    let mut lines = errors();
    body(&mut lines, route);
    lines += extra;
    upstream(&mut lines, route, id);
    let (usual, closing) = (uri(id), uri(&format!("closing/{id}")));
    format!(
        "location = {usual} {{\n    internal;\n    if (-f $skyfleet_closing) {{\n        rewrite ^ {closing} last;\n    }}\n{lines}}}\n\
         location = {closing} {{\n    internal;\n    keepalive_timeout 0;\n{lines}}}\n"
    )
}

/// The location of a route that nobody answers.
pub(super) fn nobody(id: &str) -> String {
    format!("location = {} {{\n    internal;\n{}    return 503;\n}}\n", uri(id), errors())
}

fn errors() -> String {
    let lines = ERRORS.map(|(status, ..)| format!("    error_page {status} @skyfleet_{status};\n"));
    lines.concat()
}

fn body(text: &mut String, route: &RouteConfig) {
    // Zero is any number for NGINX.
    let _ = writeln!(text, "    client_max_body_size {};", route.request_bytes.clamp(1, MOST_BYTES));
    let _ = writeln!(text, "    client_body_timeout {};", milliseconds(route.timeouts.idle));
    let _ = writeln!(text, "    client_body_buffer_size 256k;");
}

fn upstream(text: &mut String, route: &RouteConfig, id: &str) {
    let module = module(route);
    let scheme = if route.tls.is_some() { "s" } else { "" };
    let _ = match route.protocol {
        // As the client sent it, to the byte.
        Protocol::Http1 => writeln!(text, "    proxy_pass http{scheme}://{id}$request_uri;"),
        Protocol::Http2 => {
            writeln!(text, "    rewrite \"(?s)^.*$\" $skyfleet_uri break;\n    grpc_pass grpc{scheme}://{id};")
        }
    };
    for (name, value) in HEADERS {
        let _ = writeln!(text, "    {module}_set_header {name} {value};");
    }
    if route.protocol == Protocol::Http1 {
        // A body that is kept can be sent again.
        let kept = if route.matching.models.is_empty() { "off" } else { "on" };
        for line in [
            "http_version 1.1",
            "set_header Upgrade $skyfleet_upgrade",
            "set_header Connection $skyfleet_connection",
            "buffering off",
            // NGINX refuses a larger buffer for the head without them.
            "buffers 8 16k",
            "busy_buffers_size 32k",
            "cache off",
            "redirect off",
            &format!("request_buffering {kept}"),
        ] {
            let _ = writeln!(text, "    proxy_{line};");
        }
    }
    for line in times(route).into_iter().chain(retries(route)) {
        let _ = writeln!(text, "    {module}_{line};");
    }
    for line in ["intercept_errors off", "socket_keepalive on", "buffer_size 16k", &format!("ignore_headers {IGNORED}")]
    {
        let _ = writeln!(text, "    {module}_{line};");
    }
}

/// The module of NGINX that speaks with servers.
pub(super) fn module(route: &RouteConfig) -> &'static str {
    match route.protocol {
        Protocol::Http1 => "proxy",
        Protocol::Http2 => "grpc",
    }
}

/// NGINX has one time for the first byte of an answer and for each further one: the longer of the two, so that no good answer breaks off.
fn times(route: &RouteConfig) -> Vec<String> {
    let times = &route.timeouts;
    vec![
        format!("connect_timeout {}", milliseconds(times.connect)),
        format!("send_timeout {}", milliseconds(times.idle)),
        format!("read_timeout {}", milliseconds(times.first_byte.max(times.idle))),
    ]
}

/// What may be asked twice is asked again: a request whose model the route names, or one of an idempotent method. What could not be sent always
/// is. A server's 503 counts as a failure for NGINX once it asks another one then, and would eject all servers when all are full: so only where
/// nobody is ejected.
fn retries(route: &RouteConfig) -> Vec<String> {
    if route.retries.attempts == 0 {
        return vec!["next_upstream off".to_owned()];
    }
    let full = if route.ejection.most_percent == 0 { " http_503" } else { "" };
    let repeatable = if route.matching.models.is_empty() { "" } else { " non_idempotent" };
    let mut lines = vec![
        format!("next_upstream error timeout invalid_header http_502 http_504{full}{repeatable}"),
        format!("next_upstream_tries {}", route.retries.attempts + 1),
    ];
    lines.extend(route.timeouts.request.map(|all| format!("next_upstream_timeout {}", milliseconds(all))));
    lines
}

fn milliseconds(time: Duration) -> String {
    format!("{}ms", time.clamp(Duration::from_millis(1), LONGEST).as_millis())
}

/// Where NGINX takes no parts of seconds.
pub(super) fn seconds(time: Duration) -> String {
    format!("{}s", time.clamp(Duration::from_secs(1), LONGEST).as_secs())
}

#[cfg(test)]
mod tests {
    use skyfleet_gateway::config::{Ejection, Matching, Retries};

    use super::*;

    #[test]
    fn only_what_may_be_asked_twice_is() {
        let models = Matching { models: vec!["m".to_owned()], ..Matching::default() };
        let never = Ejection { most_percent: 0, ..Ejection::default() };
        let none = Retries { attempts: 0, ..Retries::default() };
        let plain = RouteConfig::default();
        for (route, expected) in [
            (plain.clone(), "error timeout invalid_header http_502 http_504"),
            (
                RouteConfig { matching: models, ..plain.clone() },
                "error timeout invalid_header http_502 http_504 non_idempotent",
            ),
            (
                RouteConfig { ejection: never, ..plain.clone() },
                "error timeout invalid_header http_502 http_504 http_503",
            ),
            (RouteConfig { retries: none, ..plain }, "off"),
        ] {
            assert_eq!(retries(&route)[0], format!("next_upstream {expected}"));
        }
    }

    #[test]
    fn each_protocol_has_its_module() {
        let text = location(&RouteConfig::default(), "x", "    add_header A b;\n");
        assert!(
            text.contains("    proxy_pass http://x$request_uri;\n    ") && text.contains("add_header A b;"),
            "{text}"
        );
        let grpc = location(&RouteConfig { protocol: Protocol::Http2, ..RouteConfig::default() }, "x", "");
        assert!(grpc.contains("    grpc_pass grpc://x;\n") && !grpc.contains("    proxy_"), "{grpc}");
        assert!(nobody("x").contains("    return 503;\n"));
    }
}
