//! Requests that go to the same server: pure.

use std::time::Duration;

use skyfleet_gateway::config::{AffinityBy, RouteConfig};

use super::text::{header_variable, is_cookie, literal, variable};

/// What keeps requests together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sticky {
    /// The directive of an upstream.
    pub(super) method: String,
    /// What the `http` block needs for it.
    pub(super) http: String,
    /// What a location needs for it.
    pub(super) location: String,
}

/// Clients refuse cookies of such names without `Secure`.
const SECURE_NAMES: [&str; 2] = ["__host-", "__secure-"];

/// None if the route has no affinity, or one that NGINX cannot have. A request without what is hashed goes anywhere.
pub(super) fn sticky(route: &RouteConfig, id: &str) -> Option<Sticky> {
    match &route.affinity.as_ref()?.by {
        AffinityBy::Header(name) => {
            let value = header_variable(name)?;
            Some(Sticky { method: hash(id), http: key(&value, id), location: String::new() })
        }
        AffinityBy::Cookie { name, ttl } => is_cookie(name).then(|| cookie(name, *ttl, id)),
        AffinityBy::ClientAddress => {
            Some(Sticky { method: "hash $binary_remote_addr consistent".to_owned(), ..Sticky::default() })
        }
        AffinityBy::PromptPrefix(_) => None,
    }
}

fn hash(id: &str) -> String {
    format!("hash {} consistent", variable(id, "key"))
}

fn key(value: &str, id: &str) -> String {
    format!("map {value} {} {{\n    default {value};\n    \"\" $request_id;\n}}\n", variable(id, "key"))
}

/// As with the gateway it is a random key, which says nothing of servers, and one that a server sets itself counts.
fn cookie(name: &str, ttl: Option<Duration>, id: &str) -> Sticky {
    let is_secure = SECURE_NAMES.iter().any(|prefix| name.to_ascii_lowercase().starts_with(prefix));
    let secure = if is_secure { "; Secure" } else { "$skyfleet_secure" };
    let age = ttl.map(|ttl| format!("; Max-Age={}", ttl.as_secs())).unwrap_or_default();
    let expression = literal(name);
    let (found, begun) = (variable(id, "cookie"), variable(id, "set"));
    let find = format!(
        "map $http_cookie {found} {{\n    default \"\";\n    \
         \"~(?:^|;) *{expression}=(?<skyfleet_cookie>[^; ]+)\" $skyfleet_cookie;\n}}\n"
    );
    let set = format!(
        "map \"{found};$upstream_http_set_cookie\" {begun} {{\n    default \"\";\n    \
         \"~^;{expression} *=\" \"\";\n    \
         \"~^;\" \"{name}=$request_id; Path=/{age}; HttpOnly; SameSite=Lax{secure}\";\n}}\n"
    );
    Sticky {
        method: hash(id),
        http: find + &key(&found, id) + &set,
        location: format!("    add_header Set-Cookie {begun} always;\n"),
    }
}

#[cfg(test)]
mod tests {
    use skyfleet_gateway::config::Affinity;

    use super::*;

    fn of(by: AffinityBy) -> Option<Sticky> {
        let affinity = Some(Affinity { by, bound_percent: 125 });
        sticky(&RouteConfig { affinity, ..RouteConfig::default() }, "skyfleet_a-b_0f")
    }

    #[test]
    fn what_nginx_can_hash_is_hashed() {
        let header = of(AffinityBy::Header("x-session".to_owned())).unwrap();
        assert_eq!(header.method, "hash $skyfleet_0f_key consistent");
        assert!(header.http.contains("    \"\" $request_id;"), "{header:?}");
        let address = of(AffinityBy::ClientAddress).unwrap();
        assert_eq!((&*address.method, &*address.http), ("hash $binary_remote_addr consistent", ""));
        assert_eq!(of(AffinityBy::PromptPrefix(64)), None);
        assert_eq!(sticky(&RouteConfig::default(), "x"), None);
    }

    #[test]
    fn a_cookie_is_set_where_there_is_none() {
        let ttl = Some(Duration::from_mins(1));
        let cookie = of(AffinityBy::Cookie { name: "re.plica".to_owned(), ttl }).unwrap();
        let set = "\"re.plica=$request_id; Path=/; Max-Age=60; HttpOnly; SameSite=Lax$skyfleet_secure\"";
        assert!(cookie.http.contains(set) && cookie.http.contains("re\\x2eplica="), "{}", cookie.http);
        let host = of(AffinityBy::Cookie { name: "__Host-r".to_owned(), ttl: None }).unwrap();
        assert!(host.http.contains("=$request_id; Path=/; HttpOnly; SameSite=Lax; Secure\""), "{}", host.http);
    }

    #[test]
    fn no_name_becomes_a_directive() {
        for name in ["x; }", "x$y", "a\"b", ""] {
            assert_eq!(of(AffinityBy::Header(name.to_owned())), None);
            assert_eq!(of(AffinityBy::Cookie { name: name.to_owned(), ttl: None }), None);
        }
    }
}
