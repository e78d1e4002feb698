//! The rows that are transformed: the same ones every time.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::path::Path;

use fastrand::Rng;
use serde::Serialize;

const SEED: u64 = 20_261_127;
const WORDS: usize = 5_000;
const LANGUAGES: [&str; 4] = ["en", "de", "fr", "zh"];

#[derive(Serialize)]
struct Row<'a> {
    id: u64,
    user: &'a str,
    score: f64,
    flag: bool,
    lang: &'static str,
    text: &'a str,
}

/// Rows without an end.
pub struct Rows {
    random: Rng,
    words: Vec<String>,
    /// How many users there are.
    users: u64,
    next: u64,
    user: String,
    text: String,
}

impl Rows {
    /// Each user has two of so many rows, on average.
    pub fn new(rows: u64) -> Self {
        let mut random = Rng::with_seed(SEED);
        let words = (0..WORDS).map(|_| word(&mut random)).collect();
        Self { random, words, users: (rows / 2).max(1), next: 0, user: String::new(), text: String::new() }
    }

    fn next(&mut self) -> Row<'_> {
        let random = &mut self.random;
        self.user = format!("user-{}", random.u64(0..self.users));
        self.text.clear();
        // What CSV has to put in quotes, and what it has to double.
        let (comma, quote) = (random.u8(0..10) == 0, random.u8(0..100) == 0);
        for number in 0..random.usize(5..=40) {
            let word = &self.words[random.usize(0..WORDS)];
            let parts = match number {
                0 => ["", word, ""],
                1 if quote => [" \"", word, "\""],
                2 if comma => [", ", word, ""],
                _ => [" ", word, ""],
            };
            self.text.extend(parts);
        }
        self.next += 1;
        Row {
            id: self.next,
            user: &self.user,
            score: f64::from(random.u32(0..1_000_000)) / 10_000.0,
            flag: random.bool(),
            lang: LANGUAGES[random.usize(0..LANGUAGES.len())],
            text: &self.text,
        }
    }
}

/// Two to eight letters; now and then one that takes two bytes.
fn word(random: &mut Rng) -> String {
    let length = random.usize(2..=8);
    (0..length).map(|_| if random.u8(0..50) == 0 { 'é' } else { random.lowercase() }).collect()
}

/// Writes so many rows as JSON Lines and as CSV.
pub fn write(count: u64, jsonl: &Path, csv: &Path) -> Result<(), String> {
    let failed = |error: &dyn ToString| format!("cannot write rows to {}: {}", jsonl.display(), error.to_string());
    let mut lines = BufWriter::new(File::create(jsonl).map_err(|error| failed(&error))?);
    let mut table = csv::Writer::from_path(csv).map_err(|error| failed(&error))?;
    let mut rows = Rows::new(count);
    for _ in 0..count {
        let row = rows.next();
        serde_json::to_writer(&mut lines, &row).map_err(|error| failed(&error))?;
        lines.write_all(b"\n").map_err(|error| failed(&error))?;
        table.serialize(&row).map_err(|error| failed(&error))?;
    }
    lines.flush().and_then(|()| table.flush()).map_err(|error| failed(&error))
}

/// JSON Lines that lie nowhere: they are made as they are read.
pub struct Synthesised {
    rows: Rows,
    /// Bytes that are still to be made, about.
    left: u64,
    made: Vec<u8>,
    /// What was read of them.
    read: usize,
}

impl Synthesised {
    pub fn new(bytes: u64) -> Self {
        Self { rows: Rows::new(1_000_000), left: bytes, made: Vec::new(), read: 0 }
    }
}

impl Read for Synthesised {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.made.len() {
            self.made.clear();
            self.read = 0;
            while self.made.len() < 64 * 1024 && (self.made.len() as u64) < self.left {
                serde_json::to_writer(&mut self.made, &self.rows.next())?;
                self.made.push(b'\n');
            }
            self.left = self.left.saturating_sub(self.made.len() as u64);
        }
        let read = (&self.made[self.read..]).read(buffer)?;
        self.read += read;
        Ok(read)
    }
}
