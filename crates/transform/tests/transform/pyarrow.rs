//! Parquet that another implementation reads and writes.

use std::collections::BTreeMap;
use std::path::Path;

use skyfleet_e2e::artifacts;
use skyfleet_transform::{ColumnType, Compression, Format, Output, Spec};

use crate::support::{run, to};

/// Runs a program with `pq` and `pa`, whose arguments are files; what it printed.
pub fn python(program: &str, files: &[&Path]) -> String {
    let mut python = artifacts::python_with_pyarrow().unwrap();
    let program = format!("import sys, pyarrow as pa, pyarrow.parquet as pq\n{program}");
    let output = python.arg("-c").arg(program).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const LINES: &str = r#"{"id":1,"name":"Zoë","score":1.5,"ok":true,"at":"2026-01-02T03:04:05.000006Z","day":"2026-01-02","tags":["a","b"],"deep":{"x":[{"y":1}]}}
{"id":-9223372036854775808,"score":-0.25,"ok":false,"tags":[],"deep":{"x":null}}
{"id":3,"name":"","at":"1969-12-31T23:59:59Z","day":"1900-02-28"}
"#;

#[test]
fn every_type_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let types: BTreeMap<_, _> = [("at".to_owned(), ColumnType::Timestamp), ("day".to_owned(), ColumnType::Date)].into();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let output = Output { format: Some(Format::Parquet), compression: Some(compression) };
        let made = run(Spec { types: types.clone(), output, ..Spec::default() }, "a.jsonl", LINES);
        let file = folder.path().join("a.parquet");
        std::fs::write(&file, made.unwrap().bytes).unwrap();
        let read = python("for row in pq.read_table(sys.argv[1]).to_pylist(): print(row)", &[&file]);
        let utc = "tzinfo=datetime.timezone.utc";
        let expected = format!(
            "{{'id': 1, 'name': 'Zoë', 'score': 1.5, 'ok': True, 'at': datetime.datetime(2026, 1, 2, 3, 4, 5, 6, {utc}), \
             'day': datetime.date(2026, 1, 2), 'tags': ['a', 'b'], 'deep': {{'x': [{{'y': 1}}]}}}}\n\
             {{'id': -9223372036854775808, 'name': None, 'score': -0.25, 'ok': False, 'at': None, 'day': None, 'tags': [], \
             'deep': {{'x': None}}}}\n\
             {{'id': 3, 'name': '', 'score': None, 'ok': None, 'at': datetime.datetime(1969, 12, 31, 23, 59, 59, {utc}), \
             'day': datetime.date(1900, 2, 28), 'tags': None, 'deep': None}}\n"
        );
        assert_eq!(read, expected, "{compression:?}");
    }
}

#[test]
fn what_it_writes_is_read_whatever_its_codec_and_pages() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.parquet");
    for options in [
        "compression='snappy'",
        "compression='gzip', data_page_version='2.0'",
        "compression='lz4', use_dictionary=False",
        "compression='zstd', row_group_size=1000",
        "compression='none', data_page_size=1024, write_page_index=True",
    ] {
        let program = format!(
            "rows = [{{'id': n, 'text': f'row {{n % 100}}', 'list': [n, n + 1]}} for n in range(20000)]\n\
             pq.write_table(pa.Table.from_pylist(rows), sys.argv[1], {options})"
        );
        python(&program, &[&file]);
        let made = run(to(Format::JsonLines), "a.parquet", std::fs::read(&file).unwrap()).unwrap();
        let expected =
            (0..20_000).map(|n| format!("{{\"id\":{n},\"text\":\"row {}\",\"list\":[{n},{}]}}\n", n % 100, n + 1));
        assert!(made.text() == expected.collect::<Vec<_>>().concat(), "{options}");
    }
}

#[test]
fn a_codec_that_is_not_known_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.parquet");
    python("pq.write_table(pa.table({'a': [1]}), sys.argv[1], compression='brotli')", &[&file]);
    let error = run(to(Format::Csv), "a.parquet", std::fs::read(&file).unwrap()).unwrap_err().to_string();
    assert!(error.to_lowercase().contains("brotli"), "{error}");
}

#[test]
fn large_tables_have_all_rows_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..400_000_u32).fold(String::new(), |mut lines, n| {
        use std::fmt::Write as _;
        writeln!(lines, "{{\"id\":{n},\"text\":\"{:x}\"}}", u128::from(n).pow(4)).unwrap();
        lines
    });
    let file = folder.path().join("a.parquet");
    std::fs::write(&file, run(to(Format::Parquet), "a.jsonl", lines).unwrap().bytes).unwrap();
    let program = "table = pq.read_table(sys.argv[1])\n\
        assert table['id'].to_pylist() == list(range(400000))\n\
        assert table['text'].to_pylist() == [f'{n**4:x}' for n in range(400000)]\n\
        print(table.num_rows, pq.ParquetFile(sys.argv[1]).metadata.created_by)";
    assert_eq!(python(program, &[&file]).trim(), "400000 skyfleet");
}
