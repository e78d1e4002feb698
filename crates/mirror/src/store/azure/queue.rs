//! Queues of Azure Storage: <https://learn.microsoft.com/rest/api/storageservices/queue-service-rest-api>.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Request;
use http::request::Builder;
use reqsign_azure_storage::Credential;

use super::requests::{failure, ready};
use super::signing::signer;
use crate::store::credentials::{KeptSigner, exchange};
use crate::store::http::{Answer, Chunks, Failure, Http, encoded, query};
use crate::store::queue::{check_url, place_of};
use crate::store::retry::Requests;
use crate::store::xml::each_element;
use crate::{AzureCredentials, ConnectOptions, Place, QueueMessage, StoreError, StoreErrorKind};

/// What one request reads at most.
const BATCH: &str = "32";
/// How long nobody else gets what was read, in seconds.
const HIDDEN: &str = "60";

/// A queue of a storage account.
pub struct AzureQueue {
    http: Http,
    signer: Option<KeptSigner<Credential>>,
    url: String,
    place: Place,
    options: Requests,
}

impl fmt::Debug for AzureQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureQueue").field("url", &self.url).finish_non_exhaustive()
    }
}

impl AzureQueue {
    pub(in crate::store) async fn connect(
        url: &str,
        account: &str,
        credentials: AzureCredentials,
        options: ConnectOptions,
    ) -> Result<Self, StoreError> {
        let place = place_of(url);
        let rejected = |detail| place.error(StoreErrorKind::Rejected, "use the queue", detail);
        check_url(url).map_err(rejected)?;
        let http = Http::new(options).map_err(rejected)?;
        let signer = signer(&http, account, credentials);
        if let Some(signer) = &signer {
            // So that credentials that are not there are missed now.
            let missing = |failure: Failure| place.error(failure.kind, "use the queue", failure.detail);
            signer.find().await.map_err(missing)?;
        }
        Ok(Self { http, signer, url: url.to_owned(), place, options: options.into() })
    }

    pub(in crate::store) async fn receive(&self) -> Result<Vec<QueueMessage>, StoreError> {
        const ACTION: &str = "read the queue";
        let parameters = query(&[("numofmessages", BATCH), ("visibilitytimeout", HIDDEN)]);
        let url = format!("{}/messages?{parameters}", self.url);
        let answer = self.options.retry.run(|| self.attempt(ACTION, Request::get(&url))).await?;
        messages(&answer.body).map_err(|detail| self.place.error(StoreErrorKind::Protocol, ACTION, detail))
    }

    pub(in crate::store) async fn remove(&self, messages: &[QueueMessage]) -> Result<(), StoreError> {
        for QueueMessage { id, receipt, .. } in messages {
            let url = format!("{}/messages/{}?{}", self.url, encoded(id), query(&[("popreceipt", receipt)]));
            match self.options.retry.run(|| self.attempt("remove a message", Request::delete(&url))).await {
                // Another reader has got and removed it, or the answer was lost.
                Err(error) if error.kind == StoreErrorKind::NotFound => {}
                outcome => _ = outcome?,
            }
        }
        Ok(())
    }

    async fn attempt(&self, action: &str, request: Builder) -> Result<Answer, StoreError> {
        let attempt = async {
            let send = |request| self.http.succeed_within(Duration::ZERO, request, failure);
            exchange(&self.signer, ready(request, Chunks::default())?, None, send).await
        };
        attempt.await.map_err(|failure| failure.expired_is_refused().at(&self.place, action))
    }
}

/// Event Grid sends what it says in Base64.
fn messages(xml: &[u8]) -> Result<Vec<QueueMessage>, String> {
    let (mut messages, mut id, mut receipt, mut body) = (Vec::new(), String::new(), String::new(), Vec::new());
    each_element(xml, |element| {
        match element.path.strip_prefix("QueueMessagesList/QueueMessage") {
            Some("/MessageId") => element.text.clone_into(&mut id),
            Some("/PopReceipt") => element.text.clone_into(&mut receipt),
            Some("/MessageText") => {
                body = BASE64_STANDARD.decode(element.text.trim()).unwrap_or_else(|_| element.text.as_bytes().to_vec());
            }
            Some("") => messages.push(QueueMessage {
                body: std::mem::take(&mut body),
                id: std::mem::take(&mut id),
                receipt: std::mem::take(&mut receipt),
            }),
            _ => {}
        }
        Ok(())
    })?;
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::{QueueMessage, messages};

    #[test]
    fn messages_are_read_with_what_removes_them() {
        let xml = br#"<?xml version="1.0" encoding="utf-8"?><QueueMessagesList>
            <QueueMessage><MessageId>5974b586-0df3-4e2d-ad0c-18e3892bfca2</MessageId><InsertionTime>Fri, 09 Oct 2009 21:04:30 GMT</InsertionTime>
            <PopReceipt>YzQ4Yzg1MDItYTc0Ny00OWNjLTkxYTUtZGM0MDFiZDAwYzEw</PopReceipt><DequeueCount>1</DequeueCount><MessageText>W3t9XQ==</MessageText></QueueMessage>
            <QueueMessage><MessageId>2</MessageId><PopReceipt>r</PopReceipt><MessageText>[{}]</MessageText></QueueMessage></QueueMessagesList>"#;
        let message = |id: &str, receipt: &str| QueueMessage {
            body: b"[{}]".to_vec(),
            id: id.to_owned(),
            receipt: receipt.to_owned(),
        };
        let first = message("5974b586-0df3-4e2d-ad0c-18e3892bfca2", "YzQ4Yzg1MDItYTc0Ny00OWNjLTkxYTUtZGM0MDFiZDAwYzEw");
        assert_eq!(messages(xml), Ok(vec![first, message("2", "r")]));
        assert_eq!(messages(b"<QueueMessagesList />"), Ok(vec![]));
        assert!(messages(b"{}").is_err() || messages(b"{}") == Ok(vec![]));
    }
}
