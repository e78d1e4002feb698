//! What a dataset is: which keys belong to it, what its content is called, and where that is written.

pub(crate) mod document;
pub(crate) mod filter;
pub(crate) mod layout;
pub(crate) mod manifest;
pub(crate) mod manifest_reader;
pub(crate) mod provenance;
pub(crate) mod shard_index;
pub(crate) mod version_store;
