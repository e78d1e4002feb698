//! `skyfleet assemble`: brings all parts of a dataset that is split to one directory.

use kube::{Api, Client};
use skyfleet_api::{DatasetReplica, DatasetReplicaSpec};
use skyfleet_mirror::{
    DatasetName, FetchOutcome, JoinOutcome, ManifestDigest, Pieces, Replica, ShardIndex, read_manifest,
    read_shard_index,
};
use tokio_util::sync::CancellationToken;

use super::bucket::resolve_bucket;
use super::failure::Failure;
use super::fetch::{Destination, Wanted};
use super::hub;

/// Bring all parts of a dataset that is split to one directory, each file checked
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_STATUSES)]
pub(crate) struct AssembleArgs {
    /// The DatasetReplica, of mode Shard; its Buckets are asked with the keys in their Secrets
    #[arg(value_name = "DATASETREPLICA")]
    name: String,
    /// The namespace [default: the kubeconfig context's]
    #[arg(short, long)]
    namespace: Option<String>,
    /// The index's digest, as sha256:… [default: that in the DatasetReplica's status]
    #[arg(long)]
    digest: Option<ManifestDigest>,
    /// Leave pieces as they are, and do not make whole files of them
    #[arg(long)]
    keep_pieces: bool,
    #[command(flatten)]
    destination: Destination,
}

/// The DatasetReplica, and its dataset.
struct Split {
    namespace: String,
    dataset: DatasetName,
    spec: DatasetReplicaSpec,
    digest: ManifestDigest,
}

impl AssembleArgs {
    pub(super) async fn run(self, cancel: &CancellationToken) -> Result<String, Failure> {
        let client = hub::infer(&self.what()).await?;
        let split = self.split(&client).await?;
        let index = self.index(&split, cancel).await?;
        let mut replicas = Vec::with_capacity(index.shards.len());
        for shard in &index.shards {
            replicas.push(self.open(&split, &shard.name).await?);
        }
        let pieces = self.pieces(&split, &index, &replicas, cancel).await?;
        let mut all = FetchOutcome::default();
        for (shard, replica) in index.shards.iter().zip(&replicas) {
            let wanted = Wanted { dataset: split.dataset.clone(), digest: shard.manifest, path: String::new() };
            let part = self.destination.bring(replica, wanted, &shard.name, cancel).await?;
            all.files += part.files;
            all.bytes += part.bytes;
            all.skipped_files += part.skipped_files;
        }
        let joined = pieces.join(&self.destination.into, cancel).await?;
        let FetchOutcome { files, bytes, skipped_files } = all;
        let (parts, digest, into) = (index.shards.len(), split.digest, self.destination.into.display());
        Ok(format!(
            "assembled {digest} of {} from {parts} parts: {files} files, {bytes} bytes in {into}, each checked ({skipped_files} were there){}",
            split.dataset,
            joined_words(joined)
        ))
    }

    /// Those that are to be joined; that none is missing is known before any is fetched.
    async fn pieces(
        &self,
        split: &Split,
        index: &ShardIndex,
        replicas: &[Replica],
        cancel: &CancellationToken,
    ) -> Result<Pieces, Failure> {
        if index.piece_size.is_none() || self.keep_pieces {
            return Ok(Pieces::default());
        }
        let mut manifests = Vec::with_capacity(replicas.len());
        for (shard, replica) in index.shards.iter().zip(replicas) {
            manifests.push(read_manifest(replica, &split.dataset, shard.manifest, cancel).await?);
        }
        Ok(Pieces::of(&manifests)?)
    }

    fn what(&self) -> String {
        format!("the DatasetReplica {:?}", self.name)
    }

    async fn split(&self, client: &Client) -> Result<Split, Failure> {
        let namespace = self.namespace.as_deref().unwrap_or(client.default_namespace()).to_owned();
        let found = Api::<DatasetReplica>::namespaced(client.clone(), &namespace).get_opt(&self.name).await;
        let missing = || Failure::NoDatasetReplica { name: self.name.clone(), namespace: namespace.clone() };
        let DatasetReplica { spec, status, .. } = found.map_err(hub::failure(&self.what()))?.ok_or_else(missing)?;
        let wrong = |why: &dyn std::fmt::Display| Failure::Usage(format!("{}: {why}", self.what()));
        let dataset = DatasetName::new(&namespace, &self.name).map_err(|error| wrong(&error))?;
        let told = status.and_then(|status| status.shard_index_digest);
        let digest = match (self.digest, told) {
            (Some(digest), _) => digest,
            (None, Some(told)) => told.parse().map_err(|error| wrong(&error))?,
            (None, None) => {
                return Err(wrong(
                    &"it has no index of parts: it is not of mode Shard, or a part was not verified yet, \
                     which its conditions tell",
                ));
            }
        };
        Ok(Split { namespace, dataset, spec, digest })
    }

    /// The index, from the first target that has it.
    async fn index(&self, split: &Split, cancel: &CancellationToken) -> Result<ShardIndex, Failure> {
        let mut failure = None;
        for target in &split.spec.targets {
            let found = match self.open(split, &target.bucket_ref.name).await {
                Ok(replica) => read_shard_index(&replica, &split.dataset, split.digest, cancel).await,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            match found {
                Ok(index) => return Ok(index),
                Err(error) => _ = failure.get_or_insert(error.into()),
            }
        }
        let nowhere = || Failure::Usage(format!("{} has no targets", self.what()));
        Err(failure.unwrap_or_else(nowhere))
    }

    /// `BUCKET` or `BUCKET/PREFIX`.
    async fn open(&self, split: &Split, name: &str) -> Result<Replica, Failure> {
        let (bucket, prefix) = name.split_once('/').unwrap_or((name, ""));
        let access = resolve_bucket(Some(&split.namespace), bucket).await?;
        let store = access.connect(super::connect_options(self.destination.retry_seconds)).await?;
        Ok(Replica { store, prefix: prefix.to_owned() })
    }
}

fn joined_words(JoinOutcome { files, pieces }: JoinOutcome) -> String {
    if pieces == 0 { String::new() } else { format!("; {pieces} of them were pieces, and are {files} files now") }
}
