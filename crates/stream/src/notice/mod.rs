//! What is said of the objects of a bucket, in the forms that there are.

mod azure;
mod google;
mod s3;
mod webhook;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Objects that may have changed; none where it was only a test.
    Changes(Vec<Change>),
    /// Azure Event Grid asks whether it may send; the answer is this code.
    Validation(String),
}

/// An object that may have changed. It says nothing of how the object is now: notices come late, twice and in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which bucket it is in.
    pub origin: Origin,
    /// Its key in that bucket; `None` of a change whose keys are not told, such as of a whole folder.
    pub key: Option<String>,
    /// When it was changed, by the clock of who says it.
    pub at: Option<Timestamp>,
}

/// The bucket of a change, as its cloud calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A bucket of S3 or of a service that speaks as it.
    S3(String),
    /// A container of Azure Blob Storage.
    Azure {
        /// Its storage account, where that is told.
        account: Option<String>,
        /// Its name.
        container: String,
    },
    /// A bucket of Google Cloud Storage.
    Google(String),
    /// The one that the notice was sent for.
    Unsaid,
}

/// What is no notice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNotice {
    /// It is in none of the known forms.
    #[error(
        "this is no notification of a bucket: expected one of Amazon S3 (also by SNS or EventBridge), of Azure Event Grid, of Cloud \
         Storage by Pub/Sub or Eventarc, or {{\"keys\": [\"a/b\", ...]}}"
    )]
    Unknown,
    /// It is in a known form and lacks something.
    #[error("this is no notification of {form}: {reason}")]
    Incomplete {
        /// Which form.
        form: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Amazon SNS wants somebody to confirm that it may send here.
    #[error(
        "subscriptions of Amazon SNS are not confirmed here: subscribe an SQS queue to the topic, and name that in the Bucket"
    )]
    SnsSubscription,
}

/// What all forms are read into first, by their shape.
#[derive(Deserialize)]
#[serde(untagged)]
enum Shape {
    Sns(Sns),
    S3(s3::Form),
    PubSub(google::Push),
    CloudEvent(Box<CloudEvent>),
    EventGrid(Box<azure::EventGrid>),
    Many(Vec<Value>),
    Webhook(webhook::Webhook),
}

#[derive(Deserialize)]
struct Sns {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "TopicArn")]
    _topic: String,
    #[serde(rename = "Message")]
    message: String,
}

/// <https://github.com/cloudevents/spec>, version 1.0: what Event Grid and Eventarc send.
#[derive(Deserialize)]
struct CloudEvent {
    #[serde(rename = "specversion")]
    _version: String,
    #[serde(rename = "type")]
    kind: String,
    source: String,
    #[serde(default)]
    subject: String,
    time: Option<String>,
    #[serde(default)]
    data: Value,
}

impl Notice {
    /// Reads the body of a request or of a message.
    ///
    /// # Errors
    /// When it is in no known form. A change of a kind that is not known is none: what matters is which object it names.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidNotice> {
        match serde_json::from_slice(body).map_err(|_| InvalidNotice::Unknown)? {
            Shape::Sns(Sns { kind, message, .. }) if kind == "Notification" => {
                let within: s3::Form = serde_json::from_str(&message).map_err(|_| InvalidNotice::Unknown)?;
                within.changes().map(Self::Changes)
            }
            Shape::Sns(_) => Err(InvalidNotice::SnsSubscription),
            Shape::S3(form) => form.changes().map(Self::Changes),
            Shape::PubSub(push) => push.changes().map(Self::Changes),
            Shape::CloudEvent(event) => event.notice(),
            Shape::EventGrid(event) => event.notice(),
            Shape::Many(events) => Self::of_many(events),
            Shape::Webhook(webhook) => Ok(Self::Changes(webhook.changes())),
        }
    }

    /// Event Grid sends lists, in its own form or as cloud events.
    fn of_many(events: Vec<Value>) -> Result<Self, InvalidNotice> {
        let mut changes = Vec::new();
        for event in events {
            let notice = match serde_json::from_value(event.clone()) {
                Ok(event) => azure::EventGrid::notice(event)?,
                Err(_) => serde_json::from_value::<CloudEvent>(event).map_err(|_| InvalidNotice::Unknown)?.notice()?,
            };
            match notice {
                Self::Changes(more) => changes.extend(more),
                Self::Validation(_) => return Ok(notice),
            }
        }
        Ok(Self::Changes(changes))
    }
}

impl CloudEvent {
    fn notice(&self) -> Result<Notice, InvalidNotice> {
        if self.kind.starts_with("google.cloud.storage.object.") {
            return google::of_cloud_event(self).map(Notice::Changes);
        }
        azure::of_cloud_event(self)
    }
}

/// A time as all clouds write it; one that cannot be read is none.
fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// As in Pub/Sub, and in queues of Azure.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{InvalidNotice, Notice};

    #[test]
    fn what_is_no_notice_is_refused_with_what_is_one() {
        for body in
            ["", "{}", "[1]", "[{}]", "null", "\"x\"", "{\"message\": {}}", "{\"Records\": [{}]}", "{\"key\": \"a\"}"]
        {
            let refused = Notice::parse(body.as_bytes()).expect_err(body);
            assert!(refused.to_string().contains("this is no notification"), "{body}: {refused}");
        }
        let confirm = br#"{"Type": "SubscriptionConfirmation", "TopicArn": "arn:aws:sns:us-west-2:123456789012:MyTopic", "Message": "You have chosen"}"#;
        assert_eq!(Notice::parse(confirm), Err(InvalidNotice::SnsSubscription));
    }

    proptest! {
        #[test]
        fn no_body_breaks_it(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _any = Notice::parse(&body);
        }
    }
}
