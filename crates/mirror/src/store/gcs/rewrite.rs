//! Copies that Google makes by itself: the bytes do not come here.

use bytes::Bytes;
use http::Request;
use serde::Deserialize;

use super::GcsStore;
use super::requests::matching;
use super::resource::Resource;
use crate::store::http::{encoded, query};
use crate::{Condition, CopySource, StoreCopy, StoreError};

/// Google does it in steps, where it has to move the bytes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    done: bool,
    rewrite_token: Option<String>,
    resource: Option<Resource>,
}

impl GcsStore {
    pub(super) async fn rewrite(
        &self,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
    ) -> Result<StoreCopy, StoreError> {
        let action = format!("let the store copy {key:?}");
        self.check(&action, key)?;
        let rewritten = self.steps(&action, source, key, condition).await?;
        let written = rewritten.written().map_err(|detail| self.protocol(&action, detail))?;
        if rewritten.md5().is_some() && rewritten.md5() == source.version.md5 {
            return Ok(StoreCopy::Proven(written));
        }
        // What was composed has no MD5.
        let head = source.store.head(source.key).await?;
        let is_same = head.etag == source.version.etag && head.checksum.is_some() && head.checksum == written.checksum;
        Ok(if is_same { StoreCopy::Proven(written) } else { StoreCopy::Unproven(written.etag) })
    }

    async fn steps(
        &self,
        action: &str,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
    ) -> Result<Resource, StoreError> {
        let place = source.store.place();
        let from = encoded(&format!("{}{}", place.prefix, source.key));
        let to = format!("{}/o/{}", self.location.bucket, encoded(&self.name(key)));
        let path = format!("{}/storage/v1/b/{}/o/{from}/rewriteTo/b/{to}", self.endpoint, place.bucket);
        let mut token: Option<String> = None;
        loop {
            let mut parameters = vec![("sourceGeneration", source.version.etag.as_str())];
            parameters.extend(matching(condition));
            parameters.extend(token.as_deref().map(|token| ("rewriteToken", token)));
            let url = format!("{path}?{}", query(&parameters));
            let attempt = || self.ask(action, Request::post(&url), Bytes::new());
            let answer = self.options.retry.run(attempt).await?;
            let step: Step = serde_json::from_slice(&answer.body)
                .map_err(|error| self.protocol(action, format!("the answer is no step of a copy: {error}")))?;
            match step {
                Step { done: true, resource: Some(resource), .. } => return Ok(resource),
                Step { done: false, rewrite_token: Some(next), .. } => token = Some(next),
                _ => return Err(self.protocol(action, "the copy neither ended nor goes on")),
            }
        }
    }
}
