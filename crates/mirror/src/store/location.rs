use std::fmt;

use crate::{AwsFederation, AzureFederation, GoogleFederation};

/// Where a bucket is, and which part of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Location {
    /// The store's URL, such as `https://minio.example.com:9000`; `None` is Amazon S3.
    pub endpoint: Option<String>,
    /// The region; `None` takes `us-east-1`, or what the environment says with [`Credentials::DefaultChain`].
    pub region: Option<String>,
    /// The bucket's name.
    pub bucket: String,
    /// Put before every key, byte for byte. A folder ends with `/`.
    pub prefix: String,
    /// How the bucket's name travels.
    pub addressing: Addressing,
}

/// How the bucket's name travels in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// In the path: what stores other than Amazon's understand.
    Path,
    /// In the host name.
    VirtualHosted,
}

impl S3Location {
    /// A location with the addressing its endpoint wants: by path when there is an endpoint, else by host name.
    #[must_use]
    pub fn new(endpoint: Option<String>, region: Option<String>, bucket: String, prefix: String) -> Self {
        let addressing = if endpoint.is_some() { Addressing::Path } else { Addressing::VirtualHosted };
        Self { endpoint, region, bucket, prefix, addressing }
    }
}

/// Who asks. `Debug` never shows a secret.
#[derive(Clone)]
pub enum Credentials {
    /// A known key.
    Static {
        /// The key's identifier.
        access_key_id: String,
        /// Its secret.
        secret_access_key: String,
        /// The token that temporary credentials come with.
        session_token: Option<String>,
    },
    /// Nobody: for public buckets.
    Anonymous,
    /// What the environment offers: variables, profile, web identity (IRSA), container or instance role.
    DefaultChain,
    /// The same with this profile of the AWS configuration files.
    Profile(String),
    /// A role, for tokens of somebody else.
    Federated(AwsFederation),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { .. } => f.write_str("Static(redacted)"),
            Self::Anonymous => f.write_str("Anonymous"),
            Self::DefaultChain => f.write_str("DefaultChain"),
            Self::Profile(name) => write!(f, "Profile({name:?})"),
            Self::Federated(federation) => write!(f, "Federated({federation:?})"),
        }
    }
}

/// Where a container of Azure Blob Storage is, and which part of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureLocation {
    /// The blob service's URL, such as `https://ACCOUNT.blob.core.usgovcloudapi.net`, or that of an emulator with the account
    /// as its path; `None` is `https://ACCOUNT.blob.core.windows.net`.
    pub endpoint: Option<String>,
    /// The storage account's name.
    pub account: String,
    /// The container's name.
    pub container: String,
    /// Put before every key, byte for byte. A folder ends with `/`.
    pub prefix: String,
}

/// Who asks Azure. `Debug` never shows a secret.
#[derive(Clone)]
pub enum AzureCredentials {
    /// One of the storage account's two keys, as the portal shows it (base64).
    AccountKey(String),
    /// A shared access signature, with or without the question mark before it.
    SasToken(String),
    /// Nobody: for public containers.
    Anonymous,
    /// What the environment offers: variables, a client secret, workload identity (AKS), managed identity.
    Default,
    /// An application, for tokens of somebody else.
    Federated(AzureFederation),
}

impl fmt::Debug for AzureCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountKey(_) => f.write_str("AccountKey(redacted)"),
            Self::SasToken(_) => f.write_str("SasToken(redacted)"),
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Default => f.write_str("Default"),
            Self::Federated(federation) => write!(f, "Federated({federation:?})"),
        }
    }
}

/// Where a bucket of Google Cloud Storage is, and which part of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcsLocation {
    /// The service's URL, for an emulator or a private endpoint; `None` is `https://storage.googleapis.com`.
    pub endpoint: Option<String>,
    /// The bucket's name.
    pub bucket: String,
    /// Put before every key, byte for byte. A folder ends with `/`.
    pub prefix: String,
}

/// Who asks Google. `Debug` never shows a secret.
#[derive(Clone)]
pub enum GcsCredentials {
    /// The JSON text of a service account's key. Other kinds of credentials come from the environment only.
    ServiceAccountKey(String),
    /// Nobody: for emulators and public buckets.
    Anonymous,
    /// What the environment offers: `GOOGLE_APPLICATION_CREDENTIALS` (a key, or workload identity federation), the
    /// well-known file, the metadata server (workload identity of GKE).
    Default,
    /// What a workload identity pool gives, for tokens of somebody else.
    Federated(GoogleFederation),
}

impl fmt::Debug for GcsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAccountKey(_) => f.write_str("ServiceAccountKey(redacted)"),
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Default => f.write_str("Default"),
            Self::Federated(federation) => write!(f, "Federated({federation:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AzureCredentials, Credentials, GcsCredentials};

    #[test]
    fn debug_shows_no_secret() {
        let credentials = Credentials::Static {
            access_key_id: "AKIA1".into(),
            secret_access_key: "hunter2".into(),
            session_token: Some("token3".into()),
        };
        assert_eq!(format!("{credentials:?}"), "Static(redacted)");
        let azure = [AzureCredentials::AccountKey("hunter2".into()), AzureCredentials::SasToken("hunter2".into())];
        let google = GcsCredentials::ServiceAccountKey("hunter2".into());
        assert!(!format!("{azure:?} {google:?}").contains("hunter2"));
    }
}
