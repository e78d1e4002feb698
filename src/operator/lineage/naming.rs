//! What OpenLineage calls a place in a store, so that others who read or write it call it the same: pure.

use serde_json::{Value, json};
use skyfleet_mirror::{AzureLocation, StoreAccess};

/// A dataset, as [OpenLineage names it](https://openlineage.io/docs/spec/naming).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatasetId {
    /// The bucket.
    pub(crate) namespace: String,
    /// The path in it.
    pub(crate) name: String,
}

impl DatasetId {
    /// What lies below a prefix of a Bucket.
    pub(crate) fn of(access: &StoreAccess, prefix: &str) -> Self {
        let (namespace, base) = match access {
            StoreAccess::S3(location, _) => (format!("s3://{}", location.bucket), &location.prefix),
            StoreAccess::Gcs(location, _) => (format!("gs://{}", location.bucket), &location.prefix),
            StoreAccess::Azure(location, _) => {
                (format!("abfss://{}@{}", location.container, azure_service(location)), &location.prefix)
            }
        };
        let path = format!("{base}{prefix}");
        let name = match path.trim_matches('/') {
            "" => "/",
            path => path,
        };
        Self { namespace, name: name.to_owned() }
    }

    pub(super) fn json(&self) -> Value {
        json!({"namespace": self.namespace, "name": self.name})
    }
}

/// The host by which those who analyse data ask for what Skyfleet asks the blob service for.
fn azure_service(location: &AzureLocation) -> String {
    let Some(endpoint) = &location.endpoint else { return format!("{}.dfs.core.windows.net", location.account) };
    let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or(host);
    host.replacen(".blob.", ".dfs.", 1)
}

#[cfg(test)]
mod tests {
    use skyfleet_mirror::{AzureCredentials, Credentials, GcsCredentials, GcsLocation, S3Location};

    use super::*;

    #[test]
    fn places_are_called_what_others_call_them() {
        let s3 = |prefix: &str| {
            StoreAccess::S3(S3Location::new(None, None, "lake".into(), prefix.into()), Credentials::Anonymous)
        };
        let gcs = GcsLocation { endpoint: None, bucket: "lake".into(), prefix: "a/".into() };
        let azure = |endpoint: Option<&str>| {
            let endpoint = endpoint.map(str::to_owned);
            let (account, container) = ("acc".to_owned(), "lake".to_owned());
            let location = AzureLocation { endpoint, account, container, prefix: String::new() };
            StoreAccess::Azure(location, AzureCredentials::Anonymous)
        };
        for (access, prefix, namespace, name) in [
            (s3(""), "", "s3://lake", "/"),
            (s3("team/"), "raw/x/", "s3://lake", "team/raw/x"),
            (s3(""), "raw/part-", "s3://lake", "raw/part-"),
            (StoreAccess::Gcs(gcs, GcsCredentials::Anonymous), "w/", "gs://lake", "a/w"),
            (azure(None), "w/", "abfss://lake@acc.dfs.core.windows.net", "w"),
            (
                azure(Some("https://acc.blob.core.usgovcloudapi.net")),
                "w/",
                "abfss://lake@acc.dfs.core.usgovcloudapi.net",
                "w",
            ),
            (azure(Some("http://127.0.0.1:10000/acc")), "w/", "abfss://lake@127.0.0.1:10000", "w"),
        ] {
            let wanted = DatasetId { namespace: namespace.to_owned(), name: name.to_owned() };
            assert_eq!(DatasetId::of(&access, prefix), wanted);
        }
    }
}
