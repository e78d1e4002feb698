use std::fmt;

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
    /// What the environment offers: variables, profile, web identity (IRSA), container or instance role.
    DefaultChain,
    /// The same with this profile of the AWS configuration files.
    Profile(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { .. } => f.write_str("Static(redacted)"),
            Self::DefaultChain => f.write_str("DefaultChain"),
            Self::Profile(name) => write!(f, "Profile({name:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Credentials;

    #[test]
    fn debug_shows_no_secret() {
        let credentials = Credentials::Static {
            access_key_id: "AKIA1".into(),
            secret_access_key: "hunter2".into(),
            session_token: Some("token3".into()),
        };
        assert_eq!(format!("{credentials:?}"), "Static(redacted)");
    }
}
