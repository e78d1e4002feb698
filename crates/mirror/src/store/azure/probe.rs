use bytes::Bytes;
use http::HeaderMap;

use super::AzureStore;
use super::objects::md5;
use crate::store::probe::{CONTENT, answered, probe_key};
use crate::{Capabilities, ObjectStore as _, RESERVED_PREFIX, StoreError, StoreErrorKind};

impl AzureStore {
    pub(super) async fn capabilities(&self) -> Result<Capabilities, StoreError> {
        self.list_page(RESERVED_PREFIX, None).await?;
        let key = probe_key();
        let headers = match self.write(&key, "write a test object", &[]).await {
            Err(error) if error.kind == StoreErrorKind::CredentialsRefused => return Ok(Capabilities::default()),
            other => other?,
        };
        let overwrite = self.write(&key, "try a conditional write", &[("if-none-match", "*")]).await.map(|_| ());
        let conditional_writes = answered(overwrite, |kind| *kind == StoreErrorKind::Changed);
        self.delete(&key).await?;
        Ok(Capabilities {
            writable: true,
            conditional_writes: conditional_writes?,
            // It checks an MD5 and tells none of those we name.
            checksums: Vec::new(),
            // The account's setting is not to be read here, but every write of it names a version.
            versioning: Some(headers.contains_key("x-ms-version-id")),
        })
    }

    async fn write(&self, key: &str, action: &str, headers: &[(&str, &str)]) -> Result<HeaderMap, StoreError> {
        let attempt = || {
            let content = Bytes::from_static(CONTENT);
            let request = self.put_blob(key, &md5([&content]));
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            self.ask(action, request, content.into())
        };
        self.options.retry.run(attempt).await.map(|answer| answer.headers)
    }
}
