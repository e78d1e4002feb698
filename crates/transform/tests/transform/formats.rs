use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use skyfleet_transform::{ColumnType, Compression, Format, Output, Spec, TransformError};

use crate::support::{Made, compressed, run, to};

const TABLE: &str = "id,name,score,day\n1,Ada,1.5,2026-01-02\n2,\"Grace, \"\"H\"\"\nopper\",,2026-01-03\n";

fn through(formats: &[Format], key: &str, content: &str) -> Made {
    let (mut key, mut content) = (key.to_owned(), content.as_bytes().to_vec());
    let mut last = None;
    for format in formats {
        let made = run(to(*format), &key, &content).unwrap();
        (key, content) = (made.key.clone(), made.bytes.clone());
        last = Some(made);
    }
    last.unwrap()
}

#[test]
fn rows_are_the_same_in_every_format() {
    let json = through(&[Format::Parquet, Format::JsonLines], "a.csv", TABLE);
    assert_eq!(json.key, "a.jsonl");
    let expected = "{\"id\":1,\"name\":\"Ada\",\"score\":1.5,\"day\":\"2026-01-02\"}\n\
        {\"id\":2,\"name\":\"Grace, \\\"H\\\"\\nopper\",\"day\":\"2026-01-03\"}\n";
    assert_eq!(json.text(), expected);
    assert_eq!((json.outcome.rows_read, json.outcome.rows_written), (2, 2));
    let csv = through(&[Format::JsonLines, Format::Parquet, Format::Csv], "a.csv", TABLE);
    assert_eq!(csv.text(), TABLE);
}

#[test]
fn the_same_bytes_give_the_same_bytes() {
    for format in [Format::Parquet, Format::Csv, Format::JsonLines] {
        let spec = || Spec {
            output: Output { format: Some(format), compression: Some(Compression::Gzip) },
            ..Spec::default()
        };
        assert_eq!(run(spec(), "a.csv", TABLE).unwrap().bytes, run(spec(), "a.csv", TABLE).unwrap().bytes);
    }
}

#[test]
fn compression_comes_and_goes() {
    let content = "a line as any other\n".repeat(100_000);
    let (mut key, mut bytes) = ("notes".to_owned(), content.clone().into_bytes());
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Gzip, Compression::None] {
        let made = run(compressed(compression), &key, &bytes).unwrap();
        (key, bytes) = (made.key, made.bytes);
    }
    assert_eq!((key.as_str(), bytes == content.as_bytes()), ("notes", true));
    let gzipped = run(compressed(Compression::Gzip), "a.csv", TABLE).unwrap();
    let twice = [gzipped.bytes.clone(), gzipped.bytes.clone()].concat();
    let plain = run(compressed(Compression::None), "a.csv.gz", twice).unwrap();
    assert_eq!(plain.text(), TABLE.repeat(2), "two members are one file");
    let json = run(to(Format::JsonLines), &gzipped.key, &gzipped.bytes).unwrap();
    assert_eq!((json.key.as_str(), json.outcome.rows_written), ("a.jsonl.gz", 2));
}

#[test]
fn damaged_objects_are_refused() {
    let gzipped = run(compressed(Compression::Gzip), "a.csv", TABLE).unwrap().bytes;
    let cut = run(to(Format::Parquet), "a.csv.gz", &gzipped[..gzipped.len() - 5]);
    assert!(matches!(cut, Err(TransformError::Read(_))), "{cut:?}");
    let parquet = run(to(Format::Parquet), "a.csv", TABLE).unwrap().bytes;
    for damaged in [&parquet[..parquet.len() - 1], &parquet[1..], b"PAR1", b""] {
        let read = run(to(Format::Csv), "a.parquet", damaged);
        assert!(matches!(read, Err(TransformError::Malformed { .. })), "{read:?}");
    }
    let not_json = run(to(Format::Parquet), "a.jsonl", "[1]\n2\n");
    assert!(matches!(not_json, Err(TransformError::Malformed { .. })), "{not_json:?}");
    let twice = run(to(Format::Parquet), "a.csv", "a,a\n1,2\n").unwrap_err().to_string();
    assert!(twice.contains("names column \"a\" twice"), "{twice}");
}

#[test]
fn objects_without_rows_stay_so() {
    for (key, content) in [("a.jsonl", ""), ("a.jsonl", "\n \n"), ("a.csv", ""), ("a.csv", "id,name\n")] {
        for format in [Format::Parquet, Format::JsonLines, Format::Csv] {
            let made = run(to(format), key, content).unwrap();
            assert_eq!(made.outcome.rows_written, 0, "{key} {content:?}");
            if format == Format::Parquet {
                assert_eq!(run(to(Format::JsonLines), "a.parquet", &made.bytes).unwrap().text(), "");
            }
        }
    }
    assert_eq!(run(to(Format::Csv), "a.csv", "id,name\n").unwrap().text(), "id,name\n");
}

#[test]
fn what_only_looks_like_a_number_stays_as_it_stands() {
    let made = run(to(Format::JsonLines), "a.csv", "zip,phone,n\n01234,+49,-1\n98765,49,2\n").unwrap();
    assert_eq!(made.text().lines().next(), Some("{\"zip\":\"01234\",\"phone\":\"+49\",\"n\":-1}"));
}

#[test]
fn types_are_as_asked_for() {
    let types = BTreeMap::from([
        ("id".to_owned(), ColumnType::Text),
        ("at".to_owned(), ColumnType::Timestamp),
        ("extra".to_owned(), ColumnType::Integer),
    ]);
    let spec = Spec { types, ..to(Format::JsonLines) };
    let csv = run(spec.clone(), "a.csv", "id,at\n7,2026-01-02T03:04:05Z\n").unwrap();
    assert_eq!(csv.text(), "{\"id\":\"7\",\"at\":\"2026-01-02T03:04:05Z\"}\n");
    let json = run(spec, "a.jsonl", "{\"id\":7}\n{\"extra\":1,\"at\":\"2026-01-02T03:04:05Z\"}\n").unwrap();
    assert_eq!(json.text(), "{\"id\":\"7\"}\n{\"extra\":1,\"at\":\"2026-01-02T03:04:05Z\"}\n");
}

#[test]
fn line_ends_and_marks_of_other_systems_are_taken() {
    for content in
        ["\u{feff}id,name\r\n1,a\r\n2,b\r\n", "id,name\n1,a\n2,b", "id,name\r1,a\r2,b\r", "id,name\n\n1,a\n\n2,b\n\n"]
    {
        let made = run(to(Format::Csv), "a.csv", content).unwrap();
        assert_eq!(made.text(), "id,name\n1,a\n2,b\n", "{content:?}");
    }
    let made = run(to(Format::Csv), "a.jsonl", "\u{feff}{\"id\":1}\r\n\r\n{\"id\":2}").unwrap();
    assert_eq!(made.text(), "id\n1\n2\n");
}

#[test]
fn objects_larger_than_what_is_held_lose_nothing() {
    let mut csv = String::from("id,text\n");
    let mut json = String::new();
    for id in 0..60_000 {
        // Quotes with newlines in them lie across every boundary now and then.
        let text = if id % 7 == 0 { format!("\"a\n,{id}\"") } else { "x".repeat(40 + id % 13) };
        writeln!(csv, "{id},{text}").unwrap();
        writeln!(json, "{{\"id\":{id},\"deep\":{{\"list\":[{id},1]}},\"text\":\"{}\"}}", "é".repeat(id % 31)).unwrap();
    }
    let made = run(to(Format::Parquet), "a.csv", &csv).unwrap();
    assert_eq!((made.outcome.rows_written, made.dead_letters.len()), (60_000, 0));
    assert_eq!(run(to(Format::Csv), "a.parquet", &made.bytes).unwrap().text(), csv);
    let made = through(&[Format::Parquet, Format::JsonLines], "a.jsonl", &json);
    assert_eq!(made.text(), json);
}

#[test]
fn a_record_may_be_large_and_not_without_end() {
    let text = "y".repeat(9 * 1024 * 1024);
    let made = run(to(Format::JsonLines), "a.csv", format!("id,text\n1,\"{text}\"\n2,z\n")).unwrap();
    assert_eq!(made.outcome.rows_written, 2);
    let error = run(to(Format::Csv), "a.csv", format!("id\n\"{}\n", text.repeat(2))).unwrap_err();
    assert!(matches!(error, TransformError::RecordTooLarge { .. }), "{error}");
    let error = run(to(Format::Csv), "a.jsonl", text.repeat(2)).unwrap_err();
    assert!(matches!(error, TransformError::RecordTooLarge { .. }), "{error}");
}

#[test]
fn csv_takes_no_lists() {
    let error = run(to(Format::Csv), "a.jsonl", "{\"a\":[1]}\n").unwrap_err().to_string();
    assert!(error.contains("column \"a\" holds lists or objects, which CSV cannot"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_comes_back(rows in prop::collection::vec((any::<i64>(), "\\PC{0,20}[\n\r\",]{0,3}", any::<bool>()), 1..40)) {
        let lines: Vec<_> = rows.iter().map(|(id, text, flag)| {
            format!("{}\n", serde_json::json!({"flag": flag, "id": id, "text": format!("x{text}")}))
        }).collect();
        let json = lines.concat();
        for format in [Format::Parquet, Format::Csv] {
            let made = through(&[format, Format::JsonLines], "a.jsonl", &json);
            prop_assert_eq!(made.text(), &json);
        }
    }
}
