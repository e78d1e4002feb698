//! NGINX's whole configuration, tested with what may become live, while what is live stays.
//!
//! Its own files include ours relative to the folder of the configuration, which NGINX takes from the name that it is given for that. In a folder
//! of links to all that is there, with one link that leads elsewhere, it finds the same and the candidate.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::fs;

use super::files::{HTTP, SERVER};
use super::generation::remove_folder;
use super::settings::{LINK, Settings};
use super::{NGINX, control};
use crate::DriverError;
use crate::command::{self, Said};
use crate::files::{failed, names};

/// Has NGINX test a generation.
///
/// # Errors
/// It is refused, does not come to be looked at, or NGINX refuses its configuration without it, too.
pub(super) async fn test(generation: &str, settings: &Settings) -> Result<(), DriverError> {
    is_set_up(settings).await?;
    let folder = settings.folder.join("trial");
    remove_folder(&folder).await?;
    let said = in_folder(&folder, generation, settings).await;
    remove_folder(&folder).await?;
    let mut said = said?;
    // A person looks for the files where they are.
    let own = settings.configuration_folder().display().to_string();
    said.errors = said.errors.replace(&folder.display().to_string(), &own);
    if said.is_ok {
        let printed = String::from_utf8_lossy(&said.printed);
        let missing = [HTTP, control::FILE, SERVER].into_iter().find(|file| !is_included(&printed, &folder, file));
        return missing.map_or(Ok(()), |file| Err(not_included(file)));
    }
    // Each file uses what only the other one has.
    for (variable, file) in [("skyfleet_uri", SERVER), ("skyfleet_next", HTTP)] {
        if said.errors.contains(&format!("unknown \"{variable}\" variable")) {
            return Err(not_included(file));
        }
    }
    let without = nginx(&settings.configuration, settings).await?;
    Err(if without.is_ok {
        DriverError::Refused { server: NGINX, said: said.errors }
    } else {
        DriverError::BrokenWithout { server: NGINX, said: without.errors }
    })
}

async fn in_folder(folder: &Path, generation: &str, settings: &Settings) -> Result<Said, DriverError> {
    let own = settings.configuration_folder();
    fs::create_dir_all(folder).await.map_err(failed("make", folder))?;
    for name in names(own).await? {
        let target = if name == LINK { settings.generations().join(generation) } else { own.join(&name) };
        let link = folder.join(&name);
        fs::symlink(absolute(&target)?, &link).await.map_err(failed("make", &link))?;
    }
    let name = settings.configuration.file_name().unwrap_or_default();
    nginx(&folder.join(name), settings).await
}

fn absolute(path: &Path) -> Result<PathBuf, DriverError> {
    std::path::absolute(path).map_err(failed("find", path))
}

/// Tests a configuration, and prints it.
async fn nginx(configuration: &Path, settings: &Settings) -> Result<Said, DriverError> {
    let configuration = absolute(configuration)?;
    let further: [OsString; 4] = ["-T".into(), "-q".into(), "-c".into(), configuration.into()];
    command::run(&settings.program, &further, settings.timeout).await
}

/// What NGINX does not read has passed no test.
fn is_included(printed: &str, folder: &Path, file: &str) -> bool {
    let heading = format!("# configuration file {}:", folder.join(LINK).join(file).display());
    printed.lines().any(|line| line == heading)
}

fn not_included(file: &str) -> DriverError {
    let said = format!(
        "it does not include {LINK}/{file}. Put `include {LINK}/http*.conf;` into the http block and \
         `include {LINK}/server*.conf;` into a server block, with no path before"
    );
    DriverError::BrokenWithout { server: NGINX, said }
}

async fn is_set_up(settings: &Settings) -> Result<(), DriverError> {
    let link = settings.configuration_folder().join(LINK);
    let live = settings.live();
    let target = fs::read_link(&link).await.map_err(failed("find", &link))?;
    let target = settings.configuration_folder().join(target);
    if target.file_name() == live.file_name() && same_folder(target.parent(), live.parent()).await {
        return Ok(());
    }
    let said = format!("it leads to {} and should to {}", target.display(), live.display());
    Err(failed("use", &link)(std::io::Error::other(said)))
}

async fn same_folder(one: Option<&Path>, other: Option<&Path>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    matches!((fs::canonicalize(one).await, fs::canonicalize(other).await), (Ok(one), Ok(other)) if one == other)
}
