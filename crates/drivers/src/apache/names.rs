//! Text of users as Apache's configuration takes it: nothing in it can be read as anything else.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::wanted::Address;

/// What every balancer of ours is called first.
pub(super) const PREFIX: &str = "skyfleet-";
/// So much of a route's name is in that of its balancer, for people.
const READABLE: usize = 40;

/// The balancer of a route.
pub(super) fn balancer(route: &str) -> String {
    let readable =
        route.bytes().map(|byte| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' });
    let readable: String = readable.take(READABLE).map(char::from).collect();
    format!("{PREFIX}{readable}-{}", digest(route))
}

/// What cookies call a member. It tells clients nothing about it.
pub(super) fn member(address: &Address) -> String {
    digest(address.to_string())
}

/// Sixteen characters that stand for a text.
pub(super) fn digest(text: impl AsRef<[u8]>) -> String {
    hex::encode(&Sha256::digest(text.as_ref())[..8])
}

/// A regular expression that matches just this. All but letters and digits is told by number: what of it means anything to the expression,
/// to a quoted word or to a line of the configuration does not matter.
pub(super) fn literally(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut expression, byte| {
        if byte.is_ascii_alphanumeric() || b"-_/".contains(&byte) {
            expression.push(char::from(byte));
        } else {
            let _ = write!(expression, "\\x{byte:02x}");
        }
        expression
    })
}

/// Whether the name of a route can be in a comment.
pub(super) fn is_route(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-./_".contains(&byte))
}

/// Whether a host can be in the URL of a member: a name, or an address.
pub(super) fn is_host(host: &str) -> bool {
    let is_word = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte));
    is_word
        && !host.is_empty()
        && host.len() <= 253
        && (!host.contains(':') || host.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Whether a cookie of this name can tell members.
pub(super) fn is_cookie(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_word && !name.is_empty() && name.len() < 60
}

/// Whether Apache can ask for this path in a health check.
pub(super) fn is_checked_path(path: &str) -> bool {
    let is_word = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./~?=,:;@".contains(&byte));
    is_word && path.starts_with('/') && path.len() < 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_has_nothing_that_ends_or_expands_it() {
        for (text, expression) in [
            ("llama-3/8b_q", "llama-3/8b_q"),
            ("a.b", "a\\x2eb"),
            ("\" [P]\nInclude /etc/passwd", "\\x22\\x20\\x5bP\\x5d\\x0aInclude\\x20/etc/passwd"),
            ("${PATH}%{ENV:x}$1\\", "\\x24\\x7bPATH\\x7d\\x25\\x7bENV\\x3ax\\x7d\\x241\\x5c"),
            ("ü", "\\xc3\\xbc"),
        ] {
            assert_eq!(literally(text), expression);
        }
    }

    #[test]
    fn what_cannot_be_a_word_of_the_configuration_is_found() {
        for host in ["", "a b", "a\nb", "a\"", "a/b", "a@b", "a:b", "$a", "a%", "[::1]", "${x}"] {
            assert!(!is_host(host), "{host}");
        }
        for host in ["10.0.0.1", "fd00::1", "llama.ml.svc"] {
            assert!(is_host(host), "{host}");
        }
        for text in ["", "a\nb", "a b", "a\\", "a\"b", "a>b", "a;b", "a|b", "%{x}e"] {
            assert!(!is_route(text) && !is_cookie(text) && !is_checked_path(text), "{text}");
        }
        assert!(is_route("ml/llama.v1") && is_cookie("__Host-replica") && is_checked_path("/health?full=1"));
        assert!(!is_cookie(&"a".repeat(60)) && !is_checked_path(&"/".repeat(64)));
    }

    #[test]
    fn balancers_of_routes_are_told_apart() {
        let name = balancer("ml/llama");
        assert!(name.starts_with("skyfleet-ml-llama-"), "{name}");
        assert_ne!(name, balancer("ml-llama"));
        assert_ne!(balancer("ML/llama"), balancer("ml/llama"));
        assert!(balancer(&"a/".repeat(200)).len() < 80);
    }
}
