//! `skyfleet mirror`: keeps what is in a bucket the same in others.

mod amounts;
mod location;
mod report;
mod transform;
mod voice;

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::sync::Arc;

use skyfleet_mirror::{
    Bounds, ConnectOptions, Cost, Deletion, EgressBudget, Filter, InFlight, MirrorEvent, MirrorOptions, MirrorReport,
    MostDeleted, PricePerGb, Shard, ShardBy, Sharding, SourceLimits, StoreError, TargetError, TargetReport,
    TransferLimits, Transforming, Verification, mirror,
};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use location::Location;
use report::Frame;
use voice::Voice;

const EXAMPLES: &str = "\
Places:
  s3://BUCKET[/PREFIX]                  by AWS_* variables or the default profile
  s3://BUCKET/PREFIX?endpoint=URL&region=REGION&profile=PROFILE
  az://ACCOUNT/CONTAINER[/PREFIX]       by AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, or an identity
  gs://BUCKET[/PREFIX]                  by GOOGLE_APPLICATION_CREDENTIALS, or an identity
  NAME[/PREFIX]                         a Bucket on the hub, by your kubeconfig
  ./FOLDER, /FOLDER                     a folder on this machine

Examples:
  skyfleet mirror s3://weights az://account/weights gs://weights
  skyfleet mirror 's3://data/raw?profile=work' 's3://copy/raw?endpoint=https://minio.example.com' --delete --dry-run
  skyfleet mirror s3://data/raw az://account/tables --include '**/*.jsonl' --transform to-parquet.yaml
  skyfleet mirror s3://data/train s3://near-one gs://near-two --shard count --piece-size 64Mi";

/// Make what is in a bucket the same in others, and prove each copy
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_STATUSES))]
pub(crate) struct MirrorArgs {
    /// What is copied
    #[arg(value_name = "SOURCE")]
    source: Location,
    /// Where it is copied to; the source is read once for all
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<Location>,
    /// The namespace of Buckets on the hub [default: the kubeconfig context's]
    #[arg(short, long)]
    namespace: Option<String>,
    /// Only keys below the prefix that match; `*` does not cross `/`, `**` does
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// No keys that match: they are neither copied nor removed
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// No smaller objects
    #[arg(long, value_name = "SIZE", value_parser = amounts::bytes)]
    min_size: Option<u64>,
    /// No larger objects
    #[arg(long, value_name = "SIZE", value_parser = amounts::bytes)]
    max_size: Option<u64>,
    /// Only objects changed since then, or at most so long ago, such as 7d
    #[arg(long, value_name = "TIME", value_parser = amounts::moment)]
    newer_than: Option<i64>,
    /// Only objects changed before that, or at least so long ago
    #[arg(long, value_name = "TIME", value_parser = amounts::moment)]
    older_than: Option<i64>,
    /// Remove from the targets what the source does not have
    #[arg(long)]
    delete: bool,
    /// Remove nothing when it were more than so many percent of a target's objects
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    max_delete: u8,
    /// Split the objects: each goes to one of the targets
    #[arg(long, value_enum, value_name = "BY")]
    shard: Option<ShardArg>,
    /// How much of the whole each target gets, beside the others, in their order; all as much if not given
    #[arg(long, value_delimiter = ',', value_name = "WEIGHTS", requires = "shard")]
    weights: Vec<NonZeroU32>,
    /// Cut JSON Lines, CSV and Parquet between rows into pieces of about so many bytes, and split those instead of whole objects
    #[arg(long, value_name = "SIZE", requires = "shard", value_parser = amounts::piece)]
    piece_size: Option<NonZeroU64>,
    /// Transform objects on their way, as this file says: YAML with what a DatasetReplica has under spec.transform
    #[arg(long, value_name = "FILE")]
    transform: Option<PathBuf>,
    /// The key by which masks hash
    #[arg(long, value_name = "FILE", requires = "transform")]
    mask_key_file: Option<PathBuf>,
    /// Read every copy back, also where the store shows its checksum
    #[arg(long)]
    read_back: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Read no more bytes a second from the source, such as 100M or 10Mi, however many targets
    #[arg(long, value_name = "BYTES", value_parser = amounts::rate)]
    bandwidth: Option<NonZeroU64>,
    /// Send no more requests a second to each store
    #[arg(long, value_name = "REQUESTS")]
    request_rate: Option<NonZeroU32>,
    /// What a GB (10^9 bytes) that leaves the source costs, in any currency, such as 0.09
    #[arg(long, value_name = "PRICE")]
    egress_price: Option<PricePerGb>,
    /// Leave objects for a later run when all that leaves the source would cost more, such as 12.50
    #[arg(long, value_name = "COST", requires = "egress_price")]
    max_egress_cost: Option<Cost>,
    /// Objects in flight at once: what hides the distance of a store from small objects
    #[arg(long, default_value_t = TransferLimits::OBJECTS, value_parser = clap::value_parser!(u16).range(1..=1024))]
    transfers: u16,
    /// Content held in memory at most
    #[arg(long, value_name = "SIZE", default_value = "96Mi", value_parser = amounts::bytes)]
    memory: u64,
    /// JSON Lines on standard output, the last one a report
    #[arg(long)]
    json: bool,
    /// How long each request is tried again while a store cannot be reached, in seconds of waiting
    #[arg(long, default_value_t = 30)]
    retry_seconds: u64,
}

/// What decides where an object goes. A target that is added takes over its share, and nothing else moves.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ShardArg {
    /// The hash of its key
    Hash,
    /// That all targets hold as many objects
    Count,
    /// That all targets hold as many bytes
    Size,
}

impl From<ShardArg> for ShardBy {
    fn from(by: ShardArg) -> Self {
        match by {
            ShardArg::Hash => Self::Hash,
            ShardArg::Count => Self::Count,
            ShardArg::Size => Self::Size,
        }
    }
}

impl MirrorArgs {
    pub(super) async fn run(self, cancel: &CancellationToken) -> Result<String, Failure> {
        let options = self.options()?;
        let connect = self.connect_options();
        let namespace = self.namespace.as_deref();
        let source = self.source.open(namespace, connect).await?;
        let mut targets = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            targets.push(target.open(namespace, connect).await?);
        }
        let names: Vec<_> = self.targets.iter().map(Location::name).collect();
        let voice = Arc::new(Voice::new(names.clone(), self.json, self.dry_run));
        let listener = voice.clone();
        let progress = Arc::new(move |event: MirrorEvent| listener.hear(&event));
        let outcome = mirror(&source, &targets, &options, cancel, progress).await;
        voice.end();
        let report = outcome?;
        if let Some(error) = lost(&report) {
            return Err(Failure::Store(error));
        }
        let frame = Frame {
            targets: names,
            dry_run: self.dry_run,
            price: self.egress_price,
            counts_rows: self.transform.is_some() || self.piece_size.is_some(),
        };
        let answer = if self.json { frame.json(&report).to_string() } else { frame.words(&report) };
        match frame.left_out(&report) {
            None => Ok(answer),
            Some(left_out) => {
                super::say(&answer);
                Err(Failure::Incomplete(left_out))
            }
        }
    }

    fn connect_options(&self) -> ConnectOptions {
        // An object in parts has several requests in flight: the store shall be what bounds them, not the window.
        let most = u32::from(self.transfers) * 2;
        let in_flight = InFlight { most: InFlight::default().most.max(most), ..InFlight::default() };
        let connect = super::connect_options(self.retry_seconds);
        ConnectOptions { in_flight, requests_per_second: self.request_rate, ..connect }
    }

    fn options(&self) -> Result<MirrorOptions, Failure> {
        let filter = Filter::new(&self.include, &self.exclude).map_err(|error| Failure::Usage(error.to_string()))?;
        let deletion =
            if self.delete { Deletion::Surplus(MostDeleted::percent(self.max_delete)) } else { Deletion::Never };
        let limits =
            TransferLimits { objects: self.transfers.into(), memory: self.memory, ..TransferLimits::default() };
        let egress = self.egress_price.zip(self.max_egress_cost);
        let egress = egress.map(|(price, most)| EgressBudget { price, most });
        Ok(MirrorOptions {
            filter,
            sizes: Bounds { least: self.min_size, most: self.max_size },
            modified: Bounds { least: self.newer_than, most: self.older_than },
            deletion,
            dry_run: self.dry_run,
            limits,
            source_limits: SourceLimits { bandwidth: self.bandwidth, egress },
            verification: if self.read_back { Verification::ReadBack } else { Verification::Checksum },
            sharding: self.sharding()?,
            transforming: self.transforming()?,
            ..MirrorOptions::default()
        })
    }

    fn transforming(&self) -> Result<Option<Transforming>, Failure> {
        self.transform.as_ref().map(|file| transform::read(file, self.mask_key_file.as_deref())).transpose()
    }

    fn sharding(&self) -> Result<Option<Sharding>, Failure> {
        let Some(by) = self.shard else { return Ok(None) };
        let (weights, targets) = (self.weights.len(), self.targets.len());
        if weights > 0 && weights != targets {
            return Err(Failure::Usage(format!("{weights} weights for {targets} targets: give one for each, or none")));
        }
        let weights = self.weights.iter().copied().chain(std::iter::repeat(NonZeroU32::MIN));
        let shards = self.targets.iter().zip(weights).enumerate();
        let shards = shards.map(|(index, (target, weight))| Shard { name: target.name(), weight, target: Some(index) });
        let shards = shards.collect();
        Ok(Some(Sharding { by: by.into(), shards, piece_size: self.piece_size }))
    }
}

/// Why no target could be used at all: of several, what the first one said.
fn lost(report: &MirrorReport) -> Option<StoreError> {
    let of_store = |target: &TargetReport| match &target.error {
        Some(TargetError::Store(error)) if target.settled + target.copied == 0 => Some(error.clone()),
        _ => None,
    };
    let errors: Option<Vec<StoreError>> = report.targets.iter().map(of_store).collect();
    errors?.into_iter().next()
}
