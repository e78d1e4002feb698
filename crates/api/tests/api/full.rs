//! The manifests in `full/` have every field, so that the lab's test, which sees each of them kept, leaves none out.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// Kubernetes' own types, which have more fields than it takes to see them kept.
const KUBERNETES_TYPES: [&str; 4] =
    ["runtime.env", "runtime.probes.liveness", "runtime.probes.readiness", "runtime.probes.startup"];

#[test]
fn every_field_is_in_a_full_manifest() {
    let manifests = manifests();
    let mut missing = Vec::new();
    for definition in skyfleet_api::custom_resource_definitions() {
        let definition = serde_json::to_value(definition).expect("a definition is plain data");
        let kind = definition["spec"]["names"]["kind"].as_str().expect("a kind has a name");
        let specs: Vec<_> = manifests.iter().filter(|of| of["kind"] == kind).map(|of| &of["spec"]).collect();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        missing.extend(fields_without_value("", schema, &specs).into_iter().map(|field| format!("{kind}: {field}")));
    }
    assert!(missing.is_empty(), "no manifest in crates/api/tests/full has these: {missing:#?}");
}

fn fields_without_value(above: &str, schema: &Value, values: &[&Value]) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{above}{name}");
        let values: Vec<_> = values.iter().filter_map(|value| value.get(name)).collect();
        if values.is_empty() {
            missing.push(path);
        } else if !KUBERNETES_TYPES.contains(&path.as_str()) {
            let items: Vec<_> = values.iter().filter_map(|value| value.as_array()).flatten().collect();
            missing.extend(fields_without_value(&format!("{path}."), field, &values));
            missing.extend(fields_without_value(&format!("{path}[]."), &field["items"], &items));
        }
    }
    missing
}

fn manifests() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/full");
    let files = std::fs::read_dir(folder).expect("the folder is there");
    let texts = files.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text"));
    let documents = |text: String| -> Vec<Value> {
        serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).expect("YAML")).collect()
    };
    texts.flat_map(documents).collect()
}
