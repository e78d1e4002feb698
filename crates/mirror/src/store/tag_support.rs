//! Whether a store keeps tags: tried once, with a tiny object, when the first of them is to be written.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::store::probe::probe_key;
use crate::store::tags::{judge_test, test_tags};
use crate::{Attributes, ObjectStore, StoreError, Tags, TagsLost};

/// What is known of one store.
#[derive(Clone)]
pub(crate) struct TagSupport {
    rules: TagRules,
    /// Why it does not keep tags, if it does not; empty until the first are to be written.
    lost: Arc<OnceCell<Option<TagsLost>>>,
}

/// What a kind of store says of tags.
#[derive(Clone, Copy)]
pub(crate) struct TagRules {
    /// Those of the tags that an object can have.
    pub(crate) fitting: fn(&Tags) -> Tags,
    /// Which ones that are, in words.
    pub(crate) said: &'static str,
    /// What it takes to write them.
    pub(crate) permission: &'static str,
}

impl TagSupport {
    pub(crate) fn new(rules: TagRules) -> Self {
        Self { rules, lost: Arc::default() }
    }

    /// The attributes to write: without the tags that the store does not take, so that they do not fail the object. `put` writes a tiny
    /// object with just these attributes.
    pub(crate) async fn takes<'a, F: Future<Output = Result<(), StoreError>>>(
        &self,
        store: &dyn ObjectStore,
        attributes: &'a Attributes,
        put: impl FnOnce(String, Attributes) -> F,
    ) -> Result<Cow<'a, Attributes>, StoreError> {
        if attributes.tags.is_empty() {
            return Ok(Cow::Borrowed(attributes));
        }
        let lost = self.lost.get_or_try_init(|| self.try_with(store, put)).await?;
        let tags = if lost.is_some() { Tags::new() } else { (self.rules.fitting)(&attributes.tags) };
        Ok(Cow::Owned(Attributes { tags, ..attributes.clone() }))
    }

    /// Why these tags are not all written, as far as it has turned out.
    pub(crate) fn why_lost(&self, tags: &Tags) -> Option<TagsLost> {
        if tags.is_empty() {
            return None;
        }
        let unfit = || ((self.rules.fitting)(tags) != *tags).then_some(TagsLost::Unfit(self.rules.said));
        self.lost.get().cloned().flatten().or_else(unfit)
    }

    async fn try_with<F: Future<Output = Result<(), StoreError>>>(
        &self,
        store: &dyn ObjectStore,
        put: impl FnOnce(String, Attributes) -> F,
    ) -> Result<Option<TagsLost>, StoreError> {
        let key = probe_key();
        let written = put(key.clone(), Attributes { tags: test_tags(), ..Attributes::default() }).await;
        let (read, removal) = match &written {
            Ok(()) => (store.tags(&key).await, store.delete(&key).await),
            Err(error) => (Err(error.clone()), Ok(())),
        };
        let lost = judge_test(written, read, self.rules.permission);
        if let Ok(Some(lost)) = &lost {
            let place = store.place();
            tracing::warn!(bucket = %place.bucket, endpoint = %place.endpoint, "objects carry tags, {lost}");
        }
        removal.and(lost)
    }
}
