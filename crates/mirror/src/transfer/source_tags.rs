//! The tags of the object that is copied.

use super::Transfer;
use crate::cancel::cancellable;
use crate::{ObjectHead, Replica, StoreError, StoreErrorKind, Tags};

#[derive(Debug, Clone)]
pub(crate) enum SourceTags {
    Read(Tags),
    /// It has some, and they could not be read.
    Unread(StoreError),
}

impl SourceTags {
    /// Asks for them where the store said that there are some. That they may not be read is no reason to leave the object.
    pub(crate) async fn of(
        source: &Replica,
        key: &str,
        head: &ObjectHead,
        transfer: &Transfer,
    ) -> Result<Self, StoreError> {
        if head.tag_count == 0 {
            return Ok(Self::Read(Tags::new()));
        }
        let key = source.key(key);
        match cancellable(&transfer.cancel, source.store.place(), source.store.tags(&key)).await {
            Err(error) if matches!(error.kind, StoreErrorKind::CredentialsRefused | StoreErrorKind::Rejected) => {
                Ok(Self::Unread(error))
            }
            tags => tags.map(Self::Read),
        }
    }
}
