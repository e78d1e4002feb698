//! Blob index tags: whether the account keeps them is tried once, with a tiny blob, when the first of them is to be written. Not
//! every account has them (those with a hierarchical namespace do not), and not every role may touch them.

use std::borrow::Cow;

use http::Request;

use super::AzureStore;
use super::attributes::{FITTING_TAGS, fitting_tags};
use crate::http::Chunks;
use crate::probe::{CONTENT, probe_key};
use crate::tags::{self, judge_test, test_tags};
use crate::{Attributes, Condition, ObjectStore as _, Payload, StoreError, Tags, TagsLost};

/// Contributors do not have it.
const WRITING: &str = "blobs/tags/write, which the role Storage Blob Data Owner has, or a SAS with the permission t";

impl AzureStore {
    /// The attributes to write: without the tags that the account does not take, so that they do not fail the object.
    pub(super) async fn takes<'a>(&self, attributes: &'a Attributes) -> Result<Cow<'a, Attributes>, StoreError> {
        if attributes.tags.is_empty() {
            return Ok(Cow::Borrowed(attributes));
        }
        let lost = self.tags_lost.get_or_try_init(|| self.try_tags()).await?;
        let tags = if lost.is_some() { Tags::new() } else { fitting_tags(&attributes.tags) };
        Ok(Cow::Owned(Attributes { tags, ..attributes.clone() }))
    }

    /// Why these tags are not all written, as far as it has turned out.
    pub(super) fn why_lost(&self, tags: &Tags) -> Option<TagsLost> {
        if tags.is_empty() {
            return None;
        }
        let unfit = || (fitting_tags(tags) != *tags).then_some(TagsLost::Unfit(FITTING_TAGS));
        self.tags_lost.get().cloned().flatten().or_else(unfit)
    }

    async fn try_tags(&self) -> Result<Option<TagsLost>, StoreError> {
        let key = probe_key();
        let attributes = Attributes { tags: test_tags(), ..Attributes::default() };
        let written = self.put_as_it_is(&key, &attributes, Payload::of(CONTENT), &Condition::Any).await.map(|_| ());
        let (read, removal) = match &written {
            Ok(()) => (self.read_tags(&key).await, self.delete(&key).await),
            Err(error) => (Err(error.clone()), Ok(())),
        };
        let lost = judge_test(written, read, WRITING);
        if let Ok(Some(lost)) = &lost {
            tracing::warn!(bucket = %self.place.bucket, endpoint = %self.place.endpoint, "objects carry tags, {lost}");
        }
        removal.and(lost)
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
