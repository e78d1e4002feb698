use std::collections::BTreeMap;

/// What an object carries beside its bytes; a copy keeps all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The `Cache-Control` header.
    pub cache_control: Option<String>,
    /// The `Content-Encoding` header. Bytes are copied as they are stored, never decoded.
    pub content_encoding: Option<String>,
    /// The `Content-Disposition` header.
    pub content_disposition: Option<String>,
    /// The `Content-Language` header.
    pub content_language: Option<String>,
    /// User metadata (`x-amz-meta-*` without the prefix).
    pub metadata: BTreeMap<String, String>,
}
