//! The manifests in `examples/` and `full/` say only what the types know: a field that only the schema knows, or a typing
//! mistake, would otherwise be dropped in silence.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;
use skyfleet_api::{Bucket, Cluster, DatasetReplica, ModelDeployment, ModelRoute};

fn round_trip<T: DeserializeOwned + serde::Serialize>(manifest: &Value) -> Value {
    let typed: T = serde_yaml::from_value(manifest.clone()).expect("the manifest fits its type");
    serde_yaml::to_value(typed).expect("a manifest is plain data")
}

/// Everything said in `written` is said in `kept` too.
fn assert_kept(written: &Value, kept: &Value, place: &str) {
    match (written, kept) {
        (Value::Mapping(written), Value::Mapping(kept)) => {
            for (key, value) in written {
                let place = format!("{place}.{}", key.as_str().unwrap_or("?"));
                let kept = kept.get(key).unwrap_or_else(|| panic!("{place} is not a field of the type"));
                assert_kept(value, kept, &place);
            }
        }
        (Value::Sequence(written), Value::Sequence(kept)) => {
            assert_eq!(written.len(), kept.len(), "{place}");
            for (index, (written, kept)) in written.iter().zip(kept).enumerate() {
                assert_kept(written, kept, &format!("{place}[{index}]"));
            }
        }
        // A quantity may be written as a number.
        (Value::Number(written), Value::String(kept)) => assert_eq!(&written.to_string(), kept, "{place}"),
        (written, kept) => assert_eq!(written, kept, "{place}"),
    }
}

#[test]
fn every_field_of_the_examples_is_known() {
    every_field_is_known("../../examples");
}

#[test]
fn every_field_that_an_api_server_takes_is_known() {
    every_field_is_known("tests/full");
}

fn every_field_is_known(folder: &str) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut seen = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(examples).expect("the folder is there") {
        let path = entry.expect("the folder can be listed").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("an example can be read");
        for document in serde_yaml::Deserializer::from_str(&text) {
            let manifest = Value::deserialize(document).expect("an example is YAML");
            let kind = manifest.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            let kept = match kind.as_str() {
                "Cluster" => round_trip::<Cluster>(&manifest),
                "Bucket" => round_trip::<Bucket>(&manifest),
                "DatasetReplica" => round_trip::<DatasetReplica>(&manifest),
                "ModelDeployment" => round_trip::<ModelDeployment>(&manifest),
                "ModelRoute" => round_trip::<ModelRoute>(&manifest),
                _ => continue,
            };
            assert_kept(&manifest, &kept, &format!("{}: {kind}", path.display()));
            seen.insert(kind);
        }
    }
    assert_eq!(seen.len(), 5, "a manifest of each kind: {seen:?}");
}

#[test]
fn the_readme_explains_the_example_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| std::fs::read_to_string(root.join(file)).expect("the file can be read");
    let readme = read("README.md");
    let shown = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a manifest in YAML");
    let example = read("examples/model-deployment.yaml");
    let parse = |text: &str| serde_yaml::from_str::<Value>(text).expect("YAML");
    assert_eq!(parse(shown), parse(&example));
}
