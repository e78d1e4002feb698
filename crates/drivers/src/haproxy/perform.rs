//! Does changes.

use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout};

use super::map::{self, Entry};
use super::names::{is_host, place};
use super::runtime::{SERVER, ask, not_understood, refused, tell};
use super::settings::{CANDIDATE, Settings, text};
use super::step::{Made, Named, Step};
use super::wanted::{Asked, Content};
use super::{parse, render};
use crate::command::succeed;
use crate::{DriverError, files};

/// What HAProxy takes in one go is 16 KiB.
const PIECE: usize = 8 << 10;

/// Where nobody is (RFC 5737). HAProxy gives no address to a server that was made without one.
const NOWHERE: &str = "192.0.2.1";

/// A pattern that nothing matches.
const NOTHING: &str = "(?!)";

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Does one.
pub(super) async fn perform(settings: &Settings, step: &Step) -> Result<(), DriverError> {
    match step {
        Step::File(name, content) => files::replace(&settings.tls_file(name), &content.0).await,
        Step::Forget(name) => files::remove(&settings.tls_file(name)).await,
        Step::Load(config) => Box::pin(load(settings, config)).await,
        Step::Config(config) => write(settings, config).await,
        Step::MapFile(text) => files::replace(&settings.map(), &text.0).await,
        Step::Map(entries) => set_map(settings, entries).await,
        Step::Add(of, made) => Box::pin(add(settings, of, made)).await,
        Step::Ready(of, asked) => ready(settings, of, *asked).await,
        Step::Address(of) => Box::pin(set_address(settings, of)).await,
        Step::Weight(of, weight) => command(settings, format!("set server {of} weight {weight}")).await,
        Step::MostInFlight(of, most) => command(settings, format!("set maxconn server {of} {most}")).await,
        Step::Drain(of) => command(settings, format!("set server {of} state drain")).await,
        Step::Delete(of) => delete(settings, of).await,
    }
}

async fn command(settings: &Settings, command: String) -> Result<(), DriverError> {
    tell(&settings.runtime, &command, settings.timeout).await
}

/// One whose name says nothing now is made, and gets requests when it does: it keeps nobody else waiting.
async fn add(settings: &Settings, of: &Named, made: &Made) -> Result<(), DriverError> {
    let resolved = resolve(settings, of).await;
    let address = resolved.as_deref().unwrap_or(NOWHERE);
    let words = render::of_server(&of.server, &made.server, &made.common, Some(address));
    let said = ask(&settings.runtime, &format!("add server {of} {words}"), settings.timeout).await?;
    if !said.contains("New server registered") {
        return Err(refused(&said));
    }
    match resolved {
        Ok(_) => ready(settings, of, made.asked).await,
        Err(error) => {
            tracing::warn!(%error, server = %of, "it gets no requests until its name is known");
            Ok(())
        }
    }
}

async fn set_address(settings: &Settings, of: &Named) -> Result<(), DriverError> {
    let (address, port) = (resolve(settings, of).await?, place(&of.server).map_or(0, |(_, port)| port));
    // It says from what to what.
    let said = ask(&settings.runtime, &format!("set server {of} addr {address} port {port}"), settings.timeout).await;
    said.map(drop)
}

async fn ready(settings: &Settings, of: &Named, asked: Asked) -> Result<(), DriverError> {
    let switch = |on: bool, what: &str| format!("{} {what} {of}", if on { "enable" } else { "disable" });
    if asked.health {
        command(settings, switch(true, "health")).await?;
    }
    if asked.agent {
        command(settings, switch(true, "agent")).await?;
    }
    command(settings, format!("set server {of} state ready")).await
}

/// The address of a server: commands take no names.
async fn resolve(settings: &Settings, of: &Named) -> Result<String, DriverError> {
    let (host, port) = place(&of.server).filter(|(host, _)| is_host(host)).ok_or_else(|| not_understood(&of.server))?;
    let failed = |source| DriverError::Unreachable { server: "the resolver", place: host.to_owned(), source };
    let found = timeout(settings.timeout, lookup_host((host, port))).await.map_err(|late| failed(late.into()))?;
    let first = found.map_err(failed)?.next();
    first.map(|address| address.ip().to_string()).ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))
}

/// Connections that nobody uses end with maintenance, which may take a moment.
async fn delete(settings: &Settings, of: &Named) -> Result<(), DriverError> {
    tell(&settings.runtime, &format!("disable agent {of};set server {of} state maint"), settings.timeout).await?;
    let began = Instant::now();
    loop {
        let said = ask(&settings.runtime, &format!("del server {of}"), settings.timeout).await?;
        if said.contains("Server deleted") || said.contains("No such server") {
            return Ok(());
        }
        if began.elapsed() > settings.timeout {
            return Err(refused(&said));
        }
        sleep(PAUSE).await;
    }
}

async fn set_map(settings: &Settings, entries: &[Entry]) -> Result<(), DriverError> {
    let file = text(&settings.map());
    let said = ask(&settings.runtime, &format!("prepare map {file}"), settings.timeout).await?;
    let version = said.trim().strip_prefix("New version created: ").ok_or_else(|| refused(&said))?;
    let version: u32 = version.parse().map_err(|_| not_understood(&said))?;
    let mut rest = entries;
    while !rest.is_empty() {
        let (mut piece, mut count) = (String::new(), 0);
        for entry in rest {
            let line = map::text(std::slice::from_ref(entry));
            if count > 0 && piece.len() + line.len() > PIECE {
                break;
            }
            piece += &line;
            count += 1;
        }
        rest = &rest[count..];
        command(settings, format!("add map @{version} {file} <<\n{piece}")).await?;
    }
    // HAProxy 2.6 remembers what patterns came to, and would go on so after this if there were none before: another change has it forget.
    let forget = format!("add map {file} {NOTHING} none;del map {file} {NOTHING}");
    command(settings, format!("commit map @{version} {file};{forget}")).await
}

/// Writes the configuration, if HAProxy finds it good.
async fn write(settings: &Settings, config: &Content) -> Result<(), DriverError> {
    let (path, beside) = (settings.config(), files::beside(&settings.config()));
    files::write(&beside, &config.0).await?;
    let candidate = text(&beside);
    let words: Vec<_> = settings.test.iter().map(|word| word.replace(CANDIDATE, &candidate)).collect();
    if let Err(error) = succeed(SERVER, &words, &[], settings.timeout).await {
        files::remove(&beside).await?;
        return Err(error);
    }
    files::rename(&beside, &path).await
}

/// Has a new process take over, which tells what it has read. The old one ends with its last request.
async fn load(settings: &Settings, config: &Content) -> Result<(), DriverError> {
    let before = files::read_text(&settings.config()).await?;
    write(settings, config).await?;
    let blocks = render::parsed(&String::from_utf8_lossy(&config.0)).unwrap_or_default();
    let reloaded = Box::pin(reload(settings, &render::structure(&blocks))).await;
    if let (Err(_), Some(before)) = (&reloaded, before) {
        // The process goes on with what it has, and the next one is to have the same.
        files::replace(&settings.config(), before.as_bytes()).await?;
    }
    reloaded
}

async fn reload(settings: &Settings, structure: &str) -> Result<(), DriverError> {
    let (failures, old) = (failures(settings).await?, process(settings).await?);
    // The master ends all connections to it as it begins.
    ask(&settings.master, "reload", settings.timeout).await?;
    let began = Instant::now();
    loop {
        // As they begin neither may answer.
        if process(settings).await.is_ok_and(|(pid, read)| pid != old.0 && read.as_deref() == Some(structure)) {
            return Ok(());
        }
        if self::failures(settings).await.is_ok_and(|now| now > failures) {
            return Err(refused("the reload failed; HAProxy's log says why"));
        }
        if began.elapsed() > settings.reload_timeout {
            return Err(not_understood("after a reload no process has the driver's part of the configuration"));
        }
        sleep(PAUSE).await;
    }
}

/// The number of the process that answers, and the structure that it has read.
async fn process(settings: &Settings) -> Result<(u32, Option<String>), DriverError> {
    let said = ask(&settings.runtime, "show info;show backend", settings.timeout).await?;
    let pid = parse::pid(&said).ok_or_else(|| not_understood(&said))?;
    Ok((pid, parse::backends(&said).1))
}

/// Reloads that failed.
async fn failures(settings: &Settings) -> Result<u32, DriverError> {
    let said = ask(&settings.master, "show proc", settings.timeout).await?;
    parse::reloads(&said).ok_or_else(|| not_understood(&said))
}
