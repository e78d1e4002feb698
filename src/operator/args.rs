//! How the operator is started.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

use super::lineage::CollectorUrl;

/// Run the operator: watches the hub and makes the fleet as the custom resources say.
#[derive(Args, Clone, Debug)]
pub(crate) struct OperatorArgs {
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "SKYFLEET_LISTEN", default_value = "0.0.0.0:8080")]
    pub(crate) listen: SocketAddr,
    /// Address of /notifications/NAMESPACE/BUCKET, to which clouds and programs send what changes in a Bucket with
    /// spec.notifications.webhook. Put TLS before it. Without an address nothing is taken.
    #[arg(long, env = "SKYFLEET_NOTIFICATIONS_LISTEN")]
    pub(crate) notifications_listen: Option<SocketAddr>,
    /// Form of the log. Its detail is set by RUST_LOG.
    #[arg(long, env = "SKYFLEET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// The Lease that the one active operator holds.
    #[arg(long, env = "SKYFLEET_LEASE_NAME", default_value = "skyfleet-operator")]
    pub(crate) lease_name: String,
    /// Namespace of the Lease and of the Secrets that Clusters name.
    #[arg(long, env = "POD_NAMESPACE", default_value = "skyfleet-system")]
    pub(crate) namespace: String,
    /// This operator's name among its replicas.
    #[arg(long, env = "POD_NAME")]
    pub(crate) identity: Option<String>,
    /// The image that loads models in member clusters: normally the operator's own.
    #[arg(long, env = "SKYFLEET_IMAGE", default_value = concat!("ghcr.io/skyfleet/skyfleet:", env!("CARGO_PKG_VERSION")))]
    pub(crate) image: String,
    /// Its pull policy.
    #[arg(long, env = "SKYFLEET_IMAGE_PULL_POLICY")]
    pub(crate) image_pull_policy: Option<String>,
    /// Objects of one kind that are worked on at once. A pass mostly waits for the hub and for members.
    #[arg(long, env = "SKYFLEET_CONCURRENCY", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
    /// Mirror passes that run at once. Each holds at most 256 MiB of content.
    #[arg(long, env = "SKYFLEET_MIRROR_PASSES", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) mirror_passes: u16,
    /// The most bytes that one pass of a DatasetReplica with execution Auto copies in the operator, where a Job near the data could.
    #[arg(long, env = "SKYFLEET_JOBS_ABOVE_BYTES", default_value_t = 20_000_000_000)]
    pub(crate) jobs_above_bytes: u64,
    /// The most objects.
    #[arg(long, env = "SKYFLEET_JOBS_ABOVE_OBJECTS", default_value_t = 20_000)]
    pub(crate) jobs_above_objects: u64,
    /// How long nothing is heard of the workers of a Job before it is made in another cluster, in seconds. On new nodes it takes minutes
    /// until the first is heard.
    #[arg(long, env = "SKYFLEET_JOB_PATIENCE", default_value_t = 600, value_parser = clap::value_parser!(u64).range(60..))]
    pub(crate) job_patience: u64,
    /// The share of all clusters that may fall silent at once, in percent, before the hub suspects its own network and moves
    /// nothing because of it.
    #[arg(long, env = "SKYFLEET_MAX_LOST_PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) max_lost_percent: u8,
    /// Use this operator's own identity in its cloud for Buckets with workloadIdentity that name no ServiceAccount. Whoever may
    /// write Buckets, in any namespace, then reads and writes what this operator may.
    #[arg(long, env = "SKYFLEET_OWN_IDENTITY")]
    pub(crate) own_identity: bool,
    /// Who collects lineage: where events of OpenLineage are sent, without /api/v1/lineage. A key that the collector asks for is in
    /// OPENLINEAGE_API_KEY.
    #[arg(long, env = "OPENLINEAGE_URL")]
    pub(crate) openlineage_url: Option<CollectorUrl>,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}
