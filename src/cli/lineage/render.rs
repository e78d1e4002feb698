//! A lineage for people.

use std::fmt::Write as _;

use skyfleet_mirror::{HowMade, ProvenanceEntry, ProvenanceRows, ProvenanceTransform};

use super::chain::{End, Lineage, Link};
use crate::cli::table::table;

/// From the dataset that was asked for upstream. Single objects are told in full.
pub(super) fn text(lineage: &Lineage, in_full: bool) -> String {
    let mut datasets: Vec<String> = lineage.datasets.iter().map(|link| dataset(link, in_full)).collect();
    datasets.push(end(&lineage.end));
    datasets.join("\n")
}

fn dataset(Link { dataset_replica, target, version, objects }: &Link, in_full: bool) -> String {
    let source = &version.source;
    let mut facts = vec![
        ("version", version.manifest.to_string()),
        ("published", version.published.to_string()),
        ("from", format!("bucket {} at {}, prefix {:?}", source.bucket, source.endpoint, source.prefix)),
    ];
    match &version.made {
        HowMade::Copied => facts.push(("made by", "copying: each object has its source's key and bytes".to_owned())),
        HowMade::Transformed(transform) => {
            facts.push(("made by", format!("transform {}", transform.digest)));
            facts.push(("rows", rows(&transform.rows)));
        }
        HowMade::Cut(cut) => {
            facts.push(("made by", format!("cutting between rows, into pieces of about {} bytes", cut.piece_size)));
            facts.push(("pieces", cut.pieces.to_string()));
            facts.push(("rows", cut.rows.to_string()));
        }
    }
    facts.push(("objects", version.objects.to_string()));
    facts.push(("bytes", format!("{} in, {} out", version.bytes_in, version.bytes_out)));
    let mut text = format!("DatasetReplica {dataset_replica}, as it lies in {}/{}\n", target.bucket, target.prefix);
    text.push_str(&told(&facts));
    let names: &[String] = if let HowMade::Transformed(transform) = &version.made { &transform.steps } else { &[] };
    if let (HowMade::Transformed(transform), false) = (&version.made, names.is_empty()) {
        let _infallible = write!(text, "\n{}", steps(transform));
    }
    match (objects.is_empty(), in_full) {
        (true, _) => {}
        (false, true) => objects.iter().for_each(|object| text.push_str(&in_detail(object, names))),
        (false, false) => {
            let _infallible = write!(text, "\n{}", listed(objects));
        }
    }
    text
}

fn told(facts: &[(&str, String)]) -> String {
    facts.iter().fold(String::new(), |mut text, (name, value)| {
        let _infallible = writeln!(text, "  {name:<10} {value}");
        text
    })
}

fn rows(rows: &ProvenanceRows) -> String {
    format!("{} read, {} rejected, {} written", rows.read, rows.rejected, rows.written)
}

fn steps(ProvenanceTransform { steps, rows, .. }: &ProvenanceTransform) -> String {
    let row = |(index, step): (usize, &String)| {
        let counted = rows.steps.get(index).copied().unwrap_or_default();
        [(index + 1).to_string(), step.clone(), counted.rows_in.to_string(), counted.rows_out.to_string()]
    };
    let rows: Vec<_> = steps.iter().enumerate().map(row).collect();
    table(["STEP", "WHAT", "ROWS IN", "ROWS OUT"], &rows)
}

fn listed(objects: &[ProvenanceEntry]) -> String {
    let row = |object: &ProvenanceEntry| {
        let ProvenanceEntry { key, bytes, source, made, rows, .. } = object;
        [
            key.clone(),
            bytes.to_string(),
            rows.written.to_string(),
            rows.rejected.to_string(),
            made.to_string(),
            source.key.clone(),
            source.bytes.to_string(),
            rows.read.to_string(),
            source.modified.to_string(),
        ]
    };
    let rows: Vec<_> = objects.iter().map(row).collect();
    let head = ["OBJECT", "BYTES", "ROWS", "REJECTED", "MADE", "FROM", "BYTES", "ROWS", "MODIFIED"];
    table(head, &rows)
}

fn in_detail(object: &ProvenanceEntry, steps: &[String]) -> String {
    let ProvenanceEntry { key, bytes, sha256, source, made, rows: counted } = object;
    let digest = source.sha256.map_or_else(|| "not all of it was read".to_owned(), |sha256| sha256.to_string());
    let mut facts = vec![
        ("bytes", bytes.to_string()),
        ("sha256", sha256.to_string()),
        ("made", made.to_string()),
        ("rows", rows(counted)),
    ];
    for (step, counted) in steps.iter().zip(&counted.steps) {
        facts.push(("", format!("{step}: {} in, {} out", counted.rows_in, counted.rows_out)));
    }
    let piece = source.piece.map(|piece| format!(", piece {:05} of {:05}", piece.index, piece.of));
    facts.extend([
        ("from", format!("{}{}", source.key, piece.unwrap_or_default())),
        ("", format!("{} bytes, modified {}, ETag {:?}", source.bytes, source.modified, source.etag)),
        ("", format!("sha256 {digest}")),
    ]);
    format!("\n  object {key}\n{}", told(&facts))
}

fn end(end: &End) -> String {
    match end {
        End::Source => "Further upstream is no DatasetReplica of this namespace.".to_owned(),
        End::Cycle(name) => format!("It goes round: {name} comes again, and is not told of twice."),
        End::Unknown { dataset_replica, reason } => {
            format!("Further upstream is DatasetReplica {dataset_replica}, of which nothing can be told: {reason}")
        }
    }
}
