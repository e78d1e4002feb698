//! Container images made from files of this machine, with no engine and no registry: an OCI image layout
//! (<https://github.com/opencontainers/image-spec/blob/main/image-layout.md>) in one tar, as `ctr images import` and
//! `kind load image-archive` take it. The same files give the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

/// What an image holds and how a container of it starts.
#[derive(Debug, Clone, Default)]
pub struct ImageSpec {
    /// The full reference pods name it by, e.g. `skyfleet.dev/skyfleet:dev`.
    pub name: String,
    /// The files, in any order; their folders are made with mode 0755.
    pub files: Vec<ImageFile>,
    /// The command, argument by argument.
    pub entrypoint: Vec<String>,
    /// `UID[:GID]`, numeric so that `runAsNonRoot` can be checked.
    pub user: Option<String>,
    /// Environment of the entrypoint.
    pub env: BTreeMap<String, String>,
    /// `org.opencontainers.image.*` and other labels.
    pub labels: BTreeMap<String, String>,
}

/// One file of an image.
#[derive(Debug, Clone)]
pub struct ImageFile {
    /// Where the bytes come from.
    pub content: Content,
    /// The absolute path inside the image.
    pub path: String,
    /// Permission bits, e.g. `0o755`.
    pub mode: u32,
}

/// Where the bytes of a file come from.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file of this machine; a symbolic link stands for what it points to.
    HostFile(PathBuf),
    /// The bytes themselves.
    Bytes(Vec<u8>),
}

impl ImageFile {
    /// A copy of the host's file.
    pub fn from_host(source: impl Into<PathBuf>, path: impl Into<String>, mode: u32) -> Self {
        Self { content: Content::HostFile(source.into()), path: path.into(), mode }
    }

    /// A file with the bytes given.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>, path: impl Into<String>, mode: u32) -> Self {
        Self { content: Content::Bytes(bytes.into()), path: path.into(), mode }
    }
}

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file that the image should hold cannot be read.
    #[error("cannot put {path} into the image: {source}")]
    Source {
        /// The host's path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the image archive {path}: {source}")]
    Archive {
        /// The archive's path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A path in the image that is not absolute and plain.
    #[error("{path} is no path for a file in an image: give an absolute one without `..`")]
    Path {
        /// The path as given.
        path: String,
    },
}

/// Writes the image as an OCI archive to `archive` and returns the manifest's digest (`sha256:…`), the image's identity.
///
/// # Errors
/// When a source file cannot be read, a path is unfit, or the archive cannot be written.
pub fn write_archive(spec: &ImageSpec, archive: &Path) -> Result<String, ImageError> {
    let failed = |source| ImageError::Archive { path: archive.to_owned(), source };
    let folder = archive.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut layer = Layer::write(spec, folder, archive)?;

    let config = config_json(spec, &layer.digest);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.digest, "size": layer.size,
        }],
    })
    .to_string()
    .into_bytes();
    let digest = digest_of(&manifest);
    let index = index_json(&spec.name, &manifest);

    let mut tar = tar::Builder::new(File::create(archive).map_err(failed)?);
    let mut write = || {
        append(&mut tar, "oci-layout", 0o644, 30, &br#"{"imageLayoutVersion":"1.0.0"}"#[..])?;
        append(&mut tar, "index.json", 0o644, index.len() as u64, index.as_slice())?;
        append(&mut tar, &blob_path(&layer.digest), 0o644, layer.size, &mut layer.content)?;
        for blob in [&config, &manifest] {
            append(&mut tar, &blob_path(&digest_of(blob)), 0o644, blob.len() as u64, blob.as_slice())?;
        }
        tar.finish()
    };
    write().map_err(failed)?;
    Ok(digest)
}

/// The one layer, in a file without a name that vanishes with its handle.
struct Layer {
    content: File,
    digest: String,
    size: u64,
}

impl Layer {
    fn write(spec: &ImageSpec, folder: &Path, archive: &Path) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Archive { path: archive.to_owned(), source };
        let files = sorted_files(spec)?;
        let hashed = Hashed { inner: tempfile::tempfile_in(folder).map_err(failed)?, hash: Sha256::new(), size: 0 };
        let mut tar = tar::Builder::new(hashed);
        for folder in folders(files.keys()) {
            append_folder(&mut tar, &folder).map_err(failed)?;
        }
        for (path, file) in files {
            match &file.content {
                Content::Bytes(bytes) => {
                    append(&mut tar, &path, file.mode, bytes.len() as u64, bytes.as_slice()).map_err(failed)?;
                }
                Content::HostFile(source) => append_host_file(&mut tar, &path, file.mode, source)
                    .map_err(|error| ImageError::Source { path: source.clone(), source: error })?,
            }
        }
        let Hashed { inner: mut content, hash, size } = tar.into_inner().map_err(failed)?;
        content.rewind().map_err(failed)?;
        Ok(Self { content, digest: format!("sha256:{}", hex(&hash.finalize())), size })
    }
}

/// The files by their path without the leading slash, as tar wants it; a later file replaces an earlier one.
fn sorted_files(spec: &ImageSpec) -> Result<BTreeMap<String, &ImageFile>, ImageError> {
    spec.files.iter().map(|file| Ok((relative_path(&file.path)?.to_owned(), file))).collect()
}

fn relative_path(path: &str) -> Result<&str, ImageError> {
    path.strip_prefix('/')
        .filter(|rest| !rest.split('/').any(|part| matches!(part, "" | "." | "..")))
        .ok_or_else(|| ImageError::Path { path: path.to_owned() })
}

/// Every folder above the paths, parents first.
fn folders<'a>(paths: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    paths.flat_map(|path| path.match_indices('/').map(|(end, _)| path[..end].to_owned())).collect()
}

fn append_folder(tar: &mut tar::Builder<impl Write>, path: &str) -> io::Result<()> {
    let mut header = header(0o755, 0);
    header.set_entry_type(tar::EntryType::Directory);
    tar.append_data(&mut header, format!("{path}/"), io::empty())
}

fn append_host_file(tar: &mut tar::Builder<impl Write>, path: &str, mode: u32, source: &Path) -> io::Result<()> {
    let file = File::open(source)?;
    let size = file.metadata()?.len();
    // A file that grows meanwhile must not run over the size its header promises.
    append(tar, path, mode, size, file.take(size))
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, mode: u32, size: u64, content: impl Read) -> io::Result<()> {
    tar.append_data(&mut header(mode, size), path, content)
}

fn header(mode: u32, size: u64) -> tar::Header {
    // No owner but root and no time but zero: both would make two equal images differ.
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn config_json(spec: &ImageSpec, layer_digest: &str) -> Vec<u8> {
    let env: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": { "Entrypoint": spec.entrypoint, "User": spec.user.as_deref().unwrap_or(""), "Env": env, "Labels": spec.labels },
        "rootfs": { "type": "layers", "diff_ids": [layer_digest] },
        "history": [{ "created_by": "skyfleet lab" }],
    })
    .to_string()
    .into_bytes()
}

fn index_json(name: &str, manifest: &[u8]) -> Vec<u8> {
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", manifest);
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    entry["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
    entry["platform"] = json!({ "architecture": architecture(), "os": "linux" });
    json!({ "schemaVersion": 2, "manifests": [entry] }).to_string().into_bytes()
}

fn descriptor(media_type: &str, blob: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": digest_of(blob), "size": blob.len() })
}

/// The architecture under Go's name, which is the image specification's.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn digest_of(blob: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(blob)))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Passes bytes on and keeps their checksum and count.
struct Hashed {
    inner: File,
    hash: Sha256,
    size: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn spec(files: Vec<ImageFile>) -> ImageSpec {
        ImageSpec {
            name: "skyfleet.dev/pause:1".into(),
            files,
            entrypoint: vec!["/pause".into()],
            user: Some("65532:65532".into()),
            env: BTreeMap::from([("A".into(), "b".into())]),
            labels: BTreeMap::new(),
        }
    }

    fn entries(archive: impl Read) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: io::Result<tar::Entry<_>>| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn every_digest_names_the_bytes_it_stands_for() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("program");
        std::fs::write(&host, b"binary").unwrap();
        let archive = folder.path().join("image.tar");
        let files = vec![
            ImageFile::from_host(&host, "/usr/bin/pause", 0o755),
            ImageFile::from_bytes("x", "/etc/passwd", 0o644),
        ];
        let digest = write_archive(&spec(files), &archive).unwrap();

        let outer = entries(File::open(&archive).unwrap());
        for (path, bytes) in outer.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            assert_eq!(*path, blob_path(&digest_of(bytes)));
        }
        let manifest: serde_json::Value = serde_json::from_slice(&outer[&blob_path(&digest)]).unwrap();
        let layer = &outer[&blob_path(manifest["layers"][0]["digest"].as_str().unwrap())];
        let names: Vec<String> = entries(layer.as_slice()).into_keys().collect();
        assert_eq!(names, ["etc/", "etc/passwd", "usr/", "usr/bin/", "usr/bin/pause"]);
    }

    #[test]
    fn equal_images_are_equal_bytes_whatever_the_order_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = vec![ImageFile::from_bytes("1", "/a/one", 0o644), ImageFile::from_bytes("2", "/b/two", 0o755)];
        write_archive(&spec(files.clone()), &folder.path().join("1.tar")).unwrap();
        files.reverse();
        write_archive(&spec(files), &folder.path().join("2.tar")).unwrap();
        let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert!(bytes("1.tar") == bytes("2.tar"));
    }

    #[test]
    fn a_path_that_leaves_the_image_and_a_missing_file_are_refused() {
        let archive = tempfile::tempdir().unwrap().path().join("x.tar");
        for path in ["relative", "/../etc/passwd", "/a//b", "/folder/", "/"] {
            let outcome = write_archive(&spec(vec![ImageFile::from_bytes("", path, 0o644)]), &archive);
            assert!(outcome.is_err_and(|error| error.to_string().contains(path)));
        }
        let folder = tempfile::tempdir().unwrap();
        let missing = vec![ImageFile::from_host("/no/such/file", "/file", 0o644)];
        let outcome = write_archive(&spec(missing), &folder.path().join("x.tar"));
        assert!(matches!(outcome, Err(ImageError::Source { .. })));
    }
}
