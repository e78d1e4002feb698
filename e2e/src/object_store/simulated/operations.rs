//! The operations that programs which copy buckets ask for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use bytes::Bytes;
use futures::stream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput, ETag, EncodingType, GetObjectInput,
    GetObjectOutput, GetObjectTaggingInput, GetObjectTaggingOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput,
    HeadObjectOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output,
    MultipartUpload, Object, PutObjectInput, PutObjectOutput, StreamingBlob, Tag, Timestamp, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::bucket::{Checksum, SimulatedBucket, Stored, Upload, assembled, hex};
use super::locked;
use super::requests::{behind, check, checked, count, crc64nvme, kind, length, next_key, tags_in, whole};

/// Objects in a page at most.
const PAGE: usize = 1000;

/// What `encoding-type=url` leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

type Buckets = Arc<Mutex<BTreeMap<String, SimulatedBucket>>>;

pub(super) struct Memory {
    buckets: Buckets,
    uploads: AtomicU64,
}

impl Memory {
    pub(super) fn new(buckets: Buckets) -> Self {
        Self { buckets, uploads: AtomicU64::new(0) }
    }

    fn with<T>(&self, bucket: &str, act: impl FnOnce(&mut SimulatedBucket) -> S3Result<T>) -> S3Result<T> {
        act(locked(&self.buckets).get_mut(bucket).ok_or_else(|| s3_error!(NoSuchBucket))?)
    }

    fn find(&self, bucket: &str, key: &str) -> S3Result<Stored> {
        self.with(bucket, |bucket| bucket.objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey)))
    }
}

#[async_trait::async_trait]
impl S3 for Memory {
    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.with(&request.input.bucket, |_| Ok(S3Response::new(HeadBucketOutput::default())))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let ListObjectsV2Input {
            bucket,
            prefix,
            delimiter,
            continuation_token,
            encoding_type,
            max_keys,
            start_after,
            ..
        } = request.input;
        let prefix = prefix.unwrap_or_default();
        let after = continuation_token.or(start_after.filter(|after| *after > prefix));
        let most = max_keys.and_then(|most| usize::try_from(most).ok()).unwrap_or(PAGE).min(PAGE);
        let is_encoded = encoding_type.as_ref().is_some_and(|kind| kind.as_str() == EncodingType::URL);
        let shown = |key: &str| if is_encoded { utf8_percent_encode(key, ENCODED).to_string() } else { key.to_owned() };
        let object = |key: &str, object: &Stored| Object {
            key: Some(shown(key)),
            size: length(object.size),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(Timestamp::from(object.modified)),
            ..Object::default()
        };
        self.with(&bucket, |bucket| {
            let (mut contents, mut folders) = (Vec::new(), Vec::new());
            let mut next = next_key(bucket, &prefix, after.as_deref());
            let mut last = None;
            while let Some((key, stored)) = next.filter(|_| contents.len() + folders.len() < most) {
                let within = delimiter.as_ref().and_then(|delimiter| {
                    let end = key[prefix.len()..].find(delimiter.as_str())? + delimiter.len();
                    Some(&key[..prefix.len() + end])
                });
                let after = if let Some(folder) = within {
                    folders.push(CommonPrefix { prefix: Some(shown(folder)) });
                    format!("{folder}{}", char::MAX)
                } else {
                    contents.push(object(key, stored));
                    key.to_owned()
                };
                next = next_key(bucket, &prefix, Some(&after));
                last = Some(after);
            }
            let is_truncated = next.is_some();
            Ok(S3Response::new(ListObjectsV2Output {
                key_count: i32::try_from(contents.len() + folders.len()).ok(),
                contents: Some(contents),
                common_prefixes: Some(folders),
                is_truncated: Some(is_truncated),
                next_continuation_token: last.filter(|_| is_truncated),
                encoding_type,
                ..ListObjectsV2Output::default()
            }))
        })
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.find(&request.input.bucket, &request.input.key)?;
        let (checksum_sha256, checksum_crc64nvme) = Checksum::told(object.checksum.as_ref());
        Ok(S3Response::new(HeadObjectOutput {
            content_length: length(object.size),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(Timestamp::from(object.modified)),
            checksum_type: kind(object.checksum.as_ref()),
            checksum_sha256,
            checksum_crc64nvme,
            content_type: object.content_type,
            metadata: object.metadata.map(|metadata| metadata.into_iter().collect()),
            ..HeadObjectOutput::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let object = self.find(&request.input.bucket, &request.input.key)?;
        if let Some(wanted) = &request.input.if_match
            && wanted.as_etag().is_some_and(|wanted| wanted.value() != object.etag)
        {
            return Err(s3_error!(PreconditionFailed));
        }
        let range = request.input.range.map(|range| range.check(object.size)).transpose();
        let range = range.map_err(|_| s3_error!(InvalidRange))?;
        let (content_range, body) = match range {
            Some(range) => {
                let text = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), object.size);
                let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
                (Some(text), object.body.slice(at(range.start)..at(range.end)))
            }
            None => (None, object.body.clone()),
        };
        let (checksum_sha256, checksum_crc64nvme) = Checksum::told(object.checksum.as_ref());
        Ok(S3Response::new(GetObjectOutput {
            content_length: length(body.len() as u64),
            content_range,
            body: Some(StreamingBlob::wrap(stream::iter([Ok::<_, std::convert::Infallible>(body)]))),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(Timestamp::from(object.modified)),
            checksum_type: kind(object.checksum.as_ref()),
            checksum_sha256,
            checksum_crc64nvme,
            content_type: object.content_type,
            metadata: object.metadata.map(|metadata| metadata.into_iter().collect()),
            tag_count: count(&object.tags),
            ..GetObjectOutput::default()
        }))
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let object = self.find(&request.input.bucket, &request.input.key)?;
        let tags = object.tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) });
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set: tags.collect(), ..GetObjectTaggingOutput::default() }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput {
            bucket,
            key,
            body,
            checksum_sha256,
            checksum_crc64nvme,
            content_type,
            metadata,
            if_match,
            if_none_match,
            tagging,
            ..
        } = request.input;
        let body = whole(body).await?;
        let checksum_crc64nvme = checksum_crc64nvme.or_else(|| behind(request.trailing_headers.as_ref()));
        let part = checked(&body, Checksum::sent(checksum_sha256.clone(), checksum_crc64nvme.clone()))?;
        let checksum_type = kind(part.checksum.as_ref());
        let etag = hex(&part.md5);
        self.with(&bucket, |bucket| {
            check(bucket, &key, if_match.as_ref(), if_none_match.as_ref())?;
            let object = Stored {
                size: part.size,
                body: if bucket.forgetful { Bytes::new() } else { body },
                etag: etag.clone(),
                checksum: part.checksum,
                modified: SystemTime::now(),
                content_type,
                metadata: metadata.map(|metadata| metadata.into_iter().collect()),
                tags: tags_in(tagging.as_deref()),
            };
            bucket.objects.insert(key, object);
            Ok(())
        })?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_type,
            checksum_sha256,
            checksum_crc64nvme,
            ..PutObjectOutput::default()
        }))
    }

    /// Only into buckets that are to copy wrongly: elsewhere programs are measured by what they read and write.
    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let CopyObjectInput { bucket, key, .. } = request.input;
        let etag = self.with(&bucket, |bucket| {
            let wrong = bucket.copied_as.clone().ok_or_else(|| s3_error!(NotImplemented))?;
            let etag = wrong.etag.clone();
            bucket.objects.insert(key, Stored { modified: SystemTime::now(), ..wrong });
            Ok(etag)
        })?;
        let result = CopyObjectResult { e_tag: Some(ETag::Strong(etag)), ..CopyObjectResult::default() };
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let CreateMultipartUploadInput {
            bucket,
            key,
            content_type,
            metadata,
            checksum_algorithm,
            checksum_type,
            tagging,
            ..
        } = request.input;
        let id = self.uploads.fetch_add(1, Ordering::Relaxed).to_string();
        self.with(&bucket, |bucket| {
            let metadata = metadata.map(|metadata| metadata.into_iter().collect());
            let tags = tags_in(tagging.as_deref());
            let computes_crc64nvme = checksum_algorithm.as_ref().is_some_and(|wanted| wanted.as_str() == "CRC64NVME");
            let (key, parts) = (key.clone(), BTreeMap::new());
            let upload = Upload { key, parts, computes_crc64nvme, content_type, metadata, tags };
            bucket.uploads.insert(id.clone(), upload);
            Ok(())
        })?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(id),
            checksum_algorithm,
            checksum_type,
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let UploadPartInput { bucket, upload_id, part_number, body, checksum_sha256, checksum_crc64nvme, .. } =
            request.input;
        let body = whole(body).await?;
        let computes = self.with(&bucket, |bucket| {
            let upload = bucket.uploads.get(&upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
            Ok(upload.computes_crc64nvme)
        })?;
        let checksum_crc64nvme = checksum_crc64nvme.or_else(|| behind(request.trailing_headers.as_ref()));
        let mut part = checked(&body, Checksum::sent(checksum_sha256, checksum_crc64nvme))?;
        if computes && part.checksum.is_none() {
            part.checksum = Some(Checksum::Crc64Nvme(crc64nvme(&body)));
        }
        let (checksum_sha256, checksum_crc64nvme) = Checksum::told(part.checksum.as_ref());
        let etag = hex(&part.md5);
        self.with(&bucket, |bucket| {
            let upload = bucket.uploads.get_mut(&upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
            if bucket.forgetful {
                part.body = Bytes::new();
            }
            upload.parts.insert(part_number, part);
            Ok(())
        })?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_sha256,
            checksum_crc64nvme,
            ..UploadPartOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let CompleteMultipartUploadInput {
            bucket,
            key,
            upload_id,
            multipart_upload,
            checksum_crc64nvme,
            if_match,
            if_none_match,
            ..
        } = request.input;
        let named = multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let etag = self.with(&bucket, |bucket| {
            let upload = bucket.uploads.get(&upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
            let is_there = |number: Option<i32>| number.is_some_and(|number| upload.parts.contains_key(&number));
            if named.len() != upload.parts.len() || !named.iter().all(|part| is_there(part.part_number)) {
                return Err(s3_error!(InvalidPart));
            }
            check(bucket, &key, if_match.as_ref(), if_none_match.as_ref())?;
            let (body, size, etag, checksum) = assembled(&upload.parts);
            if checksum_crc64nvme.is_some_and(|sent| checksum != Some(Checksum::Crc64Nvme(sent))) {
                return Err(s3_error!(BadDigest));
            }
            let object = Stored {
                size,
                body,
                etag: etag.clone(),
                checksum,
                modified: SystemTime::now(),
                content_type: upload.content_type.clone(),
                metadata: upload.metadata.clone(),
                tags: upload.tags.clone(),
            };
            bucket.uploads.remove(&upload_id);
            bucket.objects.insert(key.clone(), object);
            Ok(etag)
        })?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(ETag::Strong(etag)),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let AbortMultipartUploadInput { bucket, upload_id, .. } = request.input;
        self.with(&bucket, |bucket| {
            bucket.uploads.remove(&upload_id).map(|_| ()).ok_or_else(|| s3_error!(NoSuchUpload))
        })?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let prefix = request.input.prefix.unwrap_or_default();
        self.with(&request.input.bucket, |bucket| {
            let open = bucket.uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix));
            let uploads = open.map(|(id, upload)| MultipartUpload {
                key: Some(upload.key.clone()),
                upload_id: Some(id.clone()),
                ..MultipartUpload::default()
            });
            Ok(S3Response::new(ListMultipartUploadsOutput {
                uploads: Some(uploads.collect()),
                is_truncated: Some(false),
                ..ListMultipartUploadsOutput::default()
            }))
        })
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.with(&request.input.bucket, |bucket| {
            bucket.objects.remove(&request.input.key);
            Ok(())
        })?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }
}
