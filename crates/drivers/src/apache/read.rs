//! What the server and its files have.

use std::collections::BTreeMap;
use std::path::Path;

use super::live::Live;
use super::settings::Settings;
use super::{Actual, manager, tls};
use crate::{DriverError, files};

pub(super) async fn read(settings: &Settings) -> Result<Actual, DriverError> {
    let managed = files::read_text(&settings.managed()).await?;
    let live = match manager::read(settings).await {
        // Before anything is included anybody may answer at its place.
        Err(DriverError::NotUnderstood { .. }) if managed.is_none() => Live::default(),
        read => read?,
    };
    Ok(Actual {
        managed,
        live,
        entry: files::read_text(&settings.entry()).await?,
        is_closing: files::read(&settings.closing_file()).await?.is_some(),
        certificates: certificates(settings).await?,
    })
}

async fn certificates(settings: &Settings) -> Result<BTreeMap<String, bool>, DriverError> {
    let mut found = BTreeMap::new();
    let is_certificate = |name: &String| Path::new(name).extension().is_some_and(|extension| extension == "pem");
    for name in files::names(&settings.directory).await?.into_iter().filter(is_certificate) {
        let text = files::read(&settings.certificate(&name)).await?.unwrap_or_default();
        let is_whole = tls::file_name(&text) == name;
        found.insert(name, is_whole);
    }
    Ok(found)
}
