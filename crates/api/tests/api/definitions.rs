//! `crds/` is what the types say. `UPDATE_CRDS=1 cargo test -p skyfleet-api` writes it anew (`make crds`).

use std::path::{Path, PathBuf};

use kube::ResourceExt;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds")
}

#[test]
fn the_definitions_on_disk_are_those_of_the_types() {
    for definition in skyfleet_api::custom_resource_definitions() {
        let path = directory().join(format!("{}.yaml", definition.spec.names.plural));
        let wanted = serde_yaml::to_string(&definition).expect("a definition is plain data");
        if std::env::var_os("UPDATE_CRDS").is_some() {
            std::fs::write(&path, &wanted).expect("crds/ can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, wanted, "{} is out of date: run `make crds` and commit the result", path.display());
    }
}

#[test]
fn each_definition_is_small_enough_for_kubectl_apply() {
    // kubectl apply keeps the whole object in an annotation, and annotations end at 256 KiB.
    for definition in skyfleet_api::custom_resource_definitions() {
        let bytes = serde_json::to_vec(&definition).expect("a definition is plain data").len();
        assert!(bytes < 200 * 1024, "{} has {bytes} bytes", definition.name_any());
    }
}
