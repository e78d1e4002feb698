//! What NGINX has.

use std::path::Path;

use super::settings::Settings;
use super::steps::{Actual, Generation};
use super::upstream::{Addresses, Found, names};
use super::{control, files, generation, resolve};
use crate::DriverError;

pub(super) async fn read(settings: &Settings) -> Result<Actual, DriverError> {
    let running = control::running(settings).await?;
    let found = match &running {
        Some(name) => found(name, settings).await?,
        None => vec![],
    };
    let live = linked(&settings.live(), settings).await?;
    let next = linked(&settings.next(), settings).await?;
    Ok(Actual { running, live, next, found })
}

async fn linked(link: &Path, settings: &Settings) -> Result<Option<Generation>, DriverError> {
    let Some(name) = generation::linked(link).await? else { return Ok(None) };
    let Some(files) = generation::read(&name, settings).await? else { return Ok(None) };
    let wanted = generation::wanted(&name, &files, settings);
    let used = names(&files::servers(&files));
    let is_outdated = !used.is_empty() && resolve::is_outdated(&used, &now(&used, settings).await);
    Ok(Some(Generation { name, wanted, is_outdated }))
}

async fn now(used: &Addresses, settings: &Settings) -> Addresses {
    resolve::resolve(used.keys().cloned(), settings.timeout).await
}

/// The servers of a generation; none if its files are gone.
async fn found(name: &str, settings: &Settings) -> Result<Vec<Found>, DriverError> {
    Ok(generation::read(name, settings).await?.map(|files| files::servers(&files)).unwrap_or_default())
}
