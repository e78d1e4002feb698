//! What HAProxy has: asked of itself, and read from its files.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::actual::Actual;
use super::map;
use super::names::{digest, place};
use super::parse::{self, Servers};
use super::runtime::{ask, not_understood};
use super::settings::{Settings, text};
use crate::{DriverError, files};

/// All of it.
pub(super) async fn read(settings: &Settings) -> Result<Actual, DriverError> {
    let config = files::read_text(&settings.config()).await?;
    let map = files::read_text(&settings.map()).await?;
    let files = digests(&settings.tls()).await?;
    let (backends, structure) = servers(settings).await?;
    let entries = entries(settings).await?;
    let resolved = resolved(settings, &backends).await;
    Ok(Actual { config, structure, backends, map, entries, files, resolved })
}

/// What the files of a folder come to, by their names.
async fn digests(folder: &Path) -> Result<BTreeMap<String, String>, DriverError> {
    let mut digests = BTreeMap::new();
    for name in files::names(folder).await? {
        if let Some(content) = files::read(&folder.join(&name)).await? {
            digests.insert(name, digest(&content));
        }
    }
    Ok(digests)
}

/// Servers by backend, and the structure that the process has read.
pub(super) async fn servers(settings: &Settings) -> Result<(Servers, Option<String>), DriverError> {
    let ask = |command: &'static str| ask(&settings.runtime, command, settings.timeout);
    let (mut backends, structure) = parse::backends(&ask("show backend").await?);
    let (state, stat) = (ask("show servers state").await?, ask("show stat -1 4 -1").await?);
    parse::servers(&state, &stat, &mut backends).map_err(|what| not_understood(&what))?;
    Ok((backends, structure))
}

async fn entries(settings: &Settings) -> Result<Vec<map::Entry>, DriverError> {
    let file = text(&settings.map());
    let said = ask(&settings.runtime, &format!("show map {file}"), settings.timeout).await?;
    if said.contains("Unknown map") {
        let what = format!("no frontend looks into {file}; the documentation has the lines for one");
        return Err(not_understood(&what));
    }
    parse::entries(&said).map_err(|what| not_understood(&what))
}

/// What is not known is no error: servers stay where they are.
async fn resolved(settings: &Settings, backends: &Servers) -> BTreeMap<String, Vec<IpAddr>> {
    let servers = backends.values().flat_map(BTreeMap::keys).filter_map(|server| place(server));
    let names: BTreeSet<_> = servers.map(|(host, _)| host).filter(|host| host.parse::<IpAddr>().is_err()).collect();
    let (within, mut lookups) = (settings.timeout, JoinSet::new());
    for name in names {
        let name = name.to_owned();
        lookups.spawn(async move {
            let found = timeout(within, lookup_host((&*name, 0))).await.ok()?.ok()?;
            let found = found.map(|address| address.ip()).collect();
            Some((name, found))
        });
    }
    lookups.join_all().await.into_iter().flatten().collect()
}
