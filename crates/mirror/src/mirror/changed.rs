//! Brings some objects up to date: those that somebody said to have changed.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::listing::{Listed, clash};
use super::naming::Naming;
use super::rows::{Found, Held, Row};
use super::types::MirrorOptions;
use crate::cancel::cancellable;
use crate::dataset::layout::is_reserved;
use crate::{ObjectFailure, ObjectSummary, Replica, StoreError, StoreErrorKind};

/// Keys that are looked at ahead of who reads them.
const AHEAD: usize = 32;

/// Objects of the source that may have changed, and what to know of the targets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Keys relative to the source's prefix, in any order; one that the filter does not keep is passed over.
    pub keys: Vec<String>,
    /// For each target, how many objects were removed from it in this way since all of it was listed last. Together they must not be more
    /// than may be removed.
    pub removed: Vec<u64>,
}

/// The keys that the targets' objects have, in their order, and of each the source's that it could be made of.
pub(super) type Origins = BTreeMap<String, BTreeSet<String>>;

/// What is to be looked at for these keys of the source.
pub(super) fn origins(changed: &[String], options: &MirrorOptions) -> Origins {
    let mut origins = Origins::new();
    let transform = options.transform();
    for key in changed {
        let is_folder = transform.is_some() && key.ends_with('/');
        if key.is_empty() || is_folder || is_reserved(key) || !options.filter.keeps(key) {
            continue;
        }
        let output = transform.and_then(|transform| transform.output_key(key).ok());
        let output = output.unwrap_or_else(|| key.clone());
        let others = options.sources_of(&output);
        let of = origins.entry(output).or_default();
        of.extend(others);
        of.insert(key.clone());
    }
    origins
}

/// Looks at objects one by one, some ahead.
pub(super) struct Looks {
    found: BoxStream<'static, Looked>,
    targets: Vec<Result<(), StoreError>>,
}

struct Looked {
    key: String,
    source: Result<Option<Listed>, StoreError>,
    targets: Vec<Result<Held, StoreError>>,
}

impl Looks {
    pub(super) fn start(
        source: &Replica,
        targets: &[Replica],
        origins: Origins,
        naming: &Naming,
        cancel: &CancellationToken,
    ) -> Self {
        let (source, replicas, cancel, naming) = (source.clone(), targets.to_vec(), cancel.clone(), naming.clone());
        let look = move |(key, origins): (String, BTreeSet<String>)| {
            let (source, targets, cancel, naming) = (source.clone(), replicas.clone(), cancel.clone(), naming.clone());
            async move {
                let at_source = at_source(&source, &key, origins, &naming, &cancel);
                let held = futures::future::join_all(targets.iter().map(|target| held(target, &key, &cancel)));
                let (source, targets) = futures::join!(at_source, held);
                Looked { key, source, targets }
            }
        };
        let found = stream::iter(origins).map(look).buffered(AHEAD).boxed();
        Self { found, targets: vec![Ok(()); targets.len()] }
    }

    /// The next key. A target that could not be asked once is not known from then on.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, StoreError> {
        let Some(Looked { key, source, targets }) = self.found.next().await else { return Ok(None) };
        let targets = targets.into_iter().zip(&mut self.targets).map(|(held, known)| match held {
            Ok(held) if known.is_ok() => Some(held),
            Ok(_) => None,
            Err(error) => {
                if known.is_ok() {
                    *known = Err(error);
                }
                None
            }
        });
        let targets = targets.collect();
        match source {
            Ok(source) => Ok(Some(Found::Row(Row { key, source, targets }))),
            Err(error) if error.concerns_whole_bucket() || error.kind == StoreErrorKind::Cancelled => Err(error),
            Err(error) => Ok(Some(Found::Unread(ObjectFailure { key, error }))),
        }
    }

    /// Why targets could not be asked, in their order.
    pub(super) fn failures(&mut self) -> Vec<Option<StoreError>> {
        std::mem::take(&mut self.targets).into_iter().map(Result::err).collect()
    }
}

/// What the source has that would get this key.
async fn at_source(
    source: &Replica,
    key: &str,
    origins: BTreeSet<String>,
    naming: &Naming,
    cancel: &CancellationToken,
) -> Result<Option<Listed>, StoreError> {
    let looks = origins.into_iter().map(|origin| async move {
        let object = summary(source, &origin, cancel).await?;
        Ok::<_, StoreError>(object.map(|object| (origin, object)))
    });
    let mut found = try_join_all(looks).await?.into_iter().flatten();
    let Some((origin, object)) = found.next() else { return Ok(None) };
    if let Some((other, _)) = found.next() {
        return Err(clash(source, (&origin, &other), key));
    }
    Ok(naming.list(object).into_iter().find(|listed| listed.object.key == key))
}

async fn held(target: &Replica, key: &str, cancel: &CancellationToken) -> Result<Held, StoreError> {
    Ok(summary(target, key, cancel).await?.map_or(Held::Nothing, Held::Object))
}

/// An object as a listing would show it.
async fn summary(
    replica: &Replica,
    key: &str,
    cancel: &CancellationToken,
) -> Result<Option<ObjectSummary>, StoreError> {
    match cancellable(cancel, replica.store.place(), replica.store.head(&replica.key(key))).await {
        Ok(head) => {
            let key = key.to_owned();
            Ok(Some(ObjectSummary { key, size: head.size, etag: head.etag, modified: head.modified, md5: None }))
        }
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{MirrorOptions, origins};
    use crate::Filter;

    #[test]
    fn only_what_is_mirrored_is_looked_at() {
        let include = ["**/*.bin".to_owned()];
        let options = MirrorOptions { filter: Filter::new(&include, &[]).unwrap(), ..MirrorOptions::default() };
        let changed = ["b/2.bin", "a/1.bin", "", "a/1.bin", ".skyfleet/x.bin", "a/.skyfleet/x.bin", "a/1.txt"];
        let found = origins(&changed.map(str::to_owned), &options);
        let found: Vec<_> = found.into_iter().map(|(key, of)| (key, of.into_iter().collect::<Vec<_>>())).collect();
        let one = |key: &str| (key.to_owned(), vec![key.to_owned()]);
        assert_eq!(found, [one("a/1.bin"), one("b/2.bin")]);
    }
}
