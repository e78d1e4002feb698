//! Changes that are made.

use std::io::Error;

use tokio::fs;
use tokio::time::sleep;

use super::settings::Settings;
use super::steps::Step;
use super::upstream::{Addresses, names, parse};
use super::wanted::Wanted;
use super::{NGINX, command, control, generation, resolve, trial};
use crate::DriverError;

pub(super) async fn perform(step: &Step, settings: &Settings) -> Result<(), DriverError> {
    match step {
        Step::Prepare(wanted) => prepare(wanted, settings).await,
        Step::Switch => {
            let (next, live) = (settings.next(), settings.live());
            fs::rename(&next, &live).await.map_err(generation::failed("make live", &next))
        }
        Step::Reload => reload(settings).await,
    }
}

async fn prepare(wanted: &Wanted, settings: &Settings) -> Result<(), DriverError> {
    let files = generation::files(wanted, &addresses(wanted, settings).await?);
    let name = generation::write(&files, settings).await?;
    match trial::test(&name, settings).await {
        Ok(()) => generation::link(&settings.next(), &name, settings).await,
        Err(error) => {
            generation::remove_folder(&settings.generations().join(name)).await?;
            Err(error)
        }
    }
}

/// The addresses of all names, which keep those they had where they cannot be found now.
async fn addresses(wanted: &Wanted, settings: &Settings) -> Result<Addresses, DriverError> {
    let servers = wanted.upstreams.iter().flat_map(|upstream| &upstream.servers);
    let hosts = servers.map(|server| &server.host).filter(|host| host.parse::<std::net::IpAddr>().is_err());
    let now = resolve::resolve(hosts.cloned().collect::<std::collections::BTreeSet<_>>(), settings.timeout).await;
    let before = match generation::linked(&settings.live()).await? {
        Some(live) => generation::read(&live, settings).await?,
        None => None,
    };
    let before =
        before.and_then(|files| files.get(generation::HTTP).map(|text| String::from_utf8_lossy(text).into_owned()));
    Ok(resolve::best(now, &before.map(|text| names(&parse(&text))).unwrap_or_default()))
}

async fn reload(settings: &Settings) -> Result<(), DriverError> {
    let Some(live) = generation::linked(&settings.live()).await? else { return Ok(()) };
    // The user's part may have changed since.
    trial::test(&live, settings).await?;
    let before = control::running(settings).await?;
    if let Some(before) = &before {
        close(before, settings).await?;
    }
    let loaded = load(&live, before.as_deref(), settings).await;
    // New workers do not look for it.
    generation::remove_folder(&settings.folder.join("closing")).await?;
    loaded?;
    tidy(&live, settings).await
}

/// Has clients close their connections one by one: old workers will close those at once that are kept, whatever a client is about to send.
async fn close(generation: &str, settings: &Settings) -> Result<(), DriverError> {
    if settings.closing.is_zero() {
        return Ok(());
    }
    let (folder, file) = (settings.folder.join("closing"), settings.closing(generation));
    fs::create_dir_all(&folder).await.map_err(generation::failed("make", &folder))?;
    fs::write(&file, "").await.map_err(generation::failed("write", &file))?;
    sleep(settings.closing).await;
    Ok(())
}

async fn load(live: &str, before: Option<&str>, settings: &Settings) -> Result<(), DriverError> {
    let said = command::run(&settings.reload, &[""; 0], settings.timeout).await?;
    if !said.is_ok {
        // What is live was tested, and is loaded when NGINX starts.
        let place = settings.reload.join(" ");
        return Err(DriverError::Unreachable { server: NGINX, place, source: Error::other(said.errors) });
    }
    if let Err(error) = control::wait_for(live, settings).await {
        go_back(before, settings).await?;
        let said = format!("{error}. Its error log says why");
        return Err(DriverError::Refused { server: NGINX, said });
    }
    Ok(())
}

/// What the workers go on with is live again, so that a start has it.
async fn go_back(before: Option<&str>, settings: &Settings) -> Result<(), DriverError> {
    match before {
        Some(name) if generation::read(name, settings).await?.is_some() => {
            generation::link(&settings.live(), name, settings).await
        }
        Some(_) => Ok(()),
        None => generation::remove_link(&settings.live()).await,
    }
}

/// Workers that end have loaded what they need.
async fn tidy(live: &str, settings: &Settings) -> Result<(), DriverError> {
    generation::remove_link(&settings.next()).await?;
    for name in generation::names(&settings.generations()).await? {
        if name != live {
            generation::remove_folder(&settings.generations().join(name)).await?;
        }
    }
    Ok(())
}
