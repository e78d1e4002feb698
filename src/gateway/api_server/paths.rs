//! Paths of Services at an API server: pure.

use http::Uri;
use percent_encoding::percent_decode_str;
use skyfleet_gateway::config::Endpoint;

/// Where the API server passes on what is for this Service, whose host is `name.namespace.svc`.
pub(super) fn of_service(endpoint: &Endpoint) -> Option<String> {
    let (name, namespace) = endpoint.host.strip_suffix(".svc")?.split_once('.')?;
    Some(format!("/api/v1/namespaces/{namespace}/services/{name}:{}/proxy", endpoint.port))
}

/// A request's path at the API server. None that could lead out of the Service: credentials go with it.
pub(super) fn within(service: &str, asked: &Uri) -> Option<Uri> {
    let leads_out = |segment: &str| {
        let decoded = percent_decode_str(segment).collect::<Vec<u8>>();
        decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| matches!(part, b"." | b".."))
    };
    if asked.path().split('/').any(leads_out) {
        return None;
    }
    let path = asked.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let path = if path.starts_with('/') { path } else { "/" };
    format!("{service}{path}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint {
            cluster: "a".to_owned(),
            name: "service".to_owned(),
            host: host.to_owned(),
            port: 80,
            is_relayed: true,
        }
    }

    #[test]
    fn a_service_has_its_place_and_what_is_none_has_none() {
        let path = "/api/v1/namespaces/ml/services/llama:80/proxy";
        assert_eq!(of_service(&endpoint("llama.ml.svc")).as_deref(), Some(path));
        for host in ["llama.svc", "10.0.0.1", "llama.ml"] {
            assert_eq!(of_service(&endpoint(host)), None, "{host}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_service() {
        for (asked, expected) in [
            ("/v1/models?a=b%2F..", Some("/s/proxy/v1/models?a=b%2F..")),
            ("/", Some("/s/proxy/")),
            ("/a..b/.well-known", Some("/s/proxy/a..b/.well-known")),
            ("/..", None),
            ("/v1/../../x", None),
            ("/v1/%2e%2E/x", None),
            ("/v1/%2e%2e%2fx", None),
            ("/v1/..%5cx", None),
            ("/./x", None),
        ] {
            let found = within("/s/proxy", &asked.parse().expect("a path"));
            assert_eq!(found.map(|path| path.to_string()).as_deref(), expected, "{asked}");
        }
    }
}
