//! The pause image: the first container of every pod, made here because the lab's nodes have no registry to pull from.

use std::fs;
use std::path::{Path, PathBuf};

use super::{built, cache_folder, go, go_version, run};
use crate::error::LabError;
use crate::image::{ImageFile, ImageSpec, write_archive};

/// The reference of the pause image on every node; a pod of it is the cheapest real pod there is.
pub const PAUSE_IMAGE: &str = "skyfleet.dev/pause:1";

const SOURCE: &str = include_str!("../../pause/main.go");

/// The archive of [`PAUSE_IMAGE`]. Blocks: call it off the async threads.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn pause_image() -> Result<PathBuf, LabError> {
    let cache = cache_folder();
    fs::create_dir_all(&cache).map_err(LabError::file("make the folder", &cache))?;
    let version = go_version(&cache)?;
    let folder = built("pause", &[SOURCE.as_bytes(), version.as_bytes(), PAUSE_IMAGE.as_bytes()], build)?;
    Ok(folder.join("image.tar"))
}

fn build(folder: &Path) -> Result<(), LabError> {
    let source = folder.join("main.go");
    let binary = folder.join("pause");
    fs::write(&source, SOURCE).map_err(LabError::file("write", &source))?;
    run(go(folder).args(["build", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(&binary).arg("main.go"))?;
    let image = ImageSpec {
        name: PAUSE_IMAGE.to_owned(),
        files: vec![ImageFile::from_host(&binary, "/pause", 0o755)],
        entrypoint: vec!["/pause".to_owned()],
        user: Some("65535:65535".to_owned()),
        ..ImageSpec::default()
    };
    write_archive(&image, &folder.join("image.tar"))?;
    Ok(())
}
