//! `skyfleet mirror --transform` between folders, as one tries it on a desk.

use std::path::Path;

use crate::{assert_fails, bare, run};

const SPEC: &str = "\
types: {id: Integer}
steps:
  - filter:
      matchExpressions:
        - {column: id, operator: Gt, values: ['1']}
  - mask: {columns: [mail], method: Hash, keySecretRef: {name: any, key: any}}
output: {format: Csv, compression: Gzip}
deadLetters: {maxPercent: 50}
";

struct Desk(tempfile::TempDir);

impl Desk {
    fn new(spec: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["raw", "made"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("transform.yaml"), spec).unwrap();
        std::fs::write(folder.path().join("key"), "a key of many bytes").unwrap();
        std::fs::write(folder.path().join("short"), "short").unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn mirror(&self, more: &[&str]) -> std::process::Command {
        let (raw, made, file) = (self.path("raw"), self.path("made"), self.path("transform.yaml"));
        bare(&[&["mirror", &raw, &made, "--transform", &file], more].concat())
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(Path::new(&self.path("raw")).join(name), text).unwrap();
    }
}

#[test]
fn rows_are_filtered_masked_and_counted() {
    let desk = Desk::new(SPEC);
    let row = |id: u32| format!("{{\"id\":{id},\"mail\":\"a@example.com\"}}\n");
    desk.write("a.jsonl", &(row(1) + &row(2) + "broken\n" + &row(3)));
    let key = desk.path("key");
    let (code, stdout, stderr) = run(desk.mirror(&["--mask-key-file", &key]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("1 copied"), "{stdout}");
    let rows = "rows: 4 read, 2 held; 1 could not be transformed: see .skyfleet/dead-letters/ at the targets";
    assert!(stdout.contains(rows), "{stdout}");
    assert!(Path::new(&desk.path("made/a.csv.gz")).exists());
    let letters = std::fs::read_to_string(desk.path("made/.skyfleet/dead-letters/a.csv.gz.jsonl")).unwrap();
    assert!(letters.contains("\"record\":3") && !letters.contains("broken"), "masks hide it: {letters}");
    let (code, stdout, _) = run(desk.mirror(&["--mask-key-file", &key, "--json"]));
    let report: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!((code, &report["targets"][0]["settled"], &report["rows"]["written"]), (0, &1.into(), &2.into()));
    assert_eq!(report["rows"]["steps"][0], serde_json::json!({"rowsIn": 3, "rowsOut": 2}));
}

#[test]
fn mistakes_are_said_before_anything_is_read() {
    let says = |spec: &str, more: &[&str], why: &str| {
        let desk = Desk::new(spec);
        desk.write("a.jsonl", "{\"id\":2,\"mail\":\"a\"}\n");
        let more = more.iter().map(|name| if name.starts_with("--") { (*name).to_owned() } else { desk.path(name) });
        let more: Vec<String> = more.collect();
        assert_fails(desk.mirror(&more.iter().map(String::as_str).collect::<Vec<_>>()), 2, why);
        assert_eq!(std::fs::read_dir(desk.path("made")).unwrap().count(), 0);
    };
    says(SPEC, &[], "step 2: method Hash needs a key: give --mask-key-file");
    says(SPEC, &["--mask-key-file", "nowhere"], "cannot read the file");
    says(SPEC, &["--mask-key-file", "short"], "the key of a mask needs at least 16 bytes, and has 5");
    says("output: {format: Xml}", &[], "unknown variant `Xml`");
    says("outputs: {format: Csv}", &[], "outputs is no field of a transform");
    says("input: Csv", &[], "the transform changes nothing");
    says("steps: [{drop: {columns: []}}]", &[], "step 1 (Drop) names no columns");
    says(": :", &[], "transform.yaml");
}

#[test]
fn what_cannot_be_transformed_says_why_and_what_to_do() {
    let desk = Desk::new("output: {format: Parquet}");
    desk.write("a.jsonl", "{\"id\":2}\nbroken\n");
    assert_fails(desk.mirror(&[]), 1, "1 of 2 records could not be transformed, and at most 0 % may fail");
    desk.write("a.jsonl", "{\"id\":2}\n");
    desk.write("notes.txt", "notes");
    let (code, _, stderr) = run(desk.mirror(&[]));
    assert_eq!(code, 9, "{stderr}");
    assert!(stderr.contains("\"notes.txt\"") && stderr.contains("leave the object out by a filter"), "{stderr}");
    let (code, stdout, stderr) = run(desk.mirror(&["--exclude", "*.txt"]));
    assert!(code == 0 && stdout.contains("rows: 1 read, 1 held"), "{stdout}{stderr}");
}
