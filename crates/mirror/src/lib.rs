//! The data engine of Skyfleet: reads, copies, verifies and names the content of buckets.
//!
//! - [`S3Store`], [`AzureStore`] and [`GcsStore`] speak to one bucket; [`ObjectStore`] is what the engine asks of any.
//! - [`mirror`] makes what lies below a prefix the same in other buckets, whatever its size, and proves each copy.
//! - [`Manifest`] names a dataset's content by one digest, the same in every bucket that holds it.
//! - [`fetch`] brings a verified dataset to a directory; [`upload`] puts a file into a bucket.
//!
//! What decides is pure (`judge`, `pager`, `shard`, `surplus`, part sizes); everything else obeys it.

mod cancel;
mod content;
mod dataset;
mod fetch;
mod mirror;
mod pace;
mod shard;
mod state;
mod store;
mod transfer;
mod upload;
mod verify;
mod work;

pub use content::{
    checksum::{Checksum, ChecksumAlgorithm, StoredChecksum},
    digest::{InvalidDigest, ManifestDigest, Sha256},
};
pub use dataset::{
    filter::{Filter, InvalidFilter},
    layout::{
        DatasetName, InvalidDatasetName, RESERVED_PREFIX, is_reserved, kept_key, manifest_key, provenance_key,
        shard_index_key,
    },
    manifest::{InvalidManifest, Manifest, ManifestEntry},
    provenance::{
        HowMade, InvalidProvenance, Provenance, ProvenanceCut, ProvenanceDocument, ProvenanceEntry, ProvenanceFormat,
        ProvenanceObject, ProvenancePiece, ProvenanceRows, ProvenanceSource, ProvenanceStep, ProvenanceTransform,
    },
    shard_index::{InvalidShardIndex, ShardEntry, ShardIndex},
    version_store::open_version,
};
pub use fetch::{
    FetchError, FetchEvent, FetchOutcome, FetchRequest, JoinOutcome, Pieces, UnsafeKey, fetch, read_manifest,
    read_provenance, read_shard_index,
};
pub use mirror::{
    Bounds, Changed, Dataset, Deletion, HandOver, HandedOver, InvalidPortion, KeyRange, MirrorError, MirrorEvent,
    MirrorOptions, MirrorProgress, MirrorReport, ObjectFailure, Portion, SourcePublication, TagsUnread, TargetError,
    TargetReport, Transforming, forget_work, mirror, mirror_changed, mirror_range,
    surplus::MostDeleted,
    versions::{Retention, Version},
};
pub use shard::{InvalidSharding, Shard, ShardBy, Sharding};
pub use store::{
    Body, ObjectStore,
    access::StoreAccess,
    attributes::Attributes,
    azure::AzureStore,
    byte_range::ByteRange,
    capabilities::{Capabilities, Proof},
    condition::Condition,
    connect_options::ConnectOptions,
    credentials::{
        AwsFederation, AwsRole, AzureApp, AzureFederation, Federation, GoogleFederation, GooglePool,
        GoogleTokenServices, TokenError, TokenSource,
    },
    error::{RetryClass, StoreError, StoreErrorKind},
    gcs::GcsStore,
    list,
    local::LocalStore,
    location::{Addressing, AzureCredentials, AzureLocation, Credentials, GcsCredentials, GcsLocation, S3Location},
    object::{CopySource, ListPage, Md5, ObjectHead, ObjectSummary, StoreCopy, UploadedPart, Written},
    payload::Payload,
    place::Place,
    queue::{NotificationQueue, QueueMessage},
    replica::Replica,
    retry::{InFlight, RetryPolicy},
    s3::S3Store,
    tags::{Tags, TagsLost},
};
pub use transfer::{
    Verification,
    egress::{Cost, EgressBudget, InvalidAmount, Left, PricePerGb},
    live::LivePart,
    part::{PartLimits, TransferLimits},
    source_limits::SourceLimits,
};
pub use upload::{UploadError, UploadOutcome, upload};
pub use verify::{Mismatch, VerifyReport, verify};
pub use work::{
    Claim, Cutter, FENCE, Ledger, WorkError, WorkOutcome, WorkPace, WorkPlan, WorkProgress, WorkUnit, WorkerId, work,
};
