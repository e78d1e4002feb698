//! Google Cloud Storage: messages that Pub/Sub pushes, and cloud events of Eventarc.
//!
//! <https://cloud.google.com/storage/docs/pubsub-notifications>, <https://cloud.google.com/pubsub/docs/push>

use serde::Deserialize;
use serde_json::Value;

use super::{Change, CloudEvent, InvalidNotice, Origin, from_base64, time};

/// What a push subscription sends.
#[derive(Deserialize)]
pub(super) struct Push {
    message: Message,
    #[serde(rename = "subscription")]
    _subscription: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(default)]
    attributes: Attributes,
    data: Option<String>,
    publish_time: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    bucket_id: Option<String>,
    object_id: Option<String>,
    event_time: Option<String>,
}

/// The object, where the notification has it as its payload; all of it is in the attributes, too.
#[derive(Deserialize)]
struct Object {
    bucket: String,
    name: String,
}

impl Push {
    pub(super) fn changes(self) -> Result<Vec<Change>, InvalidNotice> {
        let Message { attributes, data, publish_time } = self.message;
        let payload = || serde_json::from_slice::<Object>(&from_base64(data.as_deref()?)?).ok();
        let named = attributes.bucket_id.zip(attributes.object_id);
        let named = named.or_else(|| payload().map(|Object { bucket, name }| (bucket, name)));
        let (bucket, key) = named.ok_or_else(|| InvalidNotice::Incomplete {
            form: "Cloud Storage by Pub/Sub",
            reason: "it has no attributes bucketId and objectId".to_owned(),
        })?;
        let at = time(attributes.event_time.as_deref().or(publish_time.as_deref()));
        Ok(vec![Change { origin: Origin::Google(bucket), key: Some(key), at }])
    }
}

/// Its source is `//storage.googleapis.com/projects/_/buckets/BUCKET` and its subject `objects/KEY`.
pub(super) fn of_cloud_event(event: &CloudEvent) -> Result<Vec<Change>, InvalidNotice> {
    let text = |name: &str| event.data.get(name).and_then(Value::as_str);
    let bucket = event.source.rsplit_once("/buckets/").map(|(_, bucket)| bucket).or_else(|| text("bucket"));
    let key = event.subject.strip_prefix("objects/").or_else(|| text("name"));
    let (bucket, key) = bucket.zip(key).ok_or_else(|| InvalidNotice::Incomplete {
        form: "Cloud Storage by Eventarc",
        reason: "its source and subject name no object of a bucket".to_owned(),
    })?;
    let origin = Origin::Google(bucket.to_owned());
    Ok(vec![Change { origin, key: Some(key.to_owned()), at: time(event.time.as_deref()) }])
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::super::{Change, Notice, Origin};

    fn change(bucket: &str, key: &str, at: &str) -> Notice {
        let origin = Origin::Google(bucket.to_owned());
        Notice::Changes(vec![Change { origin, key: Some(key.to_owned()), at: Some(at.parse().expect("a time")) }])
    }

    /// The payload of the documentation, which is the object.
    const OBJECT: &str = r#"{"kind": "storage#object", "id": "my-bucket/path/my object.txt/1521161455123456",
        "selfLink": "https://www.googleapis.com/storage/v1/b/my-bucket/o/path%2Fmy%20object.txt", "name": "path/my object.txt",
        "bucket": "my-bucket", "generation": "1521161455123456", "metageneration": "1", "contentType": "text/plain",
        "timeCreated": "2018-03-16T00:50:55.123Z", "updated": "2018-03-16T00:50:55.123Z", "size": "10", "md5Hash": "z3fSBXmt1Cs6pLe1xqbVEQ=="}"#;

    fn push(attributes: &serde_json::Value, data: Option<&str>) -> Vec<u8> {
        let mut body = serde_json::json!({
            "message": {"attributes": attributes, "messageId": "2070443601311540", "message_id": "2070443601311540",
                "publishTime": "2021-02-26T19:13:55.749Z", "publish_time": "2021-02-26T19:13:55.749Z"},
            "subscription": "projects/myproject/subscriptions/mysubscription",
        });
        if let Some(data) = data {
            body["message"]["data"] = BASE64_STANDARD.encode(data).into();
        }
        body.to_string().into_bytes()
    }

    #[test]
    fn attributes_name_the_object() {
        for kind in ["OBJECT_FINALIZE", "OBJECT_METADATA_UPDATE", "OBJECT_DELETE", "OBJECT_ARCHIVE"] {
            let attributes = serde_json::json!({
                "notificationConfig": "projects/_/buckets/my-bucket/notificationConfigs/3", "eventType": kind,
                "payloadFormat": "JSON_API_V1", "bucketId": "my-bucket", "objectId": "path/my object.txt",
                "objectGeneration": "1521161455123456", "eventTime": "2018-03-16T00:50:55.123456Z",
            });
            let expected = change("my-bucket", "path/my object.txt", "2018-03-16T00:50:55.123456Z");
            assert_eq!(Notice::parse(&push(&attributes, Some(OBJECT))), Ok(expected.clone()));
            assert_eq!(Notice::parse(&push(&attributes, None)), Ok(expected), "payloadFormat NONE");
        }
    }

    #[test]
    fn so_does_the_payload() {
        let expected = change("my-bucket", "path/my object.txt", "2021-02-26T19:13:55.749Z");
        assert_eq!(Notice::parse(&push(&serde_json::json!({}), Some(OBJECT))), Ok(expected));
        let refused = Notice::parse(&push(&serde_json::json!({}), Some("hello"))).expect_err("no object");
        assert!(refused.to_string().contains("bucketId and objectId"), "{refused}");
    }

    #[test]
    fn events_of_eventarc_name_it_in_their_subject() {
        let event = br#"{"specversion": "1.0", "type": "google.cloud.storage.object.v1.finalized",
            "source": "//storage.googleapis.com/projects/_/buckets/MY-BUCKET-NAME", "subject": "objects/MY_FILE.txt",
            "id": "A234-1234-1234", "time": "2018-04-05T17:31:00Z", "datacontenttype": "application/json",
            "data": {"bucket": "MY-BUCKET-NAME", "name": "MY_FILE.txt", "size": "1024"}}"#;
        let expected = change("MY-BUCKET-NAME", "MY_FILE.txt", "2018-04-05T17:31:00Z");
        assert_eq!(Notice::parse(event), Ok(expected));
    }
}
