//! Reads what `--transform` names: a file with what a DatasetReplica has under `spec.transform`.

use std::path::Path;

use skyfleet_api::dataset_replica::{MaskKeyReference, Transform};
use skyfleet_mirror::Transforming;

use crate::cli::failure::Failure;

/// The transform in a file of YAML or JSON. A mask that hashes does so by what is in the key's file.
pub(super) fn read(file: &Path, mask_key: Option<&Path>) -> Result<Transforming, Failure> {
    let text = read_file(file)?;
    let text = String::from_utf8(text).map_err(|_| wrong(file, "it is not UTF-8"))?;
    let document: serde_json::Value = serde_saphyr::from_str(&text).map_err(|error| wrong(file, &error.to_string()))?;
    let mut unknown = Vec::new();
    let ignored = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
    let wanted: Transform =
        serde_ignored::deserialize(document, ignored).map_err(|error| wrong(file, &error.to_string()))?;
    if let Some(field) = unknown.first() {
        return Err(wrong(file, &format!("{field} is no field of a transform: see docs/resources.md, spec.transform")));
    }
    let key = |_: &MaskKeyReference| {
        let file = mask_key.ok_or("method Hash needs a key: give --mask-key-file")?;
        read_file(file).map_err(|failure| failure.to_string())
    };
    crate::transform::transforming(&wanted, key).map_err(|error| wrong(file, &error))
}

fn read_file(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::Usage(format!("cannot read the file {}: {error}", file.display())))
}

fn wrong(file: &Path, why: &str) -> Failure {
    Failure::Usage(format!("{}: {why}", file.display()))
}
