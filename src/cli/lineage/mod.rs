//! `skyfleet lineage`: what a dataset was made of, when, and by which steps, as far upstream as it is known.

mod chain;
mod render;

use std::collections::BTreeSet;

use clap::ValueEnum;
use kube::{Api, Client, ResourceExt};
use skyfleet_api::DatasetReplica;
use skyfleet_mirror::{DatasetName, HowMade, ManifestDigest, ProvenanceDocument, Replica, read_provenance};
use tokio_util::sync::CancellationToken;

use super::bucket::bucket_access;
use super::failure::Failure;
use super::hub::{self, HubArgs};
use chain::{End, Lineage, Link, Place, Wanted, pinned, upstream_of, verified};

/// How long a bucket that cannot be reached is asked again, in seconds of waiting: a person waits.
const RETRY_SECONDS: u64 = 20;

/// What a dataset was made of, when, and by which steps, as far upstream as it is known
#[derive(Debug, clap::Args)]
#[command(after_help = super::EXIT_STATUSES)]
pub(crate) struct LineageArgs {
    /// datasetreplica/NAME, or just NAME; its Buckets are asked with the keys in their Secrets
    #[arg(value_name = "DATASETREPLICA", value_parser = super::target::dataset_replica)]
    target: String,
    /// Only the object with this key, or made of the source's object with this key; both relative to their prefixes
    #[arg(long, value_name = "KEY")]
    object: Option<String>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    hub: HubArgs,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl LineageArgs {
    pub(super) async fn run(self, cancel: &CancellationToken) -> Result<String, Failure> {
        let (client, namespace) = self.hub.connect(&what(&self.target)).await?;
        let lookup = Lookup { client, namespace, cancel };
        let lineage = lookup.lineage(&self.target, self.object.as_deref()).await?;
        match self.output {
            Output::Text => Ok(render::text(&lineage, self.object.is_some())),
            Output::Json => super::json(&lineage),
        }
    }
}

fn what(name: &str) -> String {
    format!("the DatasetReplica {name:?}")
}

/// The hub, and the namespace that all of it is in.
struct Lookup<'a> {
    client: Client,
    namespace: String,
    cancel: &'a CancellationToken,
}

impl Lookup<'_> {
    async fn lineage(&self, name: &str, object: Option<&str>) -> Result<Lineage, Failure> {
        let mut replica = self.replica(name).await?;
        let mut wanted = object.map_or(Wanted::All, |key| Wanted::One(key.to_owned()));
        let (target, mut document) = self.document(&replica, None, &wanted).await?;
        if let Some(key) = object {
            check_object(&document, name, key)?;
        }
        let mut datasets = vec![self.link(name, target, document.clone())];
        let mut seen = BTreeSet::from([name.to_owned()]);
        let all = self.replicas().await?;
        let end = loop {
            let Some((next, below)) = upstream_of(&replica.spec, &all) else { break End::Source };
            let name = next.name_any();
            let dataset_replica = self.full_name(&name);
            if !seen.insert(name.clone()) {
                break End::Cycle(dataset_replica);
            }
            wanted = wanted.upstream(&document, below);
            let (target, found) = match self.document(next, pinned(&replica.spec, below), &wanted).await {
                Ok(found) => found,
                Err(failure) => break End::Unknown { dataset_replica, reason: failure.to_string() },
            };
            datasets.push(self.link(&name, target, found.clone()));
            (replica, document) = (next.clone(), found);
        };
        Ok(Lineage { datasets, end })
    }

    fn link(&self, name: &str, target: Place, document: ProvenanceDocument) -> Link {
        let ProvenanceDocument { version, objects } = document;
        Link { dataset_replica: self.full_name(name), target, version, objects }
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }

    /// What tells of the version that is `pinned`, or else of the newest verified one, and where that lies.
    async fn document(
        &self,
        replica: &DatasetReplica,
        pinned: Option<(Place, &str)>,
        wanted: &Wanted,
    ) -> Result<(Place, ProvenanceDocument), Failure> {
        let name = replica.name_any();
        let wrong = |why: &dyn std::fmt::Display| Failure::Lineage(format!("{}: {why}", what(&name)));
        let (target, digest) = pinned.or_else(|| verified(replica)).ok_or_else(|| {
            wrong(
                &"none of its targets was verified yet: its conditions say why, or wait for the end of its first pass",
            )
        })?;
        let digest: ManifestDigest = digest.parse().map_err(|error| wrong(&error))?;
        let dataset = DatasetName::new(&self.namespace, &name).map_err(|error| wrong(&error))?;
        let access = bucket_access(self.client.clone(), &self.namespace, &target.bucket).await?;
        let store = access.connect(super::connect_options(RETRY_SECONDS)).await?;
        let place = Replica { store, prefix: target.prefix.clone() };
        let found = read_provenance(&place, &dataset, digest, |object| wanted.takes(object), self.cancel).await?;
        Ok((target, found))
    }

    async fn replica(&self, name: &str) -> Result<DatasetReplica, Failure> {
        let found = self.api().get_opt(name).await.map_err(hub::failure(&what(name)))?;
        let missing = || Failure::NoDatasetReplica { name: name.to_owned(), namespace: self.namespace.clone() };
        found.ok_or_else(missing)
    }

    async fn replicas(&self) -> Result<Vec<DatasetReplica>, Failure> {
        let found = self.api().list(&kube::api::ListParams::default()).await;
        Ok(found.map_err(hub::failure("the DatasetReplicas"))?.items)
    }

    fn api(&self) -> Api<DatasetReplica> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// Of copies no object is told of: theirs are those of the source. Where objects were cut, others may have been copied.
fn check_object(document: &ProvenanceDocument, name: &str, key: &str) -> Result<(), Failure> {
    let has_copies = matches!(document.version.made, HowMade::Copied | HowMade::Cut(_));
    let is_known = has_copies || !document.objects.is_empty();
    let unknown = || {
        Failure::Lineage(format!(
            "{}: its version {} has no object {key:?}, nor one that was made of it: give a key as it is after the prefix, \
             or leave --object out to see all of them",
            what(name),
            document.version.manifest
        ))
    };
    is_known.then_some(()).ok_or_else(unknown)
}
