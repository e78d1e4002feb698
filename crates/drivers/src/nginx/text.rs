//! Text of users in NGINX's configuration: pure. Nothing of it can become a directive.

use std::fmt::Write as _;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

/// So many digits of a digest no other text has, also if somebody looks for one.
const UNIQUE: usize = 20;

/// A regular expression for just this text. What could mean something to NGINX or in a regular expression is written by its code; it has at most
/// four times the characters.
pub(super) fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for one in text.chars() {
        if one.is_ascii_alphanumeric() || matches!(one, '/' | '-' | '_') || !one.is_ascii() {
            literal.push(one);
        } else {
            let _ = write!(literal, "\\x{:02x}", u32::from(one));
        }
    }
    literal
}

/// A name that no other route has and that says which route is meant.
pub(super) fn identifier(route: &str) -> String {
    let kept = |one: char| if one.is_ascii_alphanumeric() || one == '-' { one } else { '_' };
    let readable: String = route.chars().take(80).map(kept).collect();
    format!("skyfleet_{readable}_{}", &digest([route.as_bytes()])[..UNIQUE])
}

/// A variable of a route. NGINX refuses to start with names of variables that are longer than some 40 bytes.
pub(super) fn variable(id: &str, kind: &str) -> String {
    let unique = id.rsplit('_').next().unwrap_or_default();
    format!("$skyfleet_{unique}_{kind}")
}

/// For a comment. Names that Kubernetes allows stay as they are.
pub(super) fn comment(text: &str) -> String {
    let kept = |one: char| if one.is_ascii_alphanumeric() || "-._/:[]".contains(one) { one } else { '_' };
    text.chars().map(kept).collect()
}

/// In quotes, where no variables are looked for.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether it is an address or can be the name of a host.
pub(super) fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.parse::<IpAddr>().is_ok() || (host.len() <= 253 && host.trim_end_matches('.').split('.').all(is_label))
}

/// The variable that has a header's value, if NGINX can have one of it: others it throws away, or cannot name.
pub(super) fn header_variable(header: &str) -> Option<String> {
    let can_be = !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    can_be.then(|| format!("$http_{}", header.to_ascii_lowercase().replace('-', "_")))
}

/// Whether a cookie of this name can be set: NGINX would take a `$` for a variable.
pub(super) fn is_cookie(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// SHA-256 of texts, one after the other and each with its length, as hexadecimal digits.
pub(super) fn digest<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\"; return 200; #}{$uri\\\n'b";

    #[test]
    fn nothing_of_a_text_means_anything() {
        assert_eq!(literal("/v1/a.b-c_d"), "/v1/a\\x2eb-c_d");
        assert_eq!(literal("ü\n"), "ü\\x0a");
        for text in [literal(HOSTILE), identifier(HOSTILE), comment(HOSTILE)] {
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"\\_-./:[]".contains(&byte)), "{text}");
        }
        assert_eq!(quoted("a\"\\"), "\"a\\\"\\\\\"");
        assert_ne!(identifier("a/b"), identifier("a_b"));
    }

    #[test]
    fn only_hosts_are_hosts() {
        for (host, expected) in [
            ("models.example.com", true),
            ("a_b.example.com.", true),
            ("10.0.0.1", true),
            ("fd00::1", true),
            ("", false),
            ("unix:/run/x", false),
            ("a b", false),
            ("a;b", false),
            ("a..b", false),
            ("$host", false),
            (HOSTILE, false),
        ] {
            assert_eq!(is_host(host), expected, "{host}");
        }
    }

    #[test]
    fn headers_and_cookies_are_such_that_nginx_can_name() {
        assert_eq!(header_variable("x-Session"), Some("$http_x_session".to_owned()));
        for header in ["", "x_session", "x.session", "x$y", HOSTILE] {
            assert_eq!(header_variable(header), None, "{header}");
        }
        assert!(is_cookie("__Host-a.b") && !is_cookie("a$b") && !is_cookie("") && !is_cookie(HOSTILE));
    }
}
