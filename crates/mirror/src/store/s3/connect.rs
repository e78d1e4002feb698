use std::sync::Arc;

use aws_config::default_provider::region::DefaultRegionChain;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials as StaticCredentials;

use super::S3Store;
use super::role::RoleProvider;
use super::signing::{CredentialSource, Signer};
use super::tagging::RULES;
use crate::store::http::{Failure, Http, check_endpoint};
use crate::store::tag_support::TagSupport;
use crate::{Addressing, ConnectOptions, Credentials, Place, S3Location, StoreError, StoreErrorKind};

/// What signs requests where nothing names a region; stores other than Amazon's mostly take it.
pub(super) const DEFAULT_REGION: &str = "us-east-1";

impl S3Store {
    /// Prepares to speak to a bucket. Only credentials are looked up now; the store is first asked by the first request.
    ///
    /// # Errors
    /// [`StoreErrorKind::MissingCredentials`] when the default chain finds none, [`StoreErrorKind::IdentityRefused`] when a
    /// federation gives none, [`StoreErrorKind::Rejected`] when the endpoint is not an HTTP URL, or the bucket's name cannot
    /// be one.
    pub async fn connect(
        location: S3Location,
        credentials: Credentials,
        options: ConnectOptions,
    ) -> Result<Self, StoreError> {
        let place = place_of(&location);
        let rejected = |detail| place.error(StoreErrorKind::Rejected, "use the bucket", detail);
        check_bucket(&location.bucket).map_err(rejected)?;
        if let Some(endpoint) = &location.endpoint {
            check_endpoint(endpoint).map_err(rejected)?;
        }
        let (source, region) = credential_source(&location, credentials, &place).await?;
        let region = location.region.clone().or(region).unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let bucket = url_of(&location, &region);
        let signer = source.map(|source| Signer::new("s3", &region, source));
        if let Some(signer) = &signer {
            // So that credentials that are not there are missed now.
            let missing = |failure: Failure| place.error(failure.kind, "use the bucket", failure.detail);
            signer.find().await.map_err(missing)?;
        }
        let http = Http::new(options).map_err(rejected)?;
        Ok(Self {
            http,
            signer,
            bucket,
            location,
            place,
            options: options.into(),
            keeps_crc64nvme: Arc::default(),
            refuses_crc64nvme: Arc::default(),
            refuses_conditions: Arc::default(),
            largest_copy: options.largest_copy,
            refused_copies: Arc::default(),
            tag_support: TagSupport::new(RULES),
            takes_trailers: Arc::default(),
            tells_parts: Arc::default(),
        })
    }
}

fn place_of(location: &S3Location) -> Place {
    let endpoint = location.endpoint.clone().unwrap_or_else(|| match &location.region {
        Some(region) => format!("Amazon S3 ({region})"),
        None => "Amazon S3".to_owned(),
    });
    Place {
        endpoint: endpoint.trim_end_matches('/').into(),
        bucket: location.bucket.as_str().into(),
        prefix: location.prefix.as_str().into(),
    }
}

/// The name becomes a part of URLs as it is.
fn check_bucket(bucket: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if bucket.starts_with("arn:") {
        return Err("an access point is named by its alias, which ends with -s3alias".to_owned());
    }
    if bucket.is_empty() || !bucket.bytes().all(is_plain) {
        return Err("a bucket's name has only letters, digits, hyphens, underscores and dots".to_owned());
    }
    if bucket.ends_with("--x-s3") {
        return Err(
            "directory buckets (S3 Express One Zone) are not supported: use a general purpose bucket".to_owned()
        );
    }
    Ok(())
}

/// The bucket's URL.
fn url_of(location: &S3Location, region: &str) -> String {
    let endpoint = location.endpoint.clone().unwrap_or_else(|| {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://s3.{region}.{domain}")
    });
    let endpoint = endpoint.trim_end_matches('/');
    let bucket = &location.bucket;
    // A certificate is for one label before the domain, and host names know neither upper case nor underscores.
    let is_label = bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    match endpoint.split_once("://") {
        Some((scheme, host)) if location.addressing == Addressing::VirtualHosted && is_label => {
            format!("{scheme}://{bucket}.{host}")
        }
        _ => format!("{endpoint}/{bucket}"),
    }
}

/// What signs, and the region that the environment names.
pub(super) async fn credential_source(
    location: &S3Location,
    credentials: Credentials,
    place: &Place,
) -> Result<(Option<CredentialSource>, Option<String>), StoreError> {
    Ok(match credentials {
        Credentials::Static { access_key_id, secret_access_key, session_token } => {
            let key = StaticCredentials::new(access_key_id, secret_access_key, session_token, None, "skyfleet");
            (Some(CredentialSource::Given(key)), None)
        }
        Credentials::Anonymous => (None, None),
        Credentials::DefaultChain => from_environment(location, place, None).await?,
        Credentials::Profile(profile) => from_environment(location, place, Some(profile)).await?,
        Credentials::Federated(federation) => (Some(CredentialSource::Role(RoleProvider::new(federation).await)), None),
    })
}

/// The default chain's provider, and the environment's region.
async fn from_environment(
    location: &S3Location,
    place: &Place,
    profile: Option<String>,
) -> Result<(Option<CredentialSource>, Option<String>), StoreError> {
    // Where nothing else names one, roles are assumed in the bucket's.
    let fallback = Region::new(location.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned()));
    let mut regions = DefaultRegionChain::builder();
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = profile {
        regions = regions.profile_name(&profile);
        loader = loader.profile_name(profile);
    }
    let known = regions.build().region().await;
    let environment = loader.region(known.clone().unwrap_or(fallback)).load().await;
    let missing = || place.error(StoreErrorKind::MissingCredentials, "use the bucket", "");
    let provider = environment.credentials_provider().ok_or_else(missing)?;
    Ok((Some(CredentialSource::Chain(provider)), known.map(|region| region.to_string())))
}

#[cfg(test)]
mod tests {
    use super::{check_bucket, url_of};
    use crate::{Addressing, S3Location};

    #[test]
    fn a_bucket_is_in_the_host_s_name_where_that_is_asked_for_and_can_be() {
        let url = |endpoint: Option<&str>, bucket: &str, addressing| {
            let location = S3Location::new(endpoint.map(str::to_owned), None, bucket.to_owned(), String::new());
            url_of(&S3Location { addressing, ..location }, "eu-west-1")
        };
        let (path, host) = (Addressing::Path, Addressing::VirtualHosted);
        assert_eq!(url(None, "b", host), "https://b.s3.eu-west-1.amazonaws.com");
        assert_eq!(url(None, "a.b", host), "https://s3.eu-west-1.amazonaws.com/a.b");
        assert_eq!(url(None, "b", path), "https://s3.eu-west-1.amazonaws.com/b");
        assert_eq!(url(Some("http://h:1/"), "b", path), "http://h:1/b");
        assert_eq!(url(Some("http://h:1"), "b", host), "http://b.h:1");
        let china = S3Location::new(None, None, "b".to_owned(), String::new());
        assert_eq!(url_of(&china, "cn-north-1"), "https://b.s3.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn names_that_are_no_bucket_s_are_refused() {
        assert_eq!(check_bucket("a-B_c.9"), Ok(()));
        for name in ["", "a/b", "a?b", "a b", "arn:aws:s3:eu-west-1:1:accesspoint/x", "a--use1-az4--x-s3"] {
            assert!(check_bucket(name).is_err(), "{name:?}");
        }
    }
}
