//! An object's tags.

use std::borrow::Cow;

use http::Request;

use super::S3Store;
use super::attributes::{FITTING_TAGS, fitting_tags};
use crate::store::probe::CONTENT;
use crate::store::tag_support::TagRules;
use crate::store::tags;
use crate::{Attributes, Condition, Payload, StoreError, Tags};

pub(super) const RULES: TagRules =
    TagRules { fitting: fitting_tags, said: FITTING_TAGS, permission: "s3:PutObjectTagging" };

impl S3Store {
    /// The attributes to write, with as many of the tags as the store takes.
    pub(super) async fn takes<'a>(&self, attributes: &'a Attributes) -> Result<Cow<'a, Attributes>, StoreError> {
        let put = async |key: String, attributes: Attributes| {
            let payload = Payload::checked_by(CONTENT, self.algorithm());
            self.put_checked(&key, &attributes, payload, &Condition::Any).await.map(|_| ())
        };
        self.tag_support.takes(self, attributes, put).await
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
