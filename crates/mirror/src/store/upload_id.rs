//! The id of an upload to a store that gives none: nothing about it has to be remembered here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use crate::{Attributes, Sha256};

/// An upload that was begun. Such stores ask for the attributes at its end, so they travel in the id.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadId {
    /// 32 hexadecimal digits: those of [`family`], and random ones.
    pub(crate) name: String,
    pub(crate) attributes: Attributes,
}

impl UploadId {
    pub(crate) fn new(key: &str, attributes: &Attributes) -> Self {
        Self { name: format!("{}{:016x}", family(key), fastrand::u64(..)), attributes: attributes.clone() }
    }

    /// The text that stands for it; the error is the text of what cannot be kept.
    pub(crate) fn encode(&self) -> Result<String, String> {
        serde_json::to_vec(self).map(|json| BASE64.encode(json)).map_err(|error| error.to_string())
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        let upload: Self = serde_json::from_slice(&BASE64.decode(text).ok()?).ok()?;
        // It becomes a part of names.
        let is_name = upload.name.len() == 32 && upload.name.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_name.then_some(upload)
    }
}

/// What the names of all uploads of a key begin with, so that those that were never ended are found: 16 hexadecimal digits.
pub(crate) fn family(key: &str) -> String {
    let mut digits = Sha256::of(key.as_bytes()).to_string();
    digits.truncate(16);
    digits
}

#[cfg(test)]
mod tests {
    use super::UploadId;
    use crate::Attributes;

    #[test]
    fn an_id_says_what_it_was_made_of() {
        let metadata = [("größe".to_owned(), "a\nb".to_owned())].into();
        let attributes = Attributes { content_type: Some("x/y".into()), metadata, ..Attributes::default() };
        let upload = UploadId::new("key", &attributes);
        assert_eq!(UploadId::decode(&upload.encode().unwrap()), Some(upload));
        for wrong in ["", "x", "e30"] {
            assert_eq!(UploadId::decode(wrong), None);
        }
    }
}
