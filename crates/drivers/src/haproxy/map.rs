//! Which backend takes a request, as a map of patterns that HAProxy tries in their order: pure.
//!
//! What they are matched with is `PATH HOST MODEL`. Space ends each of the first two, and no request has one in its path.

use std::fmt::Write as _;

use crate::rules::{Host, Rule};

/// What has any text but spaces.
const ANY: &str = "[^\\x20]*";

/// A pattern, and the backend of what matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// A regular expression without spaces.
    pub pattern: String,
    /// The name of a backend.
    pub backend: String,
}

/// Of a rule.
pub(super) fn entry(rule: &Rule, backend: &str) -> Entry {
    let path = if rule.path.is_empty() { ANY.to_owned() } else { format!("{}(/{ANY})?", escape(&rule.path)) };
    let host = match &rule.host {
        Host::Exact(host) => escape(host),
        Host::Suffix(suffix) => format!("[^\\x20]+{}", escape(suffix)),
        Host::Any => ANY.to_owned(),
    };
    let model = rule.model.as_ref().map(|model| format!("{}$", escape(model))).unwrap_or_default();
    Entry { pattern: format!("^{path}\\x20{host}\\x20{model}"), backend: backend.to_owned() }
}

/// As a file has them.
pub(super) fn text(entries: &[Entry]) -> String {
    entries.iter().fold(String::new(), |mut text, Entry { pattern, backend }| {
        // Writing to a string does not fail.
        _ = writeln!(text, "{pattern} {backend}");
        text
    })
}

/// All but letters and digits by their numbers, so that no pattern and no line ends in what a user wrote.
fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() {
            escaped.push(byte.into());
        } else {
            _ = write!(escaped, "\\x{byte:02x}");
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_nothing_of_what_users_wrote_but_letters_and_digits() {
        for (host, path, model, expected) in [
            (Host::Any, "", None, r"^[^\x20]*\x20[^\x20]*\x20"),
            (Host::Exact("a.b".to_owned()), "/v1", None, r"^\x2fv1(/[^\x20]*)?\x20a\x2eb\x20"),
            (Host::Suffix(".b".to_owned()), "", Some("l-3"), r"^[^\x20]*\x20[^\x20]+\x2eb\x20l\x2d3$"),
            (Host::Any, "", Some("a b\n.*#\"é"), r"^[^\x20]*\x20[^\x20]*\x20a\x20b\x0a\x2e\x2a\x23\x22\xc3\xa9$"),
        ] {
            let rule = Rule { host, path: path.to_owned(), model: model.map(str::to_owned), route: 0 };
            let entry = entry(&rule, "skyfleet:a:b");
            assert_eq!(entry.pattern, expected);
            assert_eq!(text(&[entry]), format!("{expected} skyfleet:a:b\n"));
        }
    }
}
