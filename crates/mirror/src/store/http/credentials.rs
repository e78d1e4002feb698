//! What the crates that sign need of us: requests to token services, and files.

use bytes::Bytes;
use http::{Request, Response};
use reqsign_core::{Context, Error, FileRead, HttpSend, OsEnv};

use super::{Failure, Http};

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        let unreadable = |error| Error::config_invalid(format!("cannot read {path:?}")).with_source(error);
        tokio::fs::read(path).await.map_err(unreadable)
    }
}

impl HttpSend for Http {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        // A token service that does not answer may answer soon.
        let failed = |failure: Failure| Error::unexpected(failure.detail).set_retryable(true);
        let answer = self.ask(request.map(Into::into)).await.map_err(failed)?;
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// Where credentials are looked for: the environment, files and token services. Programs are never run for them.
pub(crate) fn credential_context(http: &Http) -> Context {
    Context::new().with_env(OsEnv).with_file_read(Files).with_http_send(http.clone())
}
