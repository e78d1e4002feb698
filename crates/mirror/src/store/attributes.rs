use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Tags;

/// What an object carries beside its bytes; a copy keeps all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// The `Content-Type` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The `Cache-Control` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// The `Content-Encoding` header. Bytes are copied as they are stored, never decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// The `Content-Disposition` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// The `Content-Language` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// User metadata (`x-amz-meta-*` without the prefix).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Its tags. [`ObjectStore::head`] and [`ObjectStore::get`] tell none: see [`ObjectStore::tags`].
    ///
    /// [`ObjectStore::head`]: crate::ObjectStore::head
    /// [`ObjectStore::get`]: crate::ObjectStore::get
    /// [`ObjectStore::tags`]: crate::ObjectStore::tags
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Tags,
}
