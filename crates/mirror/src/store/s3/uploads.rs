//! Uploads in parts: how they begin and end.

use std::time::Duration;

use http::Request;

use super::S3Store;
use super::conditions::conditional;
use super::multipart::NamedPart;
use super::{attributes, checksum, multipart};
use crate::store::http::header;
use crate::{Attributes, Checksum, Condition, Payload, StoreError, Written};

/// What a store may take more for each part, to make an object of them.
const TIME_FOR_A_PART: Duration = Duration::from_millis(100);

/// Headers that begin an upload.
pub(super) type Checking = [(&'static str, &'static str)];

pub(super) const CRC64NVME_OF_THE_WHOLE: [(&str, &str); 2] =
    [("x-amz-checksum-algorithm", "CRC64NVME"), ("x-amz-checksum-type", "FULL_OBJECT")];
pub(super) const SHA256_OF_PARTS: [(&str, &str); 1] = [("x-amz-checksum-algorithm", "SHA256")];

impl S3Store {
    /// Begins an upload; gives its id, and whether the answer says that the store will check as it was asked to.
    pub(super) async fn begin(
        &self,
        key: &str,
        attributes: &Attributes,
        checking: &Checking,
    ) -> Result<(String, bool), StoreError> {
        let action = format!("begin the multipart upload of {key:?}");
        let url = self.object(key, &[("uploads", "")]);
        let attempt = || async {
            let request = attributes::write(Request::post(&url), attributes);
            let request = checking.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let answer = self.ask(&action, request, None).await?;
            let upload = multipart::upload_id(&answer.body).map_err(|detail| self.protocol(&action, detail))?;
            Ok((upload, checking.iter().all(|(name, value)| header(&answer.headers, name) == Some(value))))
        };
        self.options.retry.run(attempt).await
    }

    /// Makes the object. A store checks the checksum of the whole only where it has that of each part.
    pub(super) async fn complete_once(
        &self,
        key: &str,
        upload: &str,
        parts: &[NamedPart],
        whole: Option<Checksum>,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let action = format!("complete the multipart upload of {key:?}");
        let url = self.object(key, &[("uploadId", upload)]);
        let body = Payload::of(multipart::completion(parts));
        let of_parts = parts.first().and_then(|part| part.checksum);
        let whole = whole.filter(|_| matches!(of_parts, Some(Checksum::Crc64Nvme(_))));
        let more = TIME_FOR_A_PART * u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let attempt = || async {
            let request = conditional(Request::post(&url), condition);
            let request = match whole {
                Some(whole) => checksum::write(request, whole).header("x-amz-checksum-type", "FULL_OBJECT"),
                None => request,
            };
            let answer = self.ask_within(more, &action, request, Some(body.clone())).await?;
            let completed = multipart::completed(&answer.body).map_err(|detail| self.protocol(&action, detail))?;
            let etag = completed.ok_or_else(|| self.failed_after_all(&action, &answer))?;
            Ok(Written { etag, ..Written::default() })
        };
        self.options.retry.run(attempt).await
    }
}
