//! The data engine of Skyfleet: reads, copies, verifies and names the content of buckets.
//!
//! - [`S3Store`], [`AzureStore`] and [`GcsStore`] speak to one bucket; [`ObjectStore`] is what the engine asks of any.
//! - [`mirror`] makes what lies below a prefix the same in other buckets, whatever its size, and proves each copy.
//! - [`Manifest`] names a dataset's content by one digest, the same in every bucket that holds it.
//! - [`fetch`] brings a verified dataset to a directory; [`upload`] puts a file into a bucket.
//!
//! What decides is pure (`judge`, `pager`, `surplus`, part sizes); everything else obeys it.

mod access;
mod attributes;
mod azure;
mod cancel;
mod checksum;
mod condition;
mod connect_options;
mod content;
mod copy;
mod credentials;
mod digest;
mod document;
mod egress;
mod error;
mod fan_out;
mod fetch;
mod filter;
mod gcs;
mod http;
mod journal;
mod lane;
mod layout;
mod ledger;
mod live;
mod local;
mod location;
mod manifest;
mod mirror;
mod overlap;
mod pace;
mod part;
mod payload;
mod probe;
mod reader;
mod removal;
mod replica;
mod retry;
mod s3;
mod server_copy;
mod source_limits;
mod source_tags;
mod state;
mod store;
mod surplus;
mod tag_support;
mod tags;
mod upload;
mod upload_id;
mod verify;
mod writer;
mod xml;

pub use access::StoreAccess;
pub use attributes::Attributes;
pub use azure::AzureStore;
pub use checksum::{Checksum, ChecksumAlgorithm, StoredChecksum};
pub use condition::Condition;
pub use connect_options::ConnectOptions;
pub use credentials::{
    AwsFederation, AwsRole, AzureApp, AzureFederation, Federation, GoogleFederation, GooglePool, GoogleTokenServices,
    TokenError, TokenSource,
};
pub use digest::{InvalidDigest, ManifestDigest, Sha256};
pub use egress::{Cost, EgressBudget, InvalidAmount, Left, PricePerGb};
pub use error::{RetryClass, StoreError, StoreErrorKind};
pub use fan_out::Verification;
pub use fetch::{FetchError, FetchEvent, FetchOutcome, FetchRequest, UnsafeKey, fetch};
pub use filter::{Filter, InvalidFilter};
pub use gcs::GcsStore;
pub use layout::{DatasetName, InvalidDatasetName, RESERVED_PREFIX, manifest_key};
pub use live::LivePart;
pub use local::LocalStore;
pub use location::{Addressing, AzureCredentials, AzureLocation, Credentials, GcsCredentials, GcsLocation, S3Location};
pub use manifest::{InvalidManifest, Manifest, ManifestEntry};
pub use mirror::{
    Bounds, Dataset, Deletion, MirrorError, MirrorEvent, MirrorOptions, MirrorProgress, MirrorReport, ObjectFailure,
    SourcePublication, TagsUnread, TargetError, TargetReport, mirror,
};
pub use part::{PartLimits, TransferLimits};
pub use payload::Payload;
pub use replica::Replica;
pub use retry::{InFlight, RetryPolicy};
pub use s3::S3Store;
pub use source_limits::SourceLimits;
pub use store::{
    Body, Capabilities, CopySource, ListPage, Md5, ObjectHead, ObjectStore, ObjectSummary, Place, Proof, UploadedPart,
    Written, list,
};
pub use surplus::MostDeleted;
pub use tags::{Tags, TagsLost};
pub use upload::{UploadError, UploadOutcome, upload};
pub use verify::{Mismatch, VerifyReport, verify};
