//! CSV: a record ends with its line, unless a quote hides that. So it has to be read from its start.

use std::io::Read;
use std::ops::Range;

use bytes::Bytes;

use super::Piece;
use crate::{Format, TransformError};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes of a header at most: each piece begins with it.
const MOST_HEADER: usize = 1024 * 1024;

/// Where the pieces of an object lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvCuts {
    /// All up to the end of the header: what each piece begins with.
    pub header: Bytes,
    /// Where the records of each piece begin, and where the last one's end.
    starts: Vec<u64>,
    /// Records of each piece.
    rows: Vec<u64>,
}

impl CsvCuts {
    /// The bytes of a piece behind the header, and how many records they are.
    #[must_use]
    pub fn piece(&self, piece: Piece) -> (Range<u64>, u64) {
        let index = piece.index as usize;
        let start = |index: usize| self.starts.get(index).copied().unwrap_or_default();
        (start(index)..start(index + 1), self.rows.get(index).copied().unwrap_or_default())
    }
}

/// Where in a record the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before its first byte, so many bytes of a byte-order mark into the object.
    Mark(usize),
    /// Outside quotes; a quote here opens them only at the start of a field.
    Plain {
        starts_field: bool,
    },
    Quoted,
    /// Behind a quote within quotes: another one is a quote that is meant, anything else is outside.
    QuoteInQuotes,
    /// Behind a carriage return that ends a record, with a line feed or without.
    Return,
}

/// Reads CSV once, from its start to its end, and finds where its pieces begin. It holds the header and some numbers for each piece.
///
/// Records end as RFC 4180 has it, also with a line feed or a carriage return alone. A quote in the middle of a field is text.
#[derive(Debug)]
pub struct CsvScan {
    size: u64,
    of: u32,
    /// Bytes that were seen.
    offset: u64,
    at: At,
    /// Whether the record under way has no bytes but its end.
    is_empty: bool,
    header: Vec<u8>,
    has_header: bool,
    starts: Vec<u64>,
    rows: Vec<u64>,
}

impl CsvScan {
    /// Of an object of so many bytes, that is cut into so many pieces.
    #[must_use]
    pub fn new(size: u64, of: u32) -> Self {
        Self {
            size,
            of,
            offset: 0,
            at: At::Mark(0),
            is_empty: true,
            header: Vec::new(),
            has_header: false,
            starts: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The next bytes.
    ///
    /// # Errors
    /// The header has no end.
    pub fn see(&mut self, bytes: &[u8]) -> Result<(), TransformError> {
        let mut done = 0;
        while done < bytes.len() {
            let had_header = self.has_header;
            let seen = self.step(&bytes[done..]);
            if !had_header {
                self.header.extend_from_slice(&bytes[done..done + seen]);
                if self.header.len() > MOST_HEADER {
                    let reason = format!("its header has more than {MOST_HEADER} bytes: a quote may not be closed");
                    return Err(TransformError::malformed(Format::Csv, reason));
                }
            }
            done += seen;
        }
        Ok(())
    }

    /// What was found. To be asked when all was seen.
    #[must_use]
    pub fn finish(mut self) -> CsvCuts {
        if !self.is_empty {
            self.end_record();
        }
        self.starts.resize(self.of as usize + 1, self.size);
        self.rows.resize(self.of as usize, 0);
        CsvCuts { header: self.header.into(), starts: self.starts, rows: self.rows }
    }

    /// Sees some of these bytes, and says how many. It ends with the record, where one ends.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let seen = match self.at {
            At::Mark(seen) if BYTE_ORDER_MARK.get(seen) == bytes.first() => {
                self.at = At::Mark(seen + 1);
                1
            }
            At::Mark(seen) => {
                let is_whole = seen == 0 || seen == BYTE_ORDER_MARK.len();
                self.is_empty &= is_whole;
                self.at = At::Plain { starts_field: is_whole };
                0
            }
            At::Quoted => match memchr::memchr(b'"', bytes) {
                Some(quote) => {
                    self.at = At::QuoteInQuotes;
                    quote + 1
                }
                None => bytes.len(),
            },
            At::QuoteInQuotes if bytes.first() == Some(&b'"') => {
                self.at = At::Quoted;
                1
            }
            At::QuoteInQuotes => {
                self.at = At::Plain { starts_field: false };
                0
            }
            At::Return => usize::from(bytes.first() == Some(&b'\n')),
            At::Plain { starts_field } => return self.step_outside(bytes, starts_field),
        };
        self.offset += seen as u64;
        if self.at == At::Return {
            self.end_record();
        }
        seen
    }

    fn step_outside(&mut self, bytes: &[u8], starts_field: bool) -> usize {
        let found = memchr::memchr3(b'"', b'\n', b'\r', bytes);
        let text = &bytes[..found.unwrap_or(bytes.len())];
        let starts_field = text.last().map_or(starts_field, |last| *last == b',');
        let seen = found.map_or(bytes.len(), |found| found + 1);
        self.is_empty &= text.is_empty();
        self.offset += seen as u64;
        match found.map(|found| bytes[found]) {
            Some(b'\n') => self.end_record(),
            Some(b'\r') => self.at = At::Return,
            Some(_) if starts_field => {
                self.is_empty = false;
                self.at = At::Quoted;
            }
            Some(_) => {
                self.is_empty = false;
                self.at = At::Plain { starts_field: false };
            }
            None => self.at = At::Plain { starts_field },
        }
        seen
    }

    fn end_record(&mut self) {
        let counts = !std::mem::replace(&mut self.is_empty, true);
        self.at = At::Plain { starts_field: true };
        if !self.has_header {
            // Empty lines before it are no header.
            self.has_header = counts;
            if !counts {
                return;
            }
        } else if let Some(rows) = self.rows.last_mut() {
            *rows += u64::from(counts);
        }
        self.begin_pieces();
    }

    /// The next record begins the pieces that are cut before it.
    fn begin_pieces(&mut self) {
        while let Ok(index) = u32::try_from(self.starts.len())
            && index < self.of
            && (Piece { index, of: self.of }).share(self.size).start <= self.offset
        {
            self.starts.push(self.offset);
            self.rows.push(0);
        }
    }
}

/// The header of an object, with all before it: what each of its pieces begins with.
///
/// # Errors
/// It cannot be read, or the header has no end.
pub fn header_of_csv(reader: &mut dyn Read) -> Result<Vec<u8>, TransformError> {
    let (mut scan, mut buffer) = (CsvScan::new(0, 1), vec![0; 16 * 1024]);
    while !scan.has_header {
        match reader.read(&mut buffer).map_err(TransformError::Read)? {
            0 => break,
            read => scan.see(&buffer[..read])?,
        }
    }
    Ok(scan.header)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{CsvScan, header_of_csv};
    use crate::Piece;

    /// The header, and each piece behind it with its number of records.
    fn cut(text: &str, of: u32, at_once: usize) -> (String, Vec<(String, u64)>) {
        let mut scan = CsvScan::new(text.len() as u64, of);
        text.as_bytes().chunks(at_once.max(1)).for_each(|chunk| scan.see(chunk).unwrap());
        let cuts = scan.finish();
        let piece = |index| {
            let (bytes, rows) = cuts.piece(Piece { index, of });
            let range = usize::try_from(bytes.start).unwrap()..usize::try_from(bytes.end).unwrap();
            (text[range].to_owned(), rows)
        };
        (String::from_utf8(cuts.header.to_vec()).unwrap(), (0..of).map(piece).collect())
    }

    fn records(text: &str, of: u32) -> Vec<String> {
        cut(text, of, 7).1.into_iter().map(|(piece, _)| piece).collect()
    }

    #[test]
    fn a_piece_is_the_records_that_begin_in_its_share() {
        assert_eq!(records("id\n1\n2\n3\n4\n", 2), ["1\n", "2\n3\n4\n"]);
        assert_eq!(records("id\n1\n2\n3\n4", 1), ["1\n2\n3\n4"]);
        assert_eq!(
            records("id,t\r\n1,\"a\r\nb\"\r\n2,\"\"\"\n\"\r\n", 3),
            ["1,\"a\r\nb\"\r\n", "", "2,\"\"\"\n\"\r\n"]
        );
        assert_eq!(records("id\r1\r2\r", 2), ["", "1\r2\r"], "the line ends of old Macs");
        assert_eq!(records("a\n5\"\n6\"\n", 3), ["", "5\"\n", "6\"\n"], "in the middle of a field a quote is text");
        assert_eq!(records("a\n\"x\"y\"\n6\n", 1).concat(), "\"x\"y\"\n6\n");
    }

    #[test]
    fn what_comes_before_the_records_is_the_header() {
        for (text, header) in [
            ("\u{feff}id,\"na\nme\"\n1,2\n", "\u{feff}id,\"na\nme\"\n"),
            ("\u{feff}\"id\nx\"\n1\n", "\u{feff}\"id\nx\"\n"),
            ("\n\r\nid\r\n1\r\n", "\n\r\nid\r\n"),
            ("id", "id"),
            ("", ""),
            ("\n\n", "\n\n"),
        ] {
            assert_eq!(cut(text, 3, 1).0, header, "{text:?}");
            assert_eq!(header_of_csv(&mut text.as_bytes()).unwrap(), header.as_bytes());
        }
        let mut endless = CsvScan::new(10 << 20, 1);
        let error = endless.see(format!("\"{}", "x\n".repeat(1 << 20)).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("a quote may not be closed"), "{error}");
    }

    proptest! {
        #[test]
        fn records_are_those_of_another_parser(
            text in "(id|\"i\nd\"),x\r?\n([ab,\"\r\n]|\"\"|[ab],|\"[ab\r\n,]\"){0,60}", of in 1..9_u32, at_once in 1..20_usize,
        ) {
            let (header, pieces) = cut(&text, of, at_once);
            prop_assert_eq!(header + &pieces.iter().map(|(piece, _)| piece.as_str()).collect::<String>(), text.clone());
            let mut reader = csv::ReaderBuilder::new().has_headers(true).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<_> = reader.byte_records().map(Result::unwrap).collect();
            let mut found = Vec::new();
            for (piece, rows) in &pieces {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(piece.as_bytes());
                let before = found.len();
                found.extend(reader.byte_records().map(Result::unwrap));
                prop_assert_eq!((found.len() - before) as u64, *rows);
            }
            prop_assert_eq!(found, expected);
        }
    }
}
