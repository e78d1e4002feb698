//! Folders that are copied into buckets of S3, and of Azure's emulator.

use std::path::Path;

use futures::TryStreamExt as _;
use skyfleet_e2e::object_store::{AZURITE_ACCOUNT, AZURITE_KEY, Azurite};
use skyfleet_mirror::{AzureCredentials, AzureLocation, ConnectOptions, StoreAccess, list};
use tempfile::TempDir;

use crate::program::{Place, Program, Work, groups};
use crate::report::Told;
use crate::scenario::{Bench, Objects, TARGET, check_count};

impl Bench {
    /// From a folder to a bucket, at a server whose answers take so many milliseconds more.
    pub(crate) async fn upload(&self, bench: &str, objects: Objects, latency: u64) -> Result<(), String> {
        for (count, programs) in groups(&self.programs, Work::Upload, objects.count) {
            let folder = folder(Objects { count, ..objects })?;
            let costs = self.fill_target(&programs, Place::Folder(folder.path()), count, latency).await?;
            self.tell_copies(&Told { bench, objects: count, programs: &programs, costs: &costs });
        }
        Ok(())
    }

    /// From a folder to a container of a new Azurite each time: it frees the memory of what was removed only later.
    pub(crate) async fn upload_to_azure(&self, bench: &str, objects: Objects) -> Result<(), String> {
        for (count, programs) in groups(&self.programs, Work::UploadToAzure, objects.count) {
            let folder = folder(Objects { count, ..objects })?;
            let run = async |program: &Program| {
                let log = tempfile::tempdir().map_err(|error| error.to_string())?;
                let server = Azurite::start(log.path()).await.map_err(|error| error.to_string())?;
                server.create_bucket(TARGET).await.map_err(|error| error.to_string())?;
                let target = Place::Container(&server, TARGET);
                let cost = program.mirror(&self.surroundings, Place::Folder(folder.path()), &[target]).await?;
                check_count(program, count, blobs(&server).await?)?;
                Ok(cost)
            };
            let costs = self.in_turns(&programs, run).await?;
            self.tell_copies(&Told { bench, objects: count, programs: &programs, costs: &costs });
        }
        Ok(())
    }
}

/// A folder with these files.
fn folder(objects: Objects) -> Result<TempDir, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let content = objects.content();
    for key in objects.keys() {
        write(&folder.path().join(&key), &content).map_err(|error| format!("cannot write {key}: {error}"))?;
    }
    Ok(folder)
}

fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, content)
}

/// How many blobs the container has.
async fn blobs(server: &Azurite) -> Result<usize, String> {
    let location = AzureLocation {
        endpoint: Some(server.endpoint()),
        account: AZURITE_ACCOUNT.to_owned(),
        container: TARGET.to_owned(),
        prefix: String::new(),
    };
    let access = StoreAccess::Azure(location, AzureCredentials::AccountKey(AZURITE_KEY.to_owned()));
    let store = access.connect(ConnectOptions::default()).await.map_err(|error| error.to_string())?;
    let blobs: Vec<_> = list(&*store, "data/").try_collect().await.map_err(|error| error.to_string())?;
    Ok(blobs.len())
}
