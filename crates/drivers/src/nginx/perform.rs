//! Changes that are made.

use std::collections::BTreeSet;
use std::io::Error;
use std::net::IpAddr;

use tokio::fs;
use tokio::time::sleep;

use super::settings::Settings;
use super::steps::Step;
use super::upstream::{self, Addresses};
use super::wanted::{Files, Wanted};
use super::{NGINX, control, files, generation, resolve, trial};
use crate::files::{failed, names, remove};
use crate::{DriverError, command};

/// More than that is not the mistake of single routes, and each takes a test.
const MOST_LEFT_OUT: usize = 16;

pub(super) async fn perform(step: &Step, settings: &Settings) -> Result<(), DriverError> {
    match step {
        Step::Prepare(wanted) => prepare(wanted, settings).await,
        Step::Switch => {
            let (next, live) = (settings.next(), settings.live());
            fs::rename(&next, &live).await.map_err(failed("make live", &next))
        }
        Step::Reload => reload(settings).await,
    }
}

/// A route of which NGINX says that it refuses something of it is left out, so that the others have what they are to have.
async fn prepare(wanted: &Wanted, settings: &Settings) -> Result<(), DriverError> {
    let addresses = addresses(wanted, settings).await?;
    let mut left_out = BTreeSet::new();
    loop {
        let files = files::with_heading(files::files(wanted, &addresses, &left_out), &wanted.id());
        let name = generation::write(&files, settings).await?;
        let Err(error) = trial::test(&name, settings).await else {
            return generation::link(&settings.next(), &name, settings).await;
        };
        generation::remove_folder(&settings.generations().join(name)).await?;
        let Some(route) = refused(wanted, &error).filter(|_| left_out.len() < MOST_LEFT_OUT) else {
            return Err(error);
        };
        tracing::warn!(route, %error, "a route is left out");
        left_out.insert(route.to_owned());
    }
}

/// The route that NGINX's words are about.
fn refused<'a>(wanted: &'a Wanted, error: &DriverError) -> Option<&'a str> {
    let DriverError::Refused { said, .. } = error else { return None };
    wanted.routes.iter().map(|route| &*route.id).find(|id| said.contains(id))
}

/// The addresses of all names, which keep those they had where they cannot be found now.
async fn addresses(wanted: &Wanted, settings: &Settings) -> Result<Addresses, DriverError> {
    let hosts = wanted.servers().map(|server| &server.host).filter(|host| host.parse::<IpAddr>().is_err());
    let now = resolve::resolve(hosts.cloned().collect::<BTreeSet<_>>(), settings.timeout).await;
    let before = match generation::linked(&settings.live()).await? {
        Some(live) => generation::read(&live, settings).await?.unwrap_or_default(),
        None => Files::new(),
    };
    Ok(resolve::best(now, &upstream::names(&files::servers(&before))))
}

async fn reload(settings: &Settings) -> Result<(), DriverError> {
    let Some(live) = generation::linked(&settings.live()).await? else { return Ok(()) };
    // The user's part may have changed since.
    trial::test(&live, settings).await?;
    let before = control::running(settings).await?;
    if let Some(before) = &before {
        close(before, settings).await?;
    }
    let loaded = load(&live, settings).await;
    // New workers do not look for it, and where it is the old ones that go on, they would do so for ever.
    generation::remove_folder(&settings.folder.join("closing")).await?;
    if let Err(DriverError::Refused { .. }) = loaded {
        go_back(before.as_deref(), settings).await?;
    }
    loaded?;
    tidy(&live, settings).await
}

/// Has clients close their connections one by one: old workers will close those at once that are kept, whatever a client is about to send.
async fn close(generation: &str, settings: &Settings) -> Result<(), DriverError> {
    if settings.closing.is_zero() {
        return Ok(());
    }
    let (folder, file) = (settings.folder.join("closing"), settings.closing(generation));
    fs::create_dir_all(&folder).await.map_err(failed("make", &folder))?;
    fs::write(&file, "").await.map_err(failed("write", &file))?;
    sleep(settings.closing).await;
    Ok(())
}

async fn load(live: &str, settings: &Settings) -> Result<(), DriverError> {
    let said = command::run(&settings.reload, &[""; 0], settings.timeout).await?;
    if !said.is_ok {
        // What is live was tested, and is loaded when NGINX starts.
        let place = settings.reload.join(" ");
        return Err(DriverError::Unreachable { server: NGINX, place, source: Error::other(said.errors) });
    }
    let refused = |error| DriverError::Refused { server: NGINX, said: format!("{error}. Its error log says why") };
    control::wait_for(live, settings).await.map_err(refused)
}

/// What the workers go on with is live again, so that a start has it.
async fn go_back(before: Option<&str>, settings: &Settings) -> Result<(), DriverError> {
    match before {
        Some(name) if generation::read(name, settings).await?.is_some() => {
            generation::link(&settings.live(), name, settings).await
        }
        Some(_) => Ok(()),
        None => remove(&settings.live()).await,
    }
}

/// Workers that end have loaded what they need.
async fn tidy(live: &str, settings: &Settings) -> Result<(), DriverError> {
    remove(&settings.next()).await?;
    for name in names(&settings.generations()).await? {
        if name != live {
            generation::remove_folder(&settings.generations().join(name)).await?;
        }
    }
    Ok(())
}
