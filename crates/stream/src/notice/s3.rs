//! Amazon S3 and services that speak as it: messages of a queue, by SNS or not, and events of EventBridge.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::{Change, InvalidNotice, Origin, time};

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Form {
    Records(Records),
    Test(Test),
    EventBridge(EventBridge),
}

/// Sent by S3, MinIO and Ceph.
#[derive(Deserialize)]
pub(super) struct Records {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_time: Option<String>,
    s3: S3,
}

#[derive(Deserialize)]
struct S3 {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

/// Sent once, when notifications are turned on.
#[derive(Deserialize)]
pub(super) struct Test {
    #[serde(rename = "Event")]
    _event: String,
    #[serde(rename = "Bucket")]
    _bucket: String,
}

#[derive(Deserialize)]
pub(super) struct EventBridge {
    #[serde(rename = "detail-type")]
    _kind: String,
    time: Option<String>,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Object,
}

impl Form {
    pub(super) fn changes(self) -> Result<Vec<Change>, InvalidNotice> {
        match self {
            Self::Records(records) => records.changes(),
            Self::Test(Test { .. }) => Ok(Vec::new()),
            Self::EventBridge(event) => Ok(event.changes()),
        }
    }
}

impl Records {
    fn changes(self) -> Result<Vec<Change>, InvalidNotice> {
        let change = |Record { event_time, s3 }: Record| {
            let key = form_decoded(&s3.object.key).ok_or_else(|| InvalidNotice::Incomplete {
                form: "Amazon S3",
                reason: format!("the key {:?} is not UTF-8", s3.object.key),
            })?;
            Ok(Change { origin: Origin::S3(s3.bucket.name), key: Some(key), at: time(event_time.as_deref()) })
        };
        self.records.into_iter().map(change).collect()
    }
}

impl EventBridge {
    /// Its keys are as they are.
    fn changes(self) -> Vec<Change> {
        let Self { time: at, detail: Detail { bucket, object }, .. } = self;
        vec![Change { origin: Origin::S3(bucket.name), key: Some(object.key), at: time(at.as_deref()) }]
    }
}

/// Of a form: `red flower.jpg` comes as `red+flower.jpg`.
fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Notice, Origin};

    fn change(key: &str, at: &str) -> Change {
        let at = Some(at.parse().expect("a time"));
        Change { origin: Origin::S3("amzn-s3-demo-bucket".to_owned()), key: Some(key.to_owned()), at }
    }

    /// The example of the documentation, with a key that has to be decoded.
    const PUT: &str = r#"{"Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-west-2", "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put", "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "172.16.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD"},
        "s3": {"s3SchemaVersion": "1.0", "configurationId": "testConfigRule",
            "bucket": {"name": "amzn-s3-demo-bucket", "ownerIdentity": {"principalId": "A3NL1KOZZKExample"}, "arn": "arn:aws:s3:::amzn-s3-demo-bucket"},
            "object": {"key": "data/red+flower%2B%C3%BC.jpg", "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko", "sequencer": "0055AED6DCD90281E5"}}}]}"#;

    #[test]
    fn messages_of_a_queue_name_their_objects() {
        let expected = Notice::Changes(vec![change("data/red flower+ü.jpg", "1970-01-01T00:00:00Z")]);
        assert_eq!(Notice::parse(PUT.as_bytes()), Ok(expected.clone()));
        let topic = serde_json::json!({
            "Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": "arn:aws:sns:us-west-2:123456789012:MyTopic", "Subject": "Amazon S3 Notification", "Message": PUT,
            "Timestamp": "2012-05-02T00:54:06.655Z", "SignatureVersion": "1", "Signature": "EXAMPLEw6JRN...",
        });
        assert_eq!(Notice::parse(topic.to_string().as_bytes()), Ok(expected));
    }

    #[test]
    fn a_deletion_names_its_object_too() {
        let deleted = PUT.replace("ObjectCreated:Put", "LifecycleExpiration:Delete").replace("\"size\": 1024,", "");
        assert!(matches!(Notice::parse(deleted.as_bytes()), Ok(Notice::Changes(changes)) if changes.len() == 1));
    }

    #[test]
    fn the_test_that_comes_first_changes_nothing() {
        let test = br#"{"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2014-10-13T15:57:02.089Z",
            "Bucket": "amzn-s3-demo-bucket", "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE"}"#;
        assert_eq!(Notice::parse(test), Ok(Notice::Changes(vec![])));
    }

    #[test]
    fn events_of_eventbridge_have_plain_keys() {
        let event = br#"{"version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": "Object Created",
            "source": "aws.s3", "account": "111122223333", "time": "2021-11-12T00:00:00Z", "region": "ca-central-1",
            "resources": ["arn:aws:s3:::amzn-s3-demo-bucket"],
            "detail": {"version": "0", "bucket": {"name": "amzn-s3-demo-bucket"},
                "object": {"key": "a+b%20c", "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184",
                    "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", "sequencer": "617f08299329d189"},
                "request-id": "N4N7GDK58NMKJ12R", "requester": "123456789012", "source-ip-address": "1.2.3.4", "reason": "PutObject"}}"#;
        let expected = Notice::Changes(vec![change("a+b%20c", "2021-11-12T00:00:00Z")]);
        assert_eq!(Notice::parse(event), Ok(expected));
    }

    #[test]
    fn minio_sends_the_same_with_more_around_it() {
        let event = br#"{"EventName": "s3:ObjectCreated:Put", "Key": "amzn-s3-demo-bucket/a b", "Records": [{
            "eventVersion": "2.0", "eventSource": "minio:s3", "eventTime": "2026-11-25T12:00:00.5Z", "eventName": "s3:ObjectCreated:Put",
            "s3": {"bucket": {"name": "amzn-s3-demo-bucket"}, "object": {"key": "a+b"}}}]}"#;
        let expected = Notice::Changes(vec![change("a b", "2026-11-25T12:00:00.5Z")]);
        assert_eq!(Notice::parse(event), Ok(expected));
    }
}
