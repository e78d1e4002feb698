//! What the server and its files have.

use std::collections::BTreeMap;

use super::live::Live;
use super::settings::Settings;
use super::{Actual, files, manager, tls};
use crate::DriverError;

pub(super) async fn read(settings: &Settings) -> Result<Actual, DriverError> {
    let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let managed = text(files::read(&settings.managed()).await?);
    let live = match manager::read(settings).await {
        // Before anything is included anybody may answer at its place.
        Err(DriverError::NotUnderstood { .. }) if managed.is_none() => Live::default(),
        read => read?,
    };
    Ok(Actual {
        managed,
        live,
        entry: text(files::read(&settings.entry()).await?),
        is_closing: files::read(&settings.closing_file()).await?.is_some(),
        certificates: certificates(settings).await?,
    })
}

async fn certificates(settings: &Settings) -> Result<BTreeMap<String, bool>, DriverError> {
    let mut found = BTreeMap::new();
    for name in files::names(&settings.directory, ".pem").await? {
        let text = files::read(&settings.certificate(&name)).await?.unwrap_or_default();
        let is_whole = tls::file_name(&text) == name;
        found.insert(name, is_whole);
    }
    Ok(found)
}
