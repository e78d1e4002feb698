//! The images of this work tree's programs, laid out like those its Dockerfiles make: one program on the C library,
//! certificate authorities, and the user 65532.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{cargo, libraries, work_tree};
use crate::error::LabError;
use crate::image::{Content, ImageFile, ImageSpec, hex, write_archive};
use crate::tools::{cache_folder, run};

const CERTIFICATE_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";
/// Without it the C library asks the name server even for what /etc/hosts knows.
const NSSWITCH: &str = "hosts: files dns\n";
/// Archives of earlier builds are kept this long: another lab may be about to load one.
const KEPT: Duration = Duration::from_hours(24);

/// An image in an archive.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// The reference pods name it by. Its tag depends on the content: the same reference is the same image.
    pub reference: String,
    /// The OCI archive.
    pub archive: PathBuf,
}

impl BuiltImage {
    /// The reference's parts before and after the tag's colon, as a chart's values want them.
    #[must_use]
    pub fn repository_and_tag(&self) -> (&str, &str) {
        self.reference.rsplit_once(':').unwrap_or((&self.reference, "latest"))
    }
}

/// The program `skyfleet`, from this work tree in cargo's dev profile.
///
/// # Errors
/// When the build fails.
pub fn skyfleet_program() -> Result<PathBuf, LabError> {
    cargo::build(work_tree(), &["--workspace", "--bin", "skyfleet"], None)
}

/// The image of `skyfleet`, from this work tree in cargo's dev profile.
///
/// # Errors
/// When the build fails or the image cannot be written.
pub fn skyfleet_image() -> Result<BuiltImage, LabError> {
    program_image("skyfleet", &skyfleet_program()?)
}

/// The image of the example inference server, optimised: an unoptimised model takes seconds for a sentence.
///
/// # Errors
/// When the build fails or the image cannot be written.
pub fn inference_server_image() -> Result<BuiltImage, LabError> {
    let folder = work_tree().join("examples/inference-server");
    let program = cargo::build(&folder, &["--release"], Some(&cache_folder().join("inference-target")))?;
    program_image("inference-server", &program)
}

/// The image of the server of streams at a set pace, for tests.
///
/// # Errors
/// When the build fails or the image cannot be written.
pub fn paced_server_image() -> Result<BuiltImage, LabError> {
    program_image("paced-server", &cargo::build(work_tree(), &["--workspace", "--bin", "paced-server"], None)?)
}

/// `ghcr.io/skyfleet/NAME:VERSION-DIGEST` around one program, without its debug information.
fn program_image(name: &str, program: &Path) -> Result<BuiltImage, LabError> {
    let folder = cache_folder().join("images");
    fs::create_dir_all(&folder).map_err(LabError::file("make the folder", &folder))?;
    let work = tempfile::tempdir_in(&folder).map_err(LabError::file("make a folder in", &folder))?;
    let stripped = work.path().join(name);
    run(Command::new("strip").arg("-o").args([&stripped, program]))?;

    let mut image = spec(name, &stripped)?;
    let key = content_key(&image)?;
    image.name = format!("ghcr.io/skyfleet/{name}:{}-{key}", env!("CARGO_PKG_VERSION"));
    let archive = folder.join(format!("{name}-{key}.tar"));
    if !archive.is_file() {
        let unfinished = work.path().join("image.tar");
        write_archive(&image, &unfinished)?;
        fs::rename(&unfinished, &archive).map_err(LabError::file("put into place", &archive))?;
        remove_old(&folder, name)?;
    }
    Ok(BuiltImage { reference: image.name, archive })
}

fn spec(name: &str, program: &Path) -> Result<ImageSpec, LabError> {
    let path = format!("/usr/local/bin/{name}");
    let mut files = vec![
        ImageFile::from_host(program, &path, 0o755),
        ImageFile::from_host(CERTIFICATE_AUTHORITIES, CERTIFICATE_AUTHORITIES, 0o644),
        ImageFile::from_bytes(PASSWD, "/etc/passwd", 0o644),
        ImageFile::from_bytes(GROUP, "/etc/group", 0o644),
        ImageFile::from_bytes(NSSWITCH, "/etc/nsswitch.conf", 0o644),
    ];
    let libraries = libraries::shared_libraries(program)?;
    files.extend(libraries.iter().map(|library| ImageFile::from_host(library, library.to_string_lossy(), 0o755)));
    let label = |name: &str, value: &str| (format!("org.opencontainers.image.{name}"), value.to_owned());
    Ok(ImageSpec {
        files,
        entrypoint: vec![path],
        user: Some("65532:65532".to_owned()),
        labels: BTreeMap::from([
            label("title", name),
            label("source", env!("CARGO_PKG_REPOSITORY")),
            label("licenses", env!("CARGO_PKG_LICENSE")),
        ]),
        ..ImageSpec::default()
    })
}

/// 12 hexadecimal digits over everything in the image but its name.
fn content_key(image: &ImageSpec) -> Result<String, LabError> {
    let mut hash = Sha256::new();
    hash.update(format!("{:?}{:?}{:?}{:?}", image.entrypoint, image.user, image.env, image.labels));
    for file in &image.files {
        hash.update(format!("{} {:o} ", file.path, file.mode));
        let digest = match &file.content {
            Content::Bytes(bytes) => Sha256::digest(bytes),
            Content::HostFile(path) => Sha256::digest(fs::read(path).map_err(LabError::file("read", path))?),
        };
        hash.update(digest);
    }
    Ok(hex(&hash.finalize()[..6]))
}

/// Every change of the source makes another archive; without this they would fill the disk.
fn remove_old(folder: &Path, name: &str) -> Result<(), LabError> {
    let failed = || LabError::file("read", folder);
    for entry in fs::read_dir(folder).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        let is_archive = path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&format!("{name}-")));
        // Another lab may have removed it in between.
        let Ok(modified) = path.metadata().and_then(|metadata| metadata.modified()) else { continue };
        if is_archive && modified.elapsed().is_ok_and(|age| age > KEPT) {
            fs::remove_file(&path).map_err(LabError::file("remove", &path))?;
        }
    }
    Ok(())
}
