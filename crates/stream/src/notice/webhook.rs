//! For those who say it by themselves, such as a program that has just written: `{"keys": ["a/b"], "time": "..."}`.

use serde::Deserialize;

use super::{Change, Origin, time};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhook {
    keys: Vec<String>,
    time: Option<String>,
}

impl Webhook {
    /// Without keys, anything may have changed.
    pub(super) fn changes(self) -> Vec<Change> {
        let at = time(self.time.as_deref());
        let change = |key: Option<String>| Change { origin: Origin::Unsaid, key, at };
        if self.keys.is_empty() { vec![change(None)] } else { self.keys.into_iter().map(Some).map(change).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Notice, Origin};

    #[test]
    fn keys_are_all_it_needs() {
        let change = |key: Option<&str>| Change { origin: Origin::Unsaid, key: key.map(str::to_owned), at: None };
        let parse = |body: &str| Notice::parse(body.as_bytes());
        assert_eq!(
            parse(r#"{"keys": ["a/b", "c d"]}"#),
            Ok(Notice::Changes(vec![change(Some("a/b")), change(Some("c d"))]))
        );
        assert_eq!(parse(r#"{"keys": []}"#), Ok(Notice::Changes(vec![change(None)])));
        let at = Some("2026-11-25T12:00:00Z".parse().expect("a time"));
        let timed = Notice::Changes(vec![Change { at, ..change(Some("a")) }]);
        assert_eq!(parse(r#"{"keys": ["a"], "time": "2026-11-25T12:00:00Z"}"#), Ok(timed));
        assert!(parse(r#"{"keys": ["a"], "bucket": "b"}"#).is_err());
    }
}
