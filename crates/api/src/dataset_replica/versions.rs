//! Which older versions of a dataset stay.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::seconds;

/// Which older versions of the data stay in the targets. The one that was published last always does, and so do those that a
/// ModelDeployment pins, or has in use while another is rolled out.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.keep) || has(self.maxAge)")
    .message("say which versions stay: give keep, maxAge or both"))]
pub struct Versions {
    /// So many of the newest stay, the one published last included; 100 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub keep: Option<u8>,
    /// How long a version stays after a newer one took its place, such as `30m` or `168h`; for ever if not given. One that is beyond
    /// `keep` goes sooner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 7))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,5}s$|^[1-9][0-9]{0,4}(m|h)$')")
        .message("must be a whole number of seconds, minutes or hours, such as 30m or 168h"))]
    pub max_age: Option<String>,
}

impl Versions {
    /// The longest that an older version stays, in seconds; the API server has checked its form, so another form gives `None`.
    #[must_use]
    pub fn max_age_seconds(&self) -> Option<u64> {
        seconds(self.max_age.as_deref()?)
    }
}

/// A version of the data that can be loaded.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VersionStatus {
    /// The digest of its manifest, `sha256:…`: what a ModelDeployment can pin.
    pub digest: String,
    /// When it became the newest here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::Versions;

    #[test]
    fn an_age_is_in_seconds() {
        for (text, wanted) in [("90s", Some(90)), ("30m", Some(1800)), ("168h", Some(604_800)), ("7d", None)] {
            let versions = Versions { keep: None, max_age: Some(text.to_owned()) };
            assert_eq!(versions.max_age_seconds(), wanted);
        }
        assert_eq!(Versions { keep: Some(1), max_age: None }.max_age_seconds(), None);
    }
}
