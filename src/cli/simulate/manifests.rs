//! From the text of files to the objects of a fleet: pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::Spanned;
use skyfleet_api::{Bucket, Cluster, DatasetReplica, GROUP, ModelDeployment, VERSION, labels};
use skyfleet_plan::capacity::ModelKey;

use super::files::File;
use crate::cli::failure::Failure;
use crate::cli::fleet::{Fleet, Key};

/// The namespace of an object that names none.
const NAMESPACE: &str = "default";

/// Gathers the objects of a fleet, and notes what was left out.
#[derive(Default)]
pub(super) struct Manifests {
    pub(super) fleet: Fleet,
    pub(super) notes: Vec<String>,
    /// Where each object was found.
    places: BTreeMap<(String, Key), String>,
    /// Objects of kinds that say nothing about placement.
    ignored: BTreeMap<String, usize>,
}

impl Manifests {
    /// Reads all documents of all files.
    pub(super) fn read(files: &[File]) -> Result<Self, Failure> {
        let mut manifests = Self::default();
        for file in files {
            for (index, document) in documents(file)?.into_iter().enumerate() {
                let line = document.referenced.line();
                let place = format!("{}: document {} (line {line})", file.name, index + 1);
                manifests.add(&document.value, &place)?;
            }
        }
        for (kind, count) in std::mem::take(&mut manifests.ignored) {
            manifests.notes.push(format!("{count} of kind {kind} ignored: they say nothing about placement"));
        }
        manifests.leave_out_stray_nodes();
        Ok(manifests)
    }

    fn add(&mut self, value: &Value, place: &str) -> Result<(), Failure> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if version.is_empty() || kind.is_empty() {
            return Err(wrong(place, "this is no Kubernetes object: apiVersion or kind is missing"));
        }
        if let (true, Some(items)) = (kind.ends_with("List"), value.get("items").and_then(Value::as_array)) {
            return self.add_items(items, &version, kind.trim_end_matches("List"), place);
        }
        let ours = version.split_once('/').filter(|(group, _)| *group == GROUP);
        match (ours, version.as_str(), kind.as_str()) {
            (Some((_, version)), ..) if version != VERSION => {
                Err(wrong(place, &format!("{GROUP}/{version} is not known: this program knows {VERSION}")))
            }
            (Some(_), _, "Cluster" | "ModelDeployment" | "DatasetReplica" | "Bucket") => {
                self.add_ours(&kind, value, place)
            }
            (Some(_), ..) => Err(wrong(place, &format!("{GROUP} has no kind {kind:?}"))),
            (None, "v1", "Node") => self.add_node(value, place),
            _ => {
                *self.ignored.entry(kind).or_default() += 1;
                Ok(())
            }
        }
    }

    /// The items of a list; in one that an API server gives they don't repeat what they are.
    fn add_items(&mut self, items: &[Value], version: &str, kind: &str, place: &str) -> Result<(), Failure> {
        for (index, item) in items.iter().enumerate() {
            let mut item = item.clone();
            if let (Some(fields), false) = (item.as_object_mut(), kind.is_empty()) {
                fields.entry("apiVersion").or_insert_with(|| version.into());
                fields.entry("kind").or_insert_with(|| kind.into());
            }
            self.add(&item, &format!("{place}, item {}", index + 1))?;
        }
        Ok(())
    }

    fn add_ours(&mut self, kind: &str, value: &Value, place: &str) -> Result<(), Failure> {
        match kind {
            "Cluster" => {
                let cluster: Cluster = typed(value, place, true)?;
                let name = cluster.name_any();
                self.once(kind, (String::new(), name.clone()), place)?;
                self.fleet.clusters.insert(name, cluster);
            }
            "ModelDeployment" => {
                let model: ModelDeployment = typed(value, place, true)?;
                let (namespace, name) = key(&model);
                self.once(kind, (namespace.clone(), name.clone()), place)?;
                self.fleet.models.insert(ModelKey { namespace, name }, model);
            }
            "DatasetReplica" => {
                let dataset: DatasetReplica = typed(value, place, true)?;
                self.once(kind, key(&dataset), place)?;
                self.fleet.datasets.insert(key(&dataset), dataset);
            }
            _ => {
                let bucket: Bucket = typed(value, place, true)?;
                self.once(kind, key(&bucket), place)?;
                self.fleet.buckets.insert(key(&bucket), bucket);
            }
        }
        Ok(())
    }

    fn add_node(&mut self, value: &Value, place: &str) -> Result<(), Failure> {
        let node: Node = typed(value, place, false)?;
        let Some(cluster) = node.labels().get(labels::MEMBER_CLUSTER).cloned() else {
            let name = node.name_any();
            let label = labels::MEMBER_CLUSTER;
            self.notes.push(format!("{place}: the Node {name:?} is left out: its label {label} names no Cluster"));
            return Ok(());
        };
        self.once("Node", (cluster.clone(), node.name_any()), place)?;
        self.fleet.nodes.entry(cluster).or_default().push(node);
        Ok(())
    }

    fn once(&mut self, kind: &str, key: Key, place: &str) -> Result<(), Failure> {
        let name = key.1.clone();
        match self.places.insert((kind.to_owned(), key), place.to_owned()) {
            Some(before) => {
                Err(wrong(place, &format!("{kind} {name:?} is told a second time; the first is in {before}")))
            }
            None => Ok(()),
        }
    }

    fn leave_out_stray_nodes(&mut self) {
        let Fleet { nodes, clusters, .. } = &mut self.fleet;
        nodes.retain(|cluster, nodes| {
            let known = clusters.contains_key(cluster);
            if !known {
                let count = nodes.len();
                self.notes.push(format!("{count} Nodes are left out: there is no Cluster {cluster:?} among the files"));
            }
            known
        });
    }
}

fn documents(file: &File) -> Result<Vec<Spanned<Value>>, Failure> {
    // A list of a thousand Nodes is long and harmless; what aliases may blow up to stays bounded.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_documents: 100_000, max_events: 200_000_000, max_nodes: 100_000_000 },
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(&file.text, options).map_err(|error| wrong(&file.name, &error.to_string()))
}

/// The object; with `strict` a field of the spec that the kind does not have is a mistake, as it is to an API server.
fn typed<K: DeserializeOwned>(value: &Value, place: &str, strict: bool) -> Result<K, Failure> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let name = match value.pointer("/metadata/name") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(wrong(place, &format!("{kind}: metadata.name is no text to YAML: put it in quotes"))),
        None => return Err(wrong(place, &format!("{kind}: metadata.name is missing"))),
    };
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
    let ignoring = serde_ignored::Deserializer::new(value, &mut note);
    let object = serde_path_to_error::deserialize(ignoring).map_err(|error| {
        let path = error.path().to_string();
        wrong(place, &format!("{kind} {name:?}: {path}: {}", error.into_inner()))
    })?;
    // An option shows as `?` on the way, which helps nobody.
    let unknown = unknown.into_iter().map(|path| path.replace(".?", "")).find(|path| path.starts_with("spec."));
    match unknown.filter(|_| strict) {
        Some(path) => Err(wrong(place, &format!("{kind} {name:?}: {path} is no field of this kind"))),
        None => Ok(object),
    }
}

fn key<K: kube::Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_else(|| NAMESPACE.to_owned()), object.name_any())
}

fn wrong(place: &str, reason: &str) -> Failure {
    Failure::Manifest { place: place.to_owned(), reason: reason.to_owned() }
}
