//! What workers have copied and proven of one target, told in files below `.skyfleet/work/` in its bucket until a pass over everything
//! takes it over.

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::page::{self, Record, StateEntry};
use crate::cancel::cancellable;
use crate::dataset::document::{read_document, write_document};
use crate::store::upload_id::family;
use crate::{DatasetName, ObjectSummary, Replica, StoreError, StoreErrorKind, list};

const VERSION: u32 = 1;

/// Where the proofs of a work lie of one target.
#[derive(Debug, Clone)]
pub(crate) struct Proofs {
    replica: Replica,
    folder: String,
    /// What tells the source from others.
    source: String,
}

/// What a file of them is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProofName {
    pub(super) unit: u32,
    pub(super) worker: u32,
    /// From 1, where one was full.
    pub(super) number: u32,
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    source: String,
}

impl Proofs {
    /// Two copies in one bucket differ by their prefix.
    pub(crate) fn of(target: &Replica, (dataset, work): (&DatasetName, &str), source: String) -> Self {
        let folder = format!("{}{}/", dataset.proofs_folder(work), family(&target.prefix));
        Self { replica: target.clone(), folder, source }
    }

    /// The files there are, in the order of units; with `unit`, those of that one.
    pub(super) async fn names(
        &self,
        unit: Option<u32>,
        cancel: &CancellationToken,
    ) -> Result<Vec<ProofName>, StoreError> {
        let prefix = unit.map_or_else(|| self.folder.clone(), |unit| format!("{}{unit:06}.", self.folder));
        let store = &self.replica.store;
        let found = list(&**store, &prefix)
            .try_filter_map(|object| std::future::ready(Ok(self.name_of(&object))))
            .try_collect::<Vec<_>>();
        let mut names = cancellable(cancel, store.place(), found).await?;
        names.sort_unstable();
        Ok(names)
    }

    fn name_of(&self, object: &ObjectSummary) -> Option<ProofName> {
        ProofName::parse(object.key.strip_prefix(&self.folder)?)
    }

    /// The records of a file; `None` of one that is lost, damaged or of another source.
    pub(super) async fn read(
        &self,
        name: ProofName,
        cancel: &CancellationToken,
    ) -> Result<Option<Vec<Record>>, StoreError> {
        let key = self.key(name);
        let records = match read_document(&self.replica, &key, cancel).await {
            Ok(bytes) => parse(&bytes, &self.source),
            Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Corrupt) => None,
            Err(error) => return Err(error),
        };
        if records.is_none() {
            let bucket = &self.replica.store.place().bucket;
            tracing::warn!(key, %bucket, "what a worker has proven is lost or does not fit: objects are copied again");
        }
        Ok(records)
    }

    /// Replaces a file.
    pub(super) async fn write<'a>(
        &self,
        name: ProofName,
        records: impl Iterator<Item = (&'a str, &'a StateEntry)>,
    ) -> Result<(), StoreError> {
        let unwritable = |error: serde_json::Error| {
            let action = "write what was proven of the copies";
            self.replica.store.place().error(StoreErrorKind::Rejected, action, error.to_string())
        };
        let bytes = to_bytes(records, &self.source).map_err(unwritable)?;
        write_document(&self.replica, &self.key(name), bytes).await
    }

    fn key(&self, name: ProofName) -> String {
        format!("{}{}", self.folder, name.text())
    }
}

impl ProofName {
    fn text(self) -> String {
        let Self { unit, worker, number } = self;
        if number == 1 { format!("{unit:06}.{worker}.jsonl") } else { format!("{unit:06}.{worker}.{number}.jsonl") }
    }

    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.strip_suffix(".jsonl")?.split_once('.')?;
        let (worker, number) = rest.split_once('.').unwrap_or((rest, "1"));
        let name = Self { unit: unit.parse().ok()?, worker: worker.parse().ok()?, number: number.parse().ok()? };
        (name.text() == text).then_some(name)
    }
}

fn to_bytes<'a>(records: impl Iterator<Item = (&'a str, &'a StateEntry)>, source: &str) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(&Header { version: VERSION, source: source.to_owned() })?;
    bytes.push(b'\n');
    bytes.extend(page::to_bytes(records)?);
    Ok(bytes)
}

/// `None` of what is damaged, of another version, or of another source.
fn parse(bytes: &[u8], source: &str) -> Option<Vec<Record>> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let header: Header = serde_json::from_slice(&bytes[..end]).ok()?;
    if header.version == VERSION && header.source == source { page::parse(&bytes[end + 1..]) } else { None }
}

/// What is known of an object.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) entry: Option<StateEntry>,
    /// It is one of those that workers have proven.
    pub(super) is_proof: bool,
}

/// How what is known of an object fits what is there now; more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// It is of another version than the target holds.
    Stale,
    /// It is of the version that the target holds.
    Held,
    /// That version is what the target is to hold.
    Settled,
}

/// Says how something fits.
pub(crate) type Fits<'a> = dyn Fn(&StateEntry) -> Fit + Sync + 'a;

/// What fits best of what is remembered and what workers have proven; of equals, what is remembered, and then what was told last.
pub(super) fn choose(remembered: Option<StateEntry>, mut proofs: Vec<StateEntry>, fits: &Fits<'_>) -> Known {
    let best = (0..proofs.len()).max_by_key(|place| fits(&proofs[*place]));
    let Some(best) = best.map(|place| proofs.swap_remove(place)) else {
        return Known { entry: remembered, is_proof: false };
    };
    match remembered {
        Some(entry) if fits(&entry) >= fits(&best) => Known { entry: Some(entry), is_proof: false },
        _ => Known { entry: Some(best), is_proof: true },
    }
}

#[cfg(test)]
mod tests {
    use super::{Fit, ProofName, StateEntry, choose, parse, to_bytes};

    fn entry(etag: &str) -> StateEntry {
        StateEntry {
            size: 1,
            sha256: None,
            source_etag: "s".into(),
            source_modified: 7,
            target_etag: etag.into(),
            made: None,
        }
    }

    #[test]
    fn a_file_is_called_by_its_unit_and_its_worker() {
        for (unit, worker, number, text) in [
            (0, 0, 1, "000000.0.jsonl"),
            (17, 3, 1, "000017.3.jsonl"),
            (17, 3, 2, "000017.3.2.jsonl"),
            (1_234_567, 12, 1, "1234567.12.jsonl"),
        ] {
            let name = ProofName { unit, worker, number };
            assert_eq!((name.text().as_str(), ProofName::parse(text)), (text, Some(name)));
        }
        for wrong in
            ["", "000001.jsonl", "1.2.jsonl", "000001.2", "000001.02.jsonl", "000001.2.1.jsonl", "000001.2.x.jsonl"]
        {
            assert_eq!(ProofName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_was_proven_of_this_source_is_read() {
        let (one, other) = (entry("1"), entry("2"));
        let bytes = to_bytes([("a", &one), ("b", &other)].into_iter(), "here").unwrap();
        assert!(bytes.starts_with(b"{\"version\":1,\"source\":\"here\"}\n"));
        assert_eq!(parse(&bytes, "here"), Some(vec![("a".to_owned(), one), ("b".to_owned(), other)]));
        assert_eq!(parse(&bytes, "there"), None);
        assert_eq!(parse(&bytes[..bytes.len() - 3], "here"), None);
        assert_eq!(parse(b"", "here"), None);
        assert_eq!(parse(&to_bytes(std::iter::empty(), "here").unwrap(), "here"), Some(Vec::new()));
    }

    #[test]
    fn what_fits_best_counts() {
        let fits = |entry: &StateEntry| match entry.target_etag.get(..1) {
            Some("s") => Fit::Settled,
            Some("h") => Fit::Held,
            _ => Fit::Stale,
        };
        for (remembered, proofs, expected) in [
            (None, &[][..], None),
            (Some("x"), &[], Some(("x", false))),
            (Some("s"), &["s1", "h"], Some(("s", false))),
            (Some("h"), &["s1", "h1"], Some(("s1", true))),
            (Some("x"), &["h1", "h2"], Some(("h2", true))),
            (Some("x"), &["x1", "x2"], Some(("x", false))),
            (None, &["x1", "x2"], Some(("x2", true))),
            (None, &["s1", "s2", "h"], Some(("s2", true))),
        ] {
            let known = choose(remembered.map(entry), proofs.iter().map(|etag| entry(etag)).collect(), &fits);
            let found = known.entry.as_ref().map(|entry| (entry.target_etag.as_str(), known.is_proof));
            assert_eq!(found, expected, "{remembered:?} {proofs:?}");
        }
    }
}
