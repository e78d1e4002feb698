//! How routes, servers and words are written, so that nothing of them is taken for anything else: pure.

use std::fmt::Write as _;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

/// What all of our backends begin with.
const PREFIX: &str = "skyfleet:";

/// The backend of a route.
pub(super) fn backend(route: &str) -> String {
    let mut name = PREFIX.to_owned();
    for byte in route.bytes() {
        match byte {
            b'/' => name.push(':'),
            b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => name.push(byte.into()),
            // Writing to a string does not fail.
            _ => _ = write!(name, "_{byte:02x}"),
        }
    }
    name
}

/// The route of a backend, if it is one of ours.
pub(super) fn route(backend: &str) -> Option<String> {
    let mut rest = backend.strip_prefix(PREFIX)?.bytes();
    let mut name = Vec::with_capacity(rest.len());
    while let Some(byte) = rest.next() {
        name.push(match byte {
            b':' => b'/',
            b'_' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(name).ok()
}

/// A server is named by where it is, so that whoever reads the server's own pages knows which one it is.
pub(super) fn server(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// Host and port of a server.
pub(super) fn place(server: &str) -> Option<(&str, u16)> {
    let (host, port) = server.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

/// `host:port`, where hosts of version 6 are in brackets.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether it is an address of version 4 or 6, or the name of a host, and nothing else.
pub(super) fn is_host(host: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    host.parse::<IpAddr>().is_ok()
        || (!host.is_empty() && !host.starts_with('-') && host.len() <= 253 && host.bytes().all(is_name))
}

/// Whether it is the name of a header or a cookie that needs no quotes, also within brackets.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Whether nothing of it could end a line.
pub(super) fn is_one_line(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// As one word of the configuration, in which nothing means anything. It has to be one line.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// What all of a text comes to.
pub(super) fn digest(of: &[u8]) -> String {
    hex::encode(&Sha256::digest(of)[..16])
}

/// The number of a server, by which hashing knows it: the same in each HAProxy, and after each restart.
pub(super) fn number(server: &str) -> u32 {
    let [a, b, c, d] = Sha256::digest(server.as_bytes()).first_chunk::<4>().copied().unwrap_or_default();
    // It is a positive number of 32 bits, and the small ones are those that HAProxy gives by itself.
    (u32::from_be_bytes([a, b, c, d]) >> 1) | 1 << 20
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_route_is_known_by_its_backend(name in "([a-z0-9.-]{1,9}/[a-z0-9.-]{1,9}|.*)") {
            prop_assume!(!name.contains(':'));
            let backend = backend(&name);
            prop_assert!(backend.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":.-_".contains(&byte)), "{}", backend);
            prop_assert_eq!(route(&backend), Some(name));
        }
    }

    #[test]
    fn other_backends_are_no_routes() {
        assert_eq!(backend("ml/llama-3.1"), "skyfleet:ml:llama-3.1");
        for other in ["skyfleet", "skyfleet.is.0", "web", "skyfleet:a_", "skyfleet:_zz"] {
            assert_eq!(route(other), None, "{other}");
        }
    }

    #[test]
    fn servers_are_named_by_where_they_are() {
        for (host, port, address_of) in [("10.0.0.1", 80, "10.0.0.1:80"), ("fd00::1", 8000, "[fd00::1]:8000")] {
            assert_eq!(place(&server(host, port)), Some((host, port)));
            assert_eq!(address(host, port), address_of);
        }
        assert_ne!(number("10.0.0.1:80"), number("10.0.0.2:80"));
        assert!(i32::try_from(number("10.0.0.1:80")).is_ok());
    }

    #[test]
    fn what_is_no_plain_host_or_name_is_refused() {
        for (host, is) in [
            ("10.0.0.1", true),
            ("fd00::1", true),
            ("a.example.com", true),
            ("", false),
            ("a b", false),
            ("a\nserver x", false),
            ("unix@/x", false),
            ("a;b", false),
            ("fd00::1%eth0", false),
            ("-a", false),
        ] {
            assert_eq!(is_host(host), is, "{host}");
        }
        assert!(is_plain("X-Session"));
        for name in ["", "a b", "a\n", "a)", "a'b", "a#b", "a,b"] {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn quoted_words_mean_nothing() {
        assert_eq!(quote("/a b'c\"$x#\\"), r#"'/a b'\''c"$x#\'"#);
        assert!(is_one_line("/a b") && !is_one_line("a\nb") && !is_one_line("a\rb") && !is_one_line("a\0"));
    }
}
