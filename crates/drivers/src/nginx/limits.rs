//! Requests a minute: pure. Tokens NGINX cannot count.

use std::fmt::Write as _;

use skyfleet_gateway::config::{RateLimits, Rates};

use super::text::{header_variable, variable};

/// NGINX computes with more than that, but not with any.
const MOST: u64 = 1_000_000_000;

/// What limits requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limited {
    /// What the `http` block needs for it.
    pub(super) http: String,
    /// What a location needs for it.
    pub(super) location: String,
}

/// A minute's worth may come at once, as with the gateway.
pub(super) fn limited(limits: &RateLimits, id: &str) -> Limited {
    let mut limited = Limited::default();
    let per_minute =
        |rates: Option<Rates>| rates.and_then(|rates| rates.requests_per_minute).map(|rate| rate.clamp(1, MOST));
    if let Some(rate) = per_minute(limits.per_client) {
        let (key, map, kind) = client(limits, id);
        limited.http += &map;
        zone(&mut limited, &key, &format!("{id}_{kind}"), "10m", rate);
    }
    if let Some(rate) = per_minute(limits.total) {
        zone(&mut limited, "all", &format!("{id}_total"), "64k", rate);
    }
    if !limited.location.is_empty() {
        limited.location += "    limit_req_status 429;\n";
    }
    limited
}

fn zone(limited: &mut Limited, key: &str, name: &str, size: &str, rate: u64) {
    let _ = writeln!(limited.http, "limit_req_zone {key} zone={name}:{size} rate={rate}r/m;");
    let burst = if rate > 1 { format!(" burst={} nodelay", rate - 1) } else { String::new() };
    let _ = writeln!(limited.location, "    limit_req zone={name}{burst};");
}

/// The key, what makes it, and what it is: NGINX refuses to reload where a zone of the same name had another key.
fn client(limits: &RateLimits, id: &str) -> (String, String, &'static str) {
    match limits.client_header.as_deref().and_then(header_variable) {
        None => ("$binary_remote_addr".to_owned(), String::new(), "address"),
        Some(value) => {
            let key = variable(id, "client");
            let map = format!("map {value} {key} {{\n    default {value};\n    \"\" $binary_remote_addr;\n}}\n");
            (key, map, "client")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_limited_and_tokens_are_not() {
        let rates = |requests_per_minute| Some(Rates { requests_per_minute, tokens_per_minute: Some(9) });
        let of = |client_header: Option<&str>, per_client, total| {
            limited(&RateLimits { client_header: client_header.map(str::to_owned), per_client, total }, "a_0f")
        };
        assert_eq!(of(None, rates(None), None), Limited::default());
        let both = of(Some("x-key"), rates(Some(60)), rates(Some(1)));
        assert_eq!(
            both.http,
            "map $http_x_key $skyfleet_0f_client {\n    default $http_x_key;\n    \"\" $binary_remote_addr;\n}\n\
             limit_req_zone $skyfleet_0f_client zone=a_0f_client:10m rate=60r/m;\n\
             limit_req_zone all zone=a_0f_total:64k rate=1r/m;\n"
        );
        assert_eq!(
            both.location,
            "    limit_req zone=a_0f_client burst=59 nodelay;\n    limit_req zone=a_0f_total;\n    limit_req_status 429;\n"
        );
        assert!(of(Some("x_y;"), rates(Some(2)), None).http.starts_with("limit_req_zone $binary_remote_addr "));
    }
}
