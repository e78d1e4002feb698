//! Says whether a bucket can be used.

use jiff::Timestamp;
use skyfleet_api::conditions::{Finding, conditions};
use skyfleet_api::{Bucket, BucketStatus};

use super::apply::Look;
use super::validate::Refusal;

/// The status of a Bucket after a look.
pub(super) fn status(bucket: &Bucket, look: &Result<Look, Refusal>, now: Timestamp) -> BucketStatus {
    let earlier = bucket.status.clone().unwrap_or_default();
    let findings = match look {
        Ok(look) if look.capabilities.writable => Finding::ready("the bucket can be read and written"),
        Ok(_) => Finding::ready("the bucket can be read, not written: it can be a source, not a target"),
        Err(refusal) if refusal.passing => Finding::reconciling(refusal.reason, refusal.message.clone()),
        Err(refusal) => Finding::stalled(refusal.reason, refusal.message.clone()),
    };
    BucketStatus {
        observed_generation: bucket.metadata.generation,
        conditions: conditions(&earlier.conditions, &findings, bucket.metadata.generation, now),
        // What was found stays while the store is away: it has not lost its abilities.
        capabilities: look.as_ref().map(|look| look.capabilities.clone()).ok().or(earlier.capabilities),
        credentials_version: look.as_ref().map_or(earlier.credentials_version, |look| look.credentials_version.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_api::bucket::Capabilities;
    use skyfleet_api::conditions::{ConditionType, Reason, is_true};

    use super::*;

    #[test]
    fn an_outage_is_not_stalled_and_keeps_the_capabilities() {
        let mut bucket: Bucket = serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "Bucket", "metadata": {"name": "b", "generation": 1},
            "spec": {"provider": "s3", "name": "models"},
        }))
        .expect("a Bucket");
        let capabilities = Capabilities { writable: true, ..Capabilities::default() };
        let good = Ok(Look { capabilities: capabilities.clone(), credentials_version: Some("7".to_owned()) });
        let ready = status(&bucket, &good, Timestamp::UNIX_EPOCH);
        assert!(is_true(&ready.conditions, ConditionType::Ready));
        bucket.status = Some(ready);
        let outage = Err(Refusal { reason: Reason::StoreUnreachable, message: "no answer".to_owned(), passing: true });
        let away = status(&bucket, &outage, Timestamp::UNIX_EPOCH);
        assert!(!is_true(&away.conditions, ConditionType::Ready) && !is_true(&away.conditions, ConditionType::Stalled));
        assert_eq!(away.capabilities, Some(capabilities));
        assert_eq!(away.credentials_version.as_deref(), Some("7"));
    }
}
