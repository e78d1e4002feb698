//! A blob's index tags. Not every account has them (those with a hierarchical namespace do not), and not every role may touch them.

use std::borrow::Cow;

use http::Request;

use super::AzureStore;
use super::attributes::{FITTING_TAGS, fitting_tags};
use crate::store::http::Chunks;
use crate::store::probe::CONTENT;
use crate::store::tag_support::TagRules;
use crate::store::tags;
use crate::{Attributes, Condition, Payload, StoreError, Tags};

/// Contributors do not have it.
const WRITING: &str = "blobs/tags/write, which the role Storage Blob Data Owner has, or a SAS with the permission t";

pub(super) const RULES: TagRules = TagRules { fitting: fitting_tags, said: FITTING_TAGS, permission: WRITING };

impl AzureStore {
    /// The attributes to write, with as many of the tags as the account takes.
    pub(super) async fn takes<'a>(&self, attributes: &'a Attributes) -> Result<Cow<'a, Attributes>, StoreError> {
        let put = async |key: String, attributes: Attributes| {
            self.put_as_it_is(&key, &attributes, Payload::of(CONTENT), &Condition::Any).await.map(|_| ())
        };
        self.tag_support.takes(self, attributes, put).await
    }

    pub(super) async fn read_tags(&self, key: &str) -> Result<Tags, StoreError> {
        let action = format!("read the tags of {key:?}, which takes blobs/tags/read or a SAS with the permission t,");
        let url = self.blob(key, &[("comp", "tags")]);
        let attempt = || async {
            let answer = self.ask(&action, Request::get(&url), Chunks::default()).await?;
            tags::read(&answer.body, "Tags").map_err(|detail| self.protocol(&action, detail))
        };
        self.options.retry.run(attempt).await
    }
}
