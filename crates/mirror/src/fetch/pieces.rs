//! Joins the pieces of objects that were cut between their rows, once they lie in a directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use skyfleet_transform::{
    Compression, Format, Piece, PieceName, RangeSource, TransformError, header_of_csv, join_parquet,
};
use tokio_util::sync::CancellationToken;

use super::{FetchError, at};
use crate::{Manifest, RESERVED_PREFIX, Sha256};

/// The pieces of a dataset that is split, by the objects that they were cut out of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    wholes: BTreeMap<String, Whole>,
}

/// An object that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Whole {
    format: Format,
    compression: Compression,
    /// The keys of its pieces, in their order.
    pieces: Vec<String>,
}

/// What was joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JoinOutcome {
    /// Files that were made.
    pub files: u64,
    /// Of so many pieces, which are gone then.
    pub pieces: u64,
}

impl Pieces {
    /// Those that the manifests of all parts name.
    ///
    /// # Errors
    /// [`FetchError::Pieces`] where some of an object are named and others are not.
    pub fn of<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> Result<Self, FetchError> {
        let mut found: BTreeMap<String, BTreeMap<Piece, (String, PieceName)>> = BTreeMap::new();
        for entry in manifests.into_iter().flat_map(Manifest::entries) {
            if let Some(name) = PieceName::parse(&entry.key) {
                found.entry(name.whole.clone()).or_default().insert(name.piece, (entry.key.clone(), name));
            }
        }
        let wholes = found.into_iter().map(|(whole, pieces)| Ok((whole.clone(), Whole::of(&whole, pieces)?)));
        Ok(Self { wholes: wholes.collect::<Result<_, FetchError>>()? })
    }

    /// Makes each object of its pieces, which lie in the directory, and removes those. A file gets its name when it is whole: JSON Lines
    /// and CSV byte for byte as they were cut, Parquet with all rows in their order. Memory does not grow with the size of anything.
    ///
    /// # Errors
    /// See [`FetchError`]. The pieces of a file that could not be made stay.
    pub async fn join(self, into: &Path, cancel: &CancellationToken) -> Result<JoinOutcome, FetchError> {
        let (into, cancel) = (into.to_owned(), cancel.clone());
        let joined = tokio::task::spawn_blocking(move || self.join_all(&into, &cancel)).await;
        joined.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()))
    }

    fn join_all(self, into: &Path, cancel: &CancellationToken) -> Result<JoinOutcome, FetchError> {
        let (partials, mut outcome) = (into.join(RESERVED_PREFIX), JoinOutcome::default());
        if self.wholes.is_empty() {
            return Ok(outcome);
        }
        fs::create_dir_all(&partials).map_err(at(&partials))?;
        for (key, whole) in self.wholes {
            if cancel.is_cancelled() {
                return Err(FetchError::Stopped);
            }
            let partial = partials.join(format!("{}.joined", Sha256::of(key.as_bytes())));
            whole.write(into, &key, &partial)?;
            let path = into.join(&key);
            fs::rename(&partial, &path).map_err(at(&path))?;
            let folder = path.parent().unwrap_or(into);
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))?;
            for piece in &whole.pieces {
                let piece = into.join(piece);
                fs::remove_file(&piece).map_err(at(&piece))?;
            }
            outcome.files += 1;
            outcome.pieces += whole.pieces.len() as u64;
        }
        fs::remove_dir_all(&partials).map_err(at(&partials))?;
        Ok(outcome)
    }
}

impl Whole {
    fn of(whole: &str, pieces: BTreeMap<Piece, (String, PieceName)>) -> Result<Self, FetchError> {
        let (found, of) = (pieces.len(), pieces.keys().map(|piece| piece.of).max().unwrap_or_default());
        let missing = (0..of).map(|index| Piece { index, of }).find(|piece| !pieces.contains_key(piece));
        if let Some(Piece { index, .. }) = missing {
            return Err(wrong(whole, format!("it is cut into {of}, and piece {index:05} of them is missing")));
        }
        if found > of as usize {
            return Err(wrong(whole, format!("it is cut into {of}, and there are {found}")));
        }
        let (keys, names): (Vec<_>, Vec<_>) = pieces.into_values().unzip();
        let name = names.into_iter().next().ok_or_else(|| wrong(whole, "there are none".to_owned()))?;
        Ok(Self { format: name.format, compression: name.compression, pieces: keys })
    }

    fn write(&self, into: &Path, key: &str, partial: &Path) -> Result<(), FetchError> {
        let mut out = File::create(partial).map_err(at(partial))?;
        let paths = self.pieces.iter().map(|piece| into.join(piece));
        match (self.format, self.compression) {
            (Format::Parquet, _) => write_parquet(key, paths, partial, &mut out)?,
            (Format::Csv, Compression::None) => write_table(key, paths, partial, &mut out)?,
            (Format::Csv, _) => {
                return Err(wrong(key, "each is compressed with a header of its own".to_owned()));
            }
            // Compressed ones are one after the other, too.
            (Format::JsonLines, _) => {
                for path in paths {
                    append(&path, 0, partial, &mut out)?;
                }
            }
        }
        out.sync_all().map_err(at(partial))
    }
}

/// CSV has one header: that of the first.
fn write_table(
    key: &str,
    paths: impl Iterator<Item = PathBuf>,
    partial: &Path,
    out: &mut File,
) -> Result<(), FetchError> {
    let mut header: Option<Vec<u8>> = None;
    for path in paths {
        let Some(header) = &header else {
            let mut file = File::open(&path).map_err(at(&path))?;
            let found = header_of_csv(&mut file).map_err(|error| wrong(key, error.to_string()))?;
            header = Some(found);
            append(&path, 0, partial, out)?;
            continue;
        };
        let mut found = Vec::new();
        let file = File::open(&path).map_err(at(&path))?;
        file.take(header.len() as u64).read_to_end(&mut found).map_err(at(&path))?;
        if found != *header {
            return Err(wrong(key, format!("{} has another header than the first", path.display())));
        }
        append(&path, header.len() as u64, partial, out)?;
    }
    Ok(())
}

/// All of a file from here on.
fn append(path: &Path, from: u64, partial: &Path, out: &mut File) -> Result<(), FetchError> {
    let mut file = File::open(path).map_err(at(path))?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(from)).map_err(at(path))?;
    io::copy(&mut file, out).map(drop).map_err(at(partial))
}

fn write_parquet(
    key: &str,
    paths: impl Iterator<Item = PathBuf>,
    partial: &Path,
    out: &mut File,
) -> Result<(), FetchError> {
    let mut pieces = paths.map(|path| {
        let (file, size) = File::open(path).and_then(|file| file.metadata().map(|found| (file, found.len())))?;
        Ok(Arc::new(PieceFile { file, size }) as Arc<dyn RangeSource>)
    });
    let mut out = io::BufWriter::with_capacity(1024 * 1024, out);
    join_parquet(&mut pieces, &mut out).map_err(|error| match error {
        TransformError::Write(error) => at(partial)(error),
        error => wrong(key, error.to_string()),
    })?;
    out.flush().map_err(at(partial))
}

fn wrong(whole: &str, reason: String) -> FetchError {
    FetchError::Pieces { whole: whole.to_owned(), reason }
}

/// A piece that was fetched.
struct PieceFile {
    file: File,
    size: u64,
}

impl RangeSource for PieceFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::{JoinOutcome, Pieces};
    use crate::{FetchError, Manifest, ManifestEntry, Sha256};

    fn manifest(keys: &[&str]) -> Manifest {
        let entry = |key: &&str| ManifestEntry { key: (*key).to_owned(), size: 0, sha256: Sha256::of(b"") };
        Manifest::new(keys.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn pieces_are_found_over_all_parts_and_must_be_all() {
        let one = manifest(&["a-00000-of-00002.csv", "model-00001-of-00002.safetensors", "x.bin"]);
        let other = manifest(&["a-00001-of-00002.csv", "b/c-00000-of-00001.jsonl"]);
        let pieces = Pieces::of([&one, &other]).unwrap();
        assert_eq!(pieces.wholes.keys().collect::<Vec<_>>(), ["a.csv", "b/c.jsonl"]);
        assert_eq!(pieces.wholes["a.csv"].pieces, ["a-00000-of-00002.csv", "a-00001-of-00002.csv"]);
        let why = |manifests: &[&Manifest]| Pieces::of(manifests.iter().copied()).unwrap_err().to_string();
        let missing = why(&[&one]);
        assert!(
            missing.contains("\"a.csv\"") && missing.contains("into 2, and piece 00001 of them is missing"),
            "{missing}"
        );
        let more = manifest(&["a-00000-of-00001.csv"]);
        assert!(why(&[&one, &other, &more]).contains("into 2, and there are 3"));
    }

    #[tokio::test]
    async fn text_is_joined_or_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let join = async |pieces: &[(&str, &str)]| {
            for (name, text) in pieces {
                std::fs::write(path(name), text).unwrap();
            }
            let keys: Vec<_> = pieces.iter().map(|(name, _)| *name).collect();
            Pieces::of([&manifest(&keys)]).unwrap().join(folder.path(), &CancellationToken::new()).await
        };
        let lines = [("a-00000-of-00002.jsonl", "1\n2\n"), ("a-00001-of-00002.jsonl", "3")];
        assert_eq!(join(&lines).await.unwrap(), JoinOutcome { files: 1, pieces: 2 });
        assert_eq!(std::fs::read_to_string(path("a.jsonl")).unwrap(), "1\n2\n3");
        let table = [("b-00000-of-00002.csv", "id\r\n1\r\n"), ("b-00001-of-00002.csv", "id\r\n")];
        join(&table).await.unwrap();
        assert_eq!(std::fs::read_to_string(path("b.csv")).unwrap(), "id\r\n1\r\n");
        let other = [("b-00000-of-00002.csv", "id\n1\n"), ("b-00001-of-00002.csv", "name\n2\n")];
        let error = join(&other).await.unwrap_err();
        assert!(matches!(&error, FetchError::Pieces { whole, .. } if whole == "b.csv"), "{error}");
        assert_eq!(std::fs::read_to_string(path("b.csv")).unwrap(), "id\r\n1\r\n", "it is what it was");
        assert!(path("b-00001-of-00002.csv").exists());
        let error = join(&[("c-00000-of-00001.parquet", "PAR1")]).await.unwrap_err();
        assert!(error.to_string().contains("\"c.parquet\"") && !path("c.parquet").exists(), "{error}");
    }
}
