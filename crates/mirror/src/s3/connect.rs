use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials as StaticCredentials, ProvideCredentials, Region, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};

use super::S3Store;
use crate::{Addressing, ConnectOptions, Credentials, Place, S3Location, StoreError, StoreErrorKind};

/// What signs requests where nothing names a region; stores other than Amazon's mostly take it.
const DEFAULT_REGION: &str = "us-east-1";

impl S3Store {
    /// Prepares to speak to a bucket. Only credentials are looked up now; the store is first asked by the first request.
    ///
    /// # Errors
    /// [`StoreErrorKind::MissingCredentials`] when the default chain finds none, [`StoreErrorKind::Rejected`] when the
    /// endpoint is not an HTTP URL or the bucket has no name.
    pub async fn connect(
        location: S3Location,
        credentials: Credentials,
        options: ConnectOptions,
    ) -> Result<Self, StoreError> {
        let place = place_of(&location);
        check(&location).map_err(|detail| place.error(StoreErrorKind::Rejected, "use the bucket", detail))?;
        let (credentials, region) = match credentials {
            Credentials::Static { access_key_id, secret_access_key, session_token } => {
                let key = StaticCredentials::new(access_key_id, secret_access_key, session_token, None, "skyfleet");
                (SharedCredentialsProvider::new(key), None)
            }
            Credentials::DefaultChain => from_environment(&place, None).await?,
            Credentials::Profile(profile) => from_environment(&place, Some(profile)).await?,
        };
        let region = location.region.clone().map(Region::new).or(region).unwrap_or(Region::from_static(DEFAULT_REGION));
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(credentials)
            .region(region)
            .force_path_style(location.addressing == Addressing::Path)
            .timeout_config(options.timeouts(0))
            .retry_config(RetryConfig::disabled())
            // It would count the time in which a slow target keeps us from reading on; bodies have our own idle timeout.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(location.endpoint.clone());
        Ok(Self { client: Client::from_conf(config.build()), location, place, options })
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

fn check(location: &S3Location) -> Result<(), String> {
    if location.bucket.is_empty() || location.bucket.contains('/') {
        return Err("a bucket's name is neither empty nor has a slash".to_owned());
    }
    match location.endpoint.as_deref() {
        Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
            Err("the endpoint must start with http:// or https://".to_owned())
        }
        _ => Ok(()),
    }
}

/// The default chain's provider, once it has proven that it finds credentials, and the environment's region.
async fn from_environment(
    place: &Place,
    profile: Option<String>,
) -> Result<(SharedCredentialsProvider, Option<Region>), StoreError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    let environment = loader.load().await;
    let missing = |detail: String| place.error(StoreErrorKind::MissingCredentials, "use the bucket", detail);
    let provider = environment.credentials_provider().ok_or_else(|| missing(String::new()))?;
    provider.provide_credentials().await.map_err(|error| missing(super::classify::chain(&error)))?;
    Ok((provider, environment.region().cloned()))
}
