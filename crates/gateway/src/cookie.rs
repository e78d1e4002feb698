//! Cookies that keep the requests of a session together: pure.
//!
//! Their value is a random key, which is hashed as a header's value would be. It says nothing of any endpoint, all gateways understand
//! it, none has to remember it, and when endpoints come or go only those sessions move that have to.

use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use skyfleet_balance::affinity::hash;

/// Clients refuse cookies of such names without `Secure` (RFC 6265bis, section 4.1.3).
const SECURE_NAMES: [&str; 2] = ["__host-", "__secure-"];

/// The value of a cookie, if the request has one.
pub(crate) fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let cookies = headers.get_all(COOKIE).iter().flat_map(|cookies| cookies.as_bytes().split(|byte| *byte == b';'));
    let mut values = cookies.filter_map(|cookie| {
        let value = cookie.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        (!value.is_empty()).then_some(value)
    });
    values.next()
}

/// A session that begins.
pub(crate) struct Session {
    /// What its requests have in common.
    pub(crate) key: u64,
    /// The cookie's name, and how the client is to keep it.
    name: String,
    cookie: String,
}

impl Session {
    /// The cookie is kept from scripts and from requests that other sites make, and if the client came by TLS, from connections without.
    pub(crate) fn new(name: &str, ttl: Option<Duration>, scheme: &str, random: u64) -> Self {
        let value = format!("{random:016x}");
        let begins = |prefix: &&str| name.get(..prefix.len()).is_some_and(|of| of.eq_ignore_ascii_case(prefix));
        let is_secure = scheme == "https" || SECURE_NAMES.iter().any(begins);
        let age = ttl.map(|ttl| format!("; Max-Age={}", ttl.as_secs())).unwrap_or_default();
        let secure = if is_secure { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; Path=/{age}; HttpOnly; SameSite=Lax{secure}");
        Self { key: hash(value.as_bytes()), name: name.to_owned(), cookie }
    }

    /// Has the client keep it, unless the answer sets a cookie of this name itself: then the session is the endpoint's own.
    pub(crate) fn begin(self, headers: &mut HeaderMap) {
        let is_own = |set: &HeaderValue| {
            let rest = set.as_bytes().strip_prefix(self.name.as_bytes());
            rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
        };
        if !headers.get_all(SET_COOKIE).iter().any(is_own)
            && let Ok(cookie) = HeaderValue::try_from(self.cookie)
        {
            headers.append(SET_COOKIE, cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::{COOKIE, SET_COOKIE};
    use http::{HeaderMap, HeaderValue};

    use super::{Session, value};

    #[test]
    fn a_cookie_is_found_among_others() {
        for (cookies, expected) in [
            (vec!["replica=1"], Some("1")),
            (vec!["a=b; replica=1 ;c=d"], Some("1")),
            (vec!["a=b", "replica=2"], Some("2")),
            (vec!["replica=1; replica=2"], Some("1")),
            (vec!["replica=; replica=2"], Some("2")),
            (vec!["Replica=1; replica2=1; xreplica=1; replica"], None),
            (vec![], None),
        ] {
            let headers = cookies.iter().map(|cookie| (COOKIE, HeaderValue::from_static(cookie)));
            let headers = headers.fold(HeaderMap::new(), |mut all, (name, cookie)| {
                all.append(name, cookie);
                all
            });
            assert_eq!(value(&headers, "replica"), expected.map(str::as_bytes), "{cookies:?}");
        }
    }

    #[test]
    fn a_cookie_says_how_it_is_to_be_kept() {
        let day = Some(Duration::from_hours(24));
        for (name, ttl, scheme, expected) in [
            ("replica", None, "http", "replica=000000000000002a; Path=/; HttpOnly; SameSite=Lax"),
            (
                "replica",
                day,
                "https",
                "replica=000000000000002a; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure",
            ),
            ("__Host-r", None, "http", "__Host-r=000000000000002a; Path=/; HttpOnly; SameSite=Lax; Secure"),
        ] {
            let mut headers = HeaderMap::new();
            Session::new(name, ttl, scheme, 42).begin(&mut headers);
            assert_eq!(headers.get(SET_COOKIE).unwrap(), expected);
        }
    }

    #[test]
    fn the_cookie_of_an_endpoint_comes_before() {
        for (of_endpoint, cookies) in [("other=1", 2), ("replica =3; Path=/", 1)] {
            let mut headers = HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static(of_endpoint))]);
            Session::new("replica", None, "http", 42).begin(&mut headers);
            assert_eq!(headers.get_all(SET_COOKIE).iter().count(), cookies, "{of_endpoint}");
        }
    }
}
