//! Azure Event Grid, in its own form and as cloud events.
//!
//! <https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage>,
//! <https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema>

use serde::Deserialize;
use serde_json::Value;

use super::{Change, CloudEvent, InvalidNotice, Notice, Origin, time};

const VALIDATION: &str = "Microsoft.EventGrid.SubscriptionValidationEvent";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventGrid {
    #[serde(default)]
    topic: String,
    #[serde(default)]
    subject: String,
    event_type: String,
    event_time: Option<String>,
    #[serde(default)]
    data: Value,
}

/// What both forms tell.
struct Event<'a> {
    kind: &'a str,
    /// The resource of the storage account.
    topic: &'a str,
    subject: &'a str,
    at: Option<&'a str>,
    data: &'a Value,
}

impl EventGrid {
    pub(super) fn notice(self) -> Result<Notice, InvalidNotice> {
        let Self { topic, subject, event_type, event_time, data } = &self;
        let event = Event { kind: event_type, topic, subject, at: event_time.as_deref(), data };
        event.notice()
    }
}

pub(super) fn of_cloud_event(event: &CloudEvent) -> Result<Notice, InvalidNotice> {
    let CloudEvent { kind, source, subject, time, data, .. } = event;
    Event { kind, topic: source, subject, at: time.as_deref(), data }.notice()
}

impl Event<'_> {
    fn notice(&self) -> Result<Notice, InvalidNotice> {
        if self.kind == VALIDATION {
            let code = self.data.get("validationCode").and_then(Value::as_str);
            return code
                .map(|code| Notice::Validation(code.to_owned()))
                .ok_or_else(|| incomplete("it has no validationCode"));
        }
        if !self.kind.starts_with("Microsoft.Storage.") {
            return Ok(Notice::Changes(Vec::new()));
        }
        let (container, blob) = within(self.subject)
            .ok_or_else(|| incomplete(&format!("its subject {:?} names no blob of a container", self.subject)))?;
        let account = self.topic.rsplit_once("/storageAccounts/").map(|(_, account)| account.to_owned());
        let origin = Origin::Azure { account, container: container.to_owned() };
        let change = |key: Option<String>| Change { origin: origin.clone(), key, at: time(self.at) };
        // Of a folder that went or was renamed, nobody tells the blobs.
        if self.kind.starts_with("Microsoft.Storage.Directory") {
            return Ok(Notice::Changes(vec![change(None)]));
        }
        let blob = blob.ok_or_else(|| incomplete(&format!("its subject {:?} names no blob", self.subject)))?;
        let mut changes = vec![change(Some(blob.to_owned()))];
        if self.kind == "Microsoft.Storage.BlobRenamed" {
            // Its subject is the old name or the new one, as the version of the storage account is.
            let names = ["sourceUrl", "destinationUrl"].map(|name| self.data.get(name).and_then(Value::as_str));
            let other = |url: Option<&str>| change(url.and_then(|url| of_url(url, container)));
            changes.extend(names.map(other).into_iter().filter(|change| change.key.as_deref() != Some(blob)));
        }
        Ok(Notice::Changes(changes))
    }
}

/// The container and the blob of `/blobServices/default/containers/CONTAINER/blobs/BLOB`.
fn within(subject: &str) -> Option<(&str, Option<&str>)> {
    let rest = subject.strip_prefix("/blobServices/default/containers/")?;
    match rest.split_once("/blobs/") {
        Some((container, blob)) if !blob.is_empty() => Some((container, Some(blob))),
        Some((container, _)) => Some((container, None)),
        None => Some((rest, None)),
    }
}

/// The blob of a URL, which has it percent-encoded.
fn of_url(url: &str, container: &str) -> Option<String> {
    let path = url.split_once("://")?.1.split_once('/')?.1;
    let blob = path.strip_prefix(container)?.strip_prefix('/')?;
    let blob = percent_encoding::percent_decode_str(blob).decode_utf8().ok()?;
    (!blob.is_empty()).then(|| blob.into_owned())
}

fn incomplete(reason: &str) -> InvalidNotice {
    InvalidNotice::Incomplete { form: "Azure Event Grid", reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Notice, Origin};

    fn change(key: Option<&str>, at: &str) -> Change {
        let origin =
            Origin::Azure { account: Some("my-storage-account".to_owned()), container: "test-container".to_owned() };
        Change { origin, key: key.map(str::to_owned), at: Some(at.parse().expect("a time")) }
    }

    const TOPIC: &str = "/subscriptions/{subscription-id}/resourceGroups/Storage/providers/Microsoft.Storage/storageAccounts/my-storage-account";

    /// The example of the documentation.
    fn event(kind: &str, blob: &str, data: &str) -> String {
        format!(
            r#"[{{"topic": "{TOPIC}", "subject": "/blobServices/default/containers/test-container/blobs/{blob}",
            "eventType": "{kind}", "eventTime": "2017-06-26T18:41:00.9584103Z", "id": "831e1650-001e-001b-66ab-eeb76e069631",
            "data": {{"api": "PutBlockList", "clientRequestId": "6d79dbfb-0e37-4fc4-981f-442c9ca65760",
                "requestId": "831e1650-001e-001b-66ab-eeb76e000000", "eTag": "\"0x8D4BCC2E4835CD0\"", "contentType": "text/plain",
                "contentLength": 524288, "blobType": "BlockBlob", {data}
                "url": "https://my-storage-account.blob.core.windows.net/test-container/new-file.txt",
                "sequencer": "00000000000004420000000000028963",
                "storageDiagnostics": {{"batchId": "b68529f3-68cd-4744-baa4-3c0498ec19f0"}}}},
            "dataVersion": "", "metadataVersion": "1"}}]"#
        )
    }

    fn changes(body: &str) -> Vec<Change> {
        match Notice::parse(body.as_bytes()).expect(body) {
            Notice::Changes(changes) => changes,
            Notice::Validation(code) => panic!("it validates {code}"),
        }
    }

    #[test]
    fn blobs_that_come_and_go_are_named() {
        let at = "2017-06-26T18:41:00.9584103Z";
        for kind in
            ["Microsoft.Storage.BlobCreated", "Microsoft.Storage.BlobDeleted", "Microsoft.Storage.BlobTierChanged"]
        {
            assert_eq!(changes(&event(kind, "a folder/new-file.txt", "")), [change(Some("a folder/new-file.txt"), at)]);
        }
        // A queue gets one event a message.
        let one = event("Microsoft.Storage.BlobCreated", "new-file.txt", "");
        assert_eq!(changes(one.trim_matches(['[', ']'])), [change(Some("new-file.txt"), at)]);
        let renamed = r#""sourceUrl": "https://my-storage-account.dfs.core.windows.net/test-container/old%20file.txt",
            "destinationUrl": "https://my-storage-account.dfs.core.windows.net/test-container/new-file.txt","#;
        let renamed = event("Microsoft.Storage.BlobRenamed", "new-file.txt", renamed);
        assert_eq!(changes(&renamed), [change(Some("new-file.txt"), at), change(Some("old file.txt"), at)]);
        for folder in ["Microsoft.Storage.DirectoryDeleted", "Microsoft.Storage.DirectoryRenamed"] {
            assert_eq!(changes(&event(folder, "folder", "")), [change(None, at)], "nobody says which blobs");
        }
        assert_eq!(changes(&event("Microsoft.Resources.ResourceWriteSuccess", "x", "")), []);
    }

    #[test]
    fn a_subscription_is_validated_by_its_code() {
        let body = format!(
            r#"[{{"id": "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66", "topic": "{TOPIC}", "subject": "", "data": {{
            "validationCode": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6",
            "validationUrl": "https://rp-eastus2.eventgrid.azure.net:553/eventsubscriptions/myeventsub/validate?id=512d38b6"}},
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "eventTime": "2022-10-28T04:23:35.1981776Z",
            "metadataVersion": "1", "dataVersion": "1"}}]"#
        );
        let code = "512d38b6-c7b8-40c8-89fe-f46f9e9622b6".to_owned();
        assert_eq!(Notice::parse(body.as_bytes()), Ok(Notice::Validation(code)));
    }

    #[test]
    fn cloud_events_say_the_same() {
        let one = format!(
            r#"{{"source": "{TOPIC}", "subject": "/blobServices/default/containers/test-container/blobs/new-file.txt",
            "type": "Microsoft.Storage.BlobCreated", "time": "2021-01-01T00:00:00Z", "id": "831e1650-001e-001b-66ab-eeb76e069631",
            "data": {{"api": "PutBlockList"}}, "specversion": "1.0"}}"#
        );
        let expected = change(Some("new-file.txt"), "2021-01-01T00:00:00Z");
        assert_eq!(changes(&one), std::slice::from_ref(&expected));
        assert_eq!(changes(&format!("[{one}, {one}]")), [expected.clone(), expected]);
    }

    #[test]
    fn what_names_no_blob_is_refused() {
        let body = event("Microsoft.Storage.BlobCreated", "", "");
        let refused = Notice::parse(body.as_bytes()).expect_err("no blob");
        assert!(refused.to_string().contains("names no blob"), "{refused}");
    }
}
