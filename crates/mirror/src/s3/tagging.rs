//! Tags: whether the store keeps them is tried once, with a tiny object, when the first of them is to be written.

use std::borrow::Cow;

use http::Request;

use super::S3Store;
use super::attributes::{FITTING_TAGS, fitting_tags};
use crate::probe::{CONTENT, probe_key};
use crate::tags::{self, judge_test, test_tags};
use crate::{Attributes, Condition, ObjectStore as _, Payload, StoreError, Tags, TagsLost};

impl S3Store {
    /// The attributes to write: without the tags that the store does not take, so that they do not fail the object.
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
        let payload = Payload::checked_by(CONTENT, self.algorithm());
        let written = self.put_checked(&key, &attributes, payload, &Condition::Any).await.map(|_| ());
        let (read, removal) = match &written {
            Ok(()) => (self.read_tags(&key).await, self.delete(&key).await),
            Err(error) => (Err(error.clone()), Ok(())),
        };
        let lost = judge_test(written, read, "s3:PutObjectTagging");
        if let Ok(Some(lost)) = &lost {
            tracing::warn!(bucket = %self.place.bucket, endpoint = %self.place.endpoint, "objects carry tags, {lost}");
        }
        removal.and(lost)
    }

    pub(super) async fn read_tags(&self, key: &str) -> Result<Tags, StoreError> {
        let action = format!("read the tags of {key:?}, which takes s3:GetObjectTagging,");
        let url = self.object(key, &[("tagging", "")]);
        let attempt = || async {
            let answer = self.ask(&action, Request::get(&url), None).await?;
            tags::read(&answer.body, "Tagging").map_err(|detail| self.protocol(&action, detail))
        };
        self.options.retry.run(attempt).await
    }
}
