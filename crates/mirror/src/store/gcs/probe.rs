use serde::Deserialize;

use super::GcsStore;
use super::requests::{Insert, matching};
use super::resource::crc32c;
use crate::store::probe::{CONTENT, answered, probe_key};
use crate::{
    Attributes, Capabilities, ChecksumAlgorithm, Condition, ObjectStore as _, Payload, RESERVED_PREFIX, StoreError,
    StoreErrorKind,
};

#[derive(Deserialize)]
struct Bucket {
    #[serde(default)]
    versioning: Versioning,
}

#[derive(Default, Deserialize)]
struct Versioning {
    #[serde(default)]
    enabled: bool,
}

impl GcsStore {
    pub(super) async fn capabilities(&self) -> Result<Capabilities, StoreError> {
        self.list_page(RESERVED_PREFIX, None).await?;
        let mut found = Capabilities { versioning: self.versioning().await, ..Capabilities::default() };
        let (key, attributes) = (probe_key(), Attributes::default());
        let insert = Insert::new(&key, &attributes, &Payload::of(CONTENT));
        match self.options.retry.run(|| self.insert("write a test object", &insert, &[])).await {
            Ok(_) => found.writable = true,
            Err(error) if error.kind == StoreErrorKind::CredentialsRefused => return Ok(found),
            Err(error) => return Err(error),
        }
        let findings = self.try_writes(insert, &mut found).await;
        let removal = self.delete(&key).await;
        findings.and(removal).map(|()| found)
    }

    async fn try_writes(&self, insert: Insert<'_>, found: &mut Capabilities) -> Result<(), StoreError> {
        // First of all: every further write changes what the store keeps.
        let tells = self.head(insert.key).await?.checksum.is_some();
        let absent = matching(&Condition::Absent);
        let overwrite = || self.insert("try a conditional write", &insert, &absent);
        let overwrite = self.options.retry.run(overwrite).await.map(|_| ());
        found.conditional_writes = answered(overwrite, |kind| *kind == StoreErrorKind::Changed)?;
        let wrong = Insert { crc32c: crc32c(&Payload::of(&b"something else"[..])), ..insert };
        let wrong = self.insert("try a write with a wrong checksum", &wrong, &[]).await.map(|_| ());
        if answered(wrong, |kind| *kind == StoreErrorKind::Corrupt)? && tells {
            found.checksums.push(ChecksumAlgorithm::Crc32c);
        }
        Ok(())
    }

    /// Not everybody may ask: that is no failure of the probe.
    async fn versioning(&self) -> Option<bool> {
        let url = self.bucket("?fields=versioning");
        let answer = self.ask_bucket("look at the bucket", &url).await.ok()?;
        serde_json::from_slice::<Bucket>(&answer.body).ok().map(|bucket| bucket.versioning.enabled)
    }
}
