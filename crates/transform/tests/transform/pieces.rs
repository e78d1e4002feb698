//! Objects that are cut between their rows, and joined again.

use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;
use skyfleet_transform::{
    CsvScan, Format, LineCount, Output, Piece, RangeSource, RecordStart, RowLimits, Source, Spec, Step, Transform,
    TransformError, cut_parquet, join_parquet,
};

use crate::pyarrow::python;
use crate::support::{InMemory, run, to};

fn pieces(size: usize, piece_size: u64) -> Vec<Piece> {
    Piece::all(size as u64, NonZeroU64::new(piece_size).unwrap()).unwrap().collect()
}

fn slice(content: &[u8], range: Range<u64>) -> &[u8] {
    &content[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
}

/// The pieces of JSON Lines, and what was read to find them.
fn cut_lines(content: &[u8], piece_size: u64) -> Vec<&[u8]> {
    let size = content.len() as u64;
    let start = |place: u64| {
        let mut start = RecordStart::after(place, size);
        while let Some(wanted) = start.wanted() {
            start.look_at(slice(content, wanted));
        }
        start.place()
    };
    let piece = |piece: Piece| {
        let share = piece.share(size);
        slice(content, start(share.start)..start(share.end))
    };
    pieces(content.len(), piece_size).into_iter().map(piece).collect()
}

fn lines(content: &[u8]) -> u64 {
    let mut count = LineCount::default();
    content.chunks(5).for_each(|chunk| count.see(chunk));
    count.lines()
}

#[test]
fn a_piece_of_lines_is_those_that_begin_in_its_share() {
    assert_eq!(cut_lines(b"11\n22\n33\n44\n", 6), [&b"11\n22\n"[..], b"33\n44\n"]);
    assert_eq!(cut_lines(b"11\n22\n33\n44", 4), [&b"11\n"[..], b"22\n33\n", b"44"]);
    assert_eq!(cut_lines(b"a long line\n\n", 5), [&b"a long line\n"[..], b"", b"\n"]);
    assert_eq!(cut_lines(b"", 5), [b""]);
    let long = [b"x".repeat(3 << 20), b"\n{}\n".to_vec()].concat();
    let cut = cut_lines(&long, 1 << 20);
    assert_eq!(cut.iter().map(|piece| piece.len()).collect::<Vec<_>>(), [(3 << 20) + 1, 0, 0, 3]);
}

proptest! {
    #[test]
    fn lines_are_each_in_one_piece_and_all_bytes_are_there(
        content in "(\u{feff})?([ab]{0,9}\r?\n){0,30}[ab]{0,3}", piece_size in 1..40_u64,
    ) {
        let cut = cut_lines(content.as_bytes(), piece_size);
        prop_assert_eq!(cut.concat(), content.as_bytes());
        prop_assert_eq!(cut.len(), content.len().div_ceil(usize::try_from(piece_size).unwrap()).max(1));
        // A piece that another follows ends with the end of a line.
        let rest = |index: usize| cut[index + 1..].iter().any(|piece| !piece.is_empty());
        prop_assert!((0..cut.len()).all(|index| cut[index].is_empty() || cut[index].ends_with(b"\n") || !rest(index)));
        prop_assert_eq!(cut.iter().map(|piece| lines(piece)).sum::<u64>(), lines(content.as_bytes()));
        let expected = content.lines().filter(|line| !line.trim_ascii().is_empty()).count();
        prop_assert_eq!(lines(content.as_bytes()), expected as u64);
    }

    #[test]
    fn tables_come_back_byte_for_byte(
        rows in prop::collection::vec(("\\PC{0,6}[\",\n\r]{0,2}", any::<bool>()), 0..20), ending in prop::sample::select(vec!["\n", "\r\n"]),
        is_cut_short in any::<bool>(), piece_size in 1..50_u64,
    ) {
        let field = |(text, _): &(String, bool)| format!("\"{}\"", text.replace('"', "\"\""));
        let records = rows.iter().map(|row| format!("{},{}{ending}{}", field(row), row.1, if row.1 { ending } else { "" }));
        let mut text = format!("\"na\n\"\"me\",flag{ending}{}", records.collect::<String>());
        if is_cut_short {
            text.truncate(text.trim_end().len());
        }
        let of = u32::try_from(pieces(text.len(), piece_size).len()).unwrap();
        let mut scan = CsvScan::new(text.len() as u64, of);
        scan.see(text.as_bytes()).unwrap();
        let cuts = scan.finish();
        let cut: Vec<_> = (0..of).map(|index| cuts.piece(Piece { index, of })).collect();
        let bytes = cut.iter().map(|(range, _)| slice(text.as_bytes(), range.clone())).collect::<Vec<_>>().concat();
        prop_assert_eq!([&cuts.header[..], &bytes].concat(), text.as_bytes());
        prop_assert_eq!(cut.iter().map(|(_, rows)| rows).sum::<u64>(), rows.len() as u64);
        for (range, rows) in cut {
            // Each piece is a table of its own.
            let piece = [&cuts.header[..], slice(text.as_bytes(), range)].concat();
            let mut reader = csv::Reader::from_reader(&piece[..]);
            prop_assert_eq!(reader.records().map(Result::unwrap).count() as u64, rows);
        }
    }
}

/// Remembers what was read.
struct Watched(InMemory, Mutex<Vec<Range<u64>>>);

impl RangeSource for Watched {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.1.lock().unwrap().push(range.clone());
        self.0.read(range)
    }
}

fn cut(content: &Bytes, piece: Piece) -> Result<(Vec<u8>, u64), TransformError> {
    let mut out = Vec::new();
    let rows = cut_parquet(Arc::new(InMemory(content.clone())), piece, &mut out)?;
    Ok((out, rows))
}

fn join(pieces: &[Vec<u8>]) -> Result<(Vec<u8>, u64), TransformError> {
    let mut out = Vec::new();
    let source = |piece: &Vec<u8>| Ok(Arc::new(InMemory(piece.clone().into())) as Arc<dyn RangeSource>);
    let rows = join_parquet(&mut pieces.iter().map(source), &mut out)?;
    Ok((out, rows))
}

/// Tables as others write them, with all sorts of columns.
const WRITE: &str = "import datetime, decimal\n\
    n = int(sys.argv[2])\n\
    columns = {\n\
      'id': pa.array(range(n), pa.int32()), 'big': pa.array([None if i % 7 == 0 else i << 40 for i in range(n)], pa.uint64()),\n\
      'text': pa.array([None if i % 5 == 0 else f'row {i % 100}' for i in range(n)]).dictionary_encode(),\n\
      'blob': pa.array([bytes([i % 256]) * (i % 50) for i in range(n)], pa.large_binary()),\n\
      'fixed': pa.array([bytes([i % 256]) * 4 for i in range(n)], pa.binary(4)),\n\
      'flag': pa.array([i % 3 == 0 for i in range(n)]), 'half': pa.array([i / 2 for i in range(n)], pa.float32()),\n\
      'list': pa.array([None if i % 11 == 0 else list(range(i % 4)) for i in range(n)], pa.list_(pa.int16())),\n\
      'deep': pa.array([{'x': [{'y': i, 'z': str(i)}] * (i % 3)} for i in range(n)]),\n\
      'map': pa.array([[(str(i), i)] * (i % 2) for i in range(n)], pa.map_(pa.string(), pa.int64())),\n\
      'money': pa.array([decimal.Decimal(i) / 100 for i in range(n)], pa.decimal128(20, 2)),\n\
      'at': pa.array([datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=i) for i in range(n)], pa.timestamp('us', 'Europe/Berlin')),\n\
      'null': pa.array([None] * n, pa.null()),\n\
    }\n\
    table = pa.table(columns).replace_schema_metadata({'made by': 'a test'})\n";

/// The rows of the pieces, one after the other, are those of the whole, and so is the schema with its metadata.
const COMPARE: &str = "whole, *pieces = [pq.read_table(file) for file in sys.argv[1:]]\n\
    assert all(piece.schema.equals(whole.schema, check_metadata=True) for piece in pieces), (pieces[0].schema, whole.schema)\n\
    schemas = [pq.ParquetFile(file).schema for file in sys.argv[1:]]\n\
    assert all(schema.equals(schemas[0]) for schema in schemas), schemas\n\
    together = pa.concat_tables(pieces)\n\
    assert together.num_rows == whole.num_rows and together.to_pylist() == whole.to_pylist(), (together.num_rows, whole.num_rows)\n\
    print([piece.num_rows for piece in pieces])";

fn written(folder: &Path, rows: usize, options: &str) -> (std::path::PathBuf, Bytes) {
    let (file, count) = (folder.join("whole.parquet"), rows.to_string());
    python(&format!("{WRITE}pq.write_table(table, sys.argv[1], {options})"), &[&file, Path::new(&count)]);
    let content = std::fs::read(&file).unwrap();
    (file, content.into())
}

#[test]
fn rows_of_parquet_are_each_in_one_piece_whatever_its_pages() {
    let folder = tempfile::tempdir().unwrap();
    for (rows, of, options) in [
        (5000, 7, "compression='snappy'"),
        (5000, 4, "compression='zstd', row_group_size=700"),
        (5000, 3, "compression='gzip', data_page_version='2.0', data_page_size=1024, row_group_size=2500"),
        (4000, 5, "compression='none', data_page_size=512, write_page_index=True, use_dictionary=False"),
        (4000, 2, "compression='lz4', row_group_size=2000, use_deprecated_int96_timestamps=True"),
        (3, 5, "compression='snappy'"),
        (0, 2, "compression='snappy'"),
    ] {
        let (whole, content) = written(folder.path(), rows, options);
        let mut files = vec![whole];
        let mut cuts = Vec::new();
        for index in 0..of {
            let (piece, count) = cut(&content, Piece { index, of }).unwrap();
            assert_eq!(
                count,
                rows as u64 * u64::from(index + 1) / u64::from(of) - rows as u64 * u64::from(index) / u64::from(of)
            );
            assert_eq!(cut(&content, Piece { index, of }).unwrap().0, piece, "the same bytes give the same bytes");
            files.push(folder.path().join(format!("{index}.parquet")));
            std::fs::write(files.last().unwrap(), &piece).unwrap();
            cuts.push(piece);
        }
        python(COMPARE, &files.iter().map(|file| &**file).collect::<Vec<_>>());
        let (joined, count) = join(&cuts).unwrap();
        assert_eq!(count, rows as u64);
        let file = folder.path().join("joined.parquet");
        std::fs::write(&file, joined).unwrap();
        assert_eq!(python(COMPARE, &[&files[0], &file]), format!("[{rows}]\n"), "{options}");
    }
}

#[test]
fn only_what_a_piece_holds_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.parquet");
    let write = "import os\n\
        table = pa.table({'blob': pa.array([os.urandom(1000) for i in range(16000)], pa.binary())})\n\
        pq.write_table(table, sys.argv[1], compression='none', use_dictionary=False, data_page_size=200000, row_group_size=8000)";
    python(write, &[&file]);
    let content = Bytes::from(std::fs::read(&file).unwrap());
    for index in 0..8 {
        let source = Arc::new(Watched(InMemory(content.clone()), Mutex::default()));
        cut_parquet(source.clone(), Piece { index, of: 8 }, &mut Vec::new()).unwrap();
        let read: u64 = source.1.lock().unwrap().iter().map(|range| range.end - range.start).sum();
        // An eighth, the headers of pages before it in its row group, and what was read ahead.
        assert!(read < content.len() as u64 * 2 / 5, "{index}: {read} of {}", content.len());
    }
    // And so it is with a transform, of a row group that is not read at once.
    let write = write.replace("16000", "40000").replace("8000", "40000");
    python(&write, &[&file]);
    let content = Bytes::from(std::fs::read(&file).unwrap());
    for index in [0, 4, 7] {
        let source = Arc::new(Watched(InMemory(content.clone()), Mutex::default()));
        let piece = Source::Piece(source.clone(), Piece { index, of: 8 });
        let outcome = Transform::new(to(Format::Parquet)).unwrap();
        let mut out = Vec::new();
        let outcome = outcome.run("a.parquet", piece, &mut out, &mut Vec::new(), RowLimits::default()).unwrap();
        let read: u64 = source.1.lock().unwrap().iter().map(|range| range.end - range.start).sum();
        assert_eq!(outcome.rows_read, 5000);
        assert!(read < content.len() as u64 * 3 / 5, "{index}: {read} of {}", content.len());
    }
}

#[test]
fn what_is_no_parquet_or_not_alike_is_refused() {
    let one = run(to(Format::Parquet), "a.csv", "id\n1\n").unwrap().bytes;
    let other = run(to(Format::Parquet), "a.csv", "name\n1\n").unwrap().bytes;
    let error = join(&[one.clone(), other]).unwrap_err().to_string();
    assert_eq!(error, "its pieces do not have the same columns");
    for damaged in [&one[..one.len() - 1], b"PAR1", b""] {
        let error = cut(&Bytes::copy_from_slice(damaged), Piece { index: 0, of: 2 }).unwrap_err();
        assert!(matches!(error, TransformError::Malformed { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_transform_reads_just_the_rows_of_a_piece(rows in 0..500_u32, of in 1..9_u32) {
        let ids = |ids: Range<u32>| ids.map(|id| format!("{id}\n")).collect::<Vec<_>>().concat();
        let content = run(to(Format::Parquet), "a.csv", format!("id\n{}", ids(0..rows))).unwrap().bytes;
        let output = Output { format: Some(Format::Csv), compression: None };
        let transform = Transform::new(Spec { steps: vec![Step::Select(vec!["id".to_owned()])], output, ..Spec::default() });
        let (transform, mut seen) = (transform.unwrap(), BTreeSet::new());
        for index in 0..of {
            let source = Source::Piece(Arc::new(InMemory(content.clone().into())), Piece { index, of });
            let mut made = Vec::new();
            let outcome = transform.run("a.parquet", source, &mut made, &mut Vec::new(), RowLimits::default()).unwrap();
            let text = String::from_utf8(made).unwrap();
            let found: Vec<u32> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
            prop_assert_eq!(found.len() as u64, outcome.rows_read);
            prop_assert!(found.is_sorted() && found.iter().all(|id| seen.last().is_none_or(|last| last < id)));
            seen.extend(found);
        }
        prop_assert!(seen.into_iter().eq(0..rows));
    }
}
