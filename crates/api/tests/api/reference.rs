//! `docs/resources.md` is what the definitions say. `UPDATE_CRDS=1 cargo test -p skyfleet-api` writes it anew (`make crds`).

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

const HEAD: &str = "# Resources

<!-- Generated from crates/api by `make crds`: change the types, not this page. -->

All kinds are in the group `skyfleet.dev`, version `v1alpha1`, category `skyfleet` (`kubectl get skyfleet`). A field that this
version does not act on is refused with the condition reason `UnsupportedField`; the README lists them.
";

/// Fields of Kubernetes' own types, which its own reference explains.
const KUBERNETES_TYPES: [(&str, &str); 8] = [
    ("conditions", "list of Condition"),
    ("placement.clusterSelector", "LabelSelector"),
    ("runtime.env", "list of EnvVar"),
    ("runtime.podTemplate", "PodTemplateSpec"),
    ("runtime.probes.liveness", "Probe"),
    ("runtime.probes.readiness", "Probe"),
    ("runtime.probes.startup", "Probe"),
    ("runtime.resources", "ResourceRequirements"),
];

#[test]
fn the_reference_on_disk_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/resources.md");
    let wanted = reference();
    if std::env::var_os("UPDATE_CRDS").is_some() {
        std::fs::write(&path, &wanted).expect("docs/ can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{} is out of date: run `make crds` and commit the result", path.display());
}

fn reference() -> String {
    let mut page = HEAD.to_owned();
    for definition in skyfleet_api::custom_resource_definitions() {
        let definition = serde_json::to_value(definition).expect("a definition is plain data");
        let names = &definition["spec"]["names"];
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let scope =
            if definition["spec"]["scope"] == "Namespaced" { "in a namespace" } else { "for the whole cluster" };
        let (kind, plural, short) = (text(&names["kind"]), text(&names["plural"]), text(&names["shortNames"][0]));
        write!(page, "\n## {kind}\n\n{}\n\n`{plural}`, short `{short}`, {scope}.\n", description(schema))
            .expect("a string");
        for part in ["spec", "status"] {
            let head = "| field | type | default | |\n| --- | --- | --- | --- |";
            write!(page, "\n### {kind} {part}\n\n{head}\n").expect("a string");
            write_fields(&mut page, "", &schema["properties"][part]);
        }
    }
    page
}

fn write_fields(page: &mut String, above: &str, schema: &Value) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{above}{name}");
        let kubernetes = KUBERNETES_TYPES.iter().find(|(of, _)| *of == path).map(|(_, name)| (*name).to_owned());
        let required = schema["required"].as_array().is_some_and(|all| all.iter().any(|of| of == name));
        let type_ = kubernetes.clone().unwrap_or_else(|| type_of(field));
        let default = if required { "required".to_owned() } else { default_of(field) };
        writeln!(page, "| `{path}` | {type_} | {default} | {} |", description(field)).expect("a string");
        if kubernetes.is_none() {
            write_fields(page, &format!("{path}."), field);
            write_fields(page, &format!("{path}[]."), &field["items"]);
        }
    }
}

fn type_of(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<_> =
            values.iter().filter(|value| !value.is_null()).map(|value| format!("`{}`", text(value))).collect();
        return values.join(", ");
    }
    if field["items"].is_object() {
        return format!("list of {}", type_of(&field["items"]));
    }
    if field["additionalProperties"].is_object() {
        return format!("map to {}", type_of(&field["additionalProperties"]));
    }
    if field["x-kubernetes-int-or-string"] == true {
        return "quantity".to_owned();
    }
    text(&field["type"])
}

/// The default; none where it is an object, whose own fields show theirs, or empty.
fn default_of(field: &Value) -> String {
    let default = &field["default"];
    let is_empty = default.as_array().is_some_and(Vec::is_empty) || default == "";
    if default.is_null() || default.is_object() || is_empty { String::new() } else { format!("`{}`", text(default)) }
}

/// The description and, after it, what the API server's rules demand.
fn description(field: &Value) -> String {
    let rules = field["x-kubernetes-validations"].as_array().into_iter().flatten();
    let rules = rules.map(|rule| format!("*Rule: {}.*", text(&rule["message"])));
    let sentences: Vec<_> = std::iter::once(text(&field["description"])).chain(rules).collect();
    sentences.join(" ").replace('\n', " ").replace('|', "\\|")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}
