use std::path::PathBuf;

use skyfleet_mirror::{DatasetName, FetchEvent, FetchOutcome, FetchRequest, ManifestDigest, Replica, fetch};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::progress::Progress;
use super::store_url::StoreUrl;

/// Bring a verified dataset to a directory: what a pod does before it serves
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_STATUSES)]
pub(crate) struct FetchArgs {
    /// The bucket's name in S3, or az://ACCOUNT/CONTAINER or gs://BUCKET. Credentials come from the environment
    /// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN;
    /// GOOGLE_CREDENTIALS, a key's JSON), or from the pod's identity
    #[arg(long)]
    bucket: String,
    /// The store's URL, when it is not Amazon's
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    endpoint_url: Option<String>,
    /// The bucket's region
    #[arg(long, env = "AWS_REGION")]
    region: Option<String>,
    /// The Bucket's prefix, byte for byte
    #[arg(long, default_value = "")]
    prefix: String,
    /// The dataset's prefix below the Bucket's: that of the target (or source) in the DatasetReplica
    #[arg(long, default_value = "")]
    dataset_prefix: String,
    /// The DatasetReplica, as NAMESPACE.NAME
    #[arg(long)]
    dataset: DatasetName,
    /// The manifest's digest, as sha256:…
    #[arg(long)]
    digest: ManifestDigest,
    /// Only objects whose key in the dataset starts with it; the rest of the key is the file's path
    #[arg(long, default_value = "")]
    path: String,
    #[command(flatten)]
    destination: Destination,
}

/// Where a dataset goes, and what bringing it may use.
#[derive(Debug, clap::Args)]
pub(super) struct Destination {
    /// The directory
    #[arg(long)]
    pub(super) into: PathBuf,
    /// Files in flight at once
    #[arg(long, default_value_t = 4)]
    concurrency: usize,
    /// How long each request is tried again while the store cannot be reached, in seconds of waiting
    #[arg(long, default_value_t = 300)]
    pub(super) retry_seconds: u64,
}

/// A version of a dataset, or of a part of it.
pub(super) struct Wanted {
    pub(super) dataset: DatasetName,
    pub(super) digest: ManifestDigest,
    /// Only objects whose key starts with it.
    pub(super) path: String,
}

impl Destination {
    /// Brings it there, with a bar of this name.
    pub(super) async fn bring(
        &self,
        replica: &Replica,
        Wanted { dataset, digest, path }: Wanted,
        name: &str,
        cancel: &CancellationToken,
    ) -> Result<FetchOutcome, Failure> {
        let request = FetchRequest { dataset, digest, path, into: self.into.clone(), concurrency: self.concurrency };
        let progress = Progress::new(name, 0);
        let report = |event| match event {
            FetchEvent::Planned { bytes, .. } => progress.set_total(bytes),
            FetchEvent::Received { bytes } => progress.add(bytes),
        };
        Ok(fetch(replica, &request, cancel, report).await?)
    }
}

impl FetchArgs {
    pub(super) async fn run(self, cancel: &CancellationToken) -> Result<String, Failure> {
        let access = bucket(self.bucket, self.region)?
            .with_endpoint(self.endpoint_url)
            .access(self.prefix, |name| std::env::var(name).ok());
        let store = access.connect(super::connect_options(self.destination.retry_seconds)).await?;
        let replica = Replica { store, prefix: self.dataset_prefix };
        let (name, digest) = (self.dataset.to_string(), self.digest);
        let wanted = Wanted { dataset: self.dataset, digest, path: self.path };
        let FetchOutcome { files, bytes, skipped_files } =
            self.destination.bring(&replica, wanted, &name, cancel).await?;
        let into = self.destination.into.display();
        Ok(format!(
            "fetched {digest} of {name}: {files} files, {bytes} bytes in {into}, each checked ({skipped_files} were there)"
        ))
    }
}

/// The bucket that a name or a URL means; a prefix has an argument of its own.
fn bucket(text: String, region: Option<String>) -> Result<StoreUrl, Failure> {
    match StoreUrl::parse(&text) {
        None => Ok(StoreUrl::s3(text, region)),
        Some(Ok((url, prefix))) if prefix.is_empty() => Ok(url),
        Some(Ok(_)) => Err(Failure::Usage(format!("{text:?} has a prefix: give it by --prefix"))),
        Some(Err(wrong)) => Err(Failure::Usage(format!("{text:?}: {wrong}"))),
    }
}
