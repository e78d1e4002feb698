use std::path::{Path, PathBuf};

use skyfleet_mirror::{Credentials, RESERVED_PREFIX, S3Location, StoreAccess, TransferLimits, UploadError, upload};
use tokio_util::sync::CancellationToken;

use super::bucket::{BucketName, resolve_bucket};
use super::failure::Failure;
use super::progress::Progress;

/// Put a file into a bucket
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_STATUSES)]
pub(crate) struct UploadArgs {
    /// The file
    file: PathBuf,
    /// s3://BUCKET[/PREFIX], or the name of a Bucket on the hub
    bucket: String,
    /// The object's key below the prefix [default: the file's base name]
    object: Option<String>,
    /// The namespace of the Bucket on the hub [default: the kubeconfig context's]
    #[arg(short, long)]
    namespace: Option<String>,
    /// The store's URL, when it is not Amazon's; only with s3://
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    endpoint_url: Option<String>,
    /// The bucket's region; only with s3://
    #[arg(long, env = "AWS_REGION")]
    region: Option<String>,
    /// How long each request is tried again while the store cannot be reached, in seconds of waiting
    #[arg(long, default_value_t = 30)]
    retry_seconds: u64,
}

impl UploadArgs {
    pub(super) async fn run(self, cancel: &CancellationToken) -> Result<String, Failure> {
        let bucket = BucketName::parse(&self.bucket)?;
        let key = object_key(self.object.as_deref(), &self.file)?;
        // The nearest cause first: who names no file need not have credentials.
        let unreadable = |source| UploadError::File { path: self.file.clone(), source };
        let file = tokio::fs::metadata(&self.file).await.map_err(unreadable)?;
        if !file.is_file() {
            return Err(UploadError::NotAFile(self.file).into());
        }
        let access = match bucket {
            BucketName::Direct { bucket, prefix } => {
                let location = S3Location::new(self.endpoint_url, self.region, bucket, prefix);
                StoreAccess::S3(location, Credentials::DefaultChain)
            }
            BucketName::Resource(name) => resolve_bucket(self.namespace.as_deref(), &name).await?,
        };
        let url = format!("{}{key}", access.url());
        let store = access.connect(super::connect_options(self.retry_seconds)).await?;
        let endpoint = store.place().endpoint.clone();
        let progress = Progress::new(&key, file.len());
        let sent = |bytes| progress.add(bytes);
        let outcome = upload(&store, &key, &self.file, TransferLimits::default(), cancel, sent).await?;
        drop(progress);
        Ok(format!(
            "uploaded {url} at {endpoint}: {} bytes, sha256:{}, confirmed by the store",
            outcome.size, outcome.sha256
        ))
    }
}

fn object_key(object: Option<&str>, file: &Path) -> Result<String, Failure> {
    let key = match object {
        Some(key) => Some(key),
        None => file.file_name().and_then(|name| name.to_str()),
    };
    match key {
        None | Some("") => Err(Failure::Usage(format!("{} gives no name for the object: give OBJECT", file.display()))),
        Some(key) if key.starts_with(RESERVED_PREFIX) => {
            Err(Failure::Usage(format!("keys below {RESERVED_PREFIX} are Skyfleet's own: give another OBJECT")))
        }
        Some(key) => Ok(key.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::object_key;
    use std::path::Path;

    #[test]
    fn the_base_name_is_the_default() {
        assert_eq!(object_key(None, Path::new("a/b c.bin")).unwrap(), "b c.bin");
        assert_eq!(object_key(Some("x/y"), Path::new("a/b")).unwrap(), "x/y");
        for (object, file) in [(None, ".."), (Some(""), "a"), (Some(".skyfleet/x"), "a")] {
            assert_eq!(object_key(object, Path::new(file)).unwrap_err().exit_status(), 2, "{object:?} {file}");
        }
    }
}
