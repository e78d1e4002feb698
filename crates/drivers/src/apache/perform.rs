//! Changes of the server and its files.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::live::Live;
use super::render::Marker;
use super::settings::Settings;
use super::steps::{self, Change};
use super::wanted::{Health, Server};
use super::{SERVER, TRY, manager};
use crate::command::succeed;
use crate::{DriverError, files};

/// Between two looks whether something has come about.
const PAUSE: Duration = Duration::from_millis(20);
/// For a moment after Apache has read its files again, processes of before may still answer.
const LOOKS: u32 = 5;

pub(super) async fn perform(settings: &Settings, change: &Change) -> Result<(), DriverError> {
    match change {
        Change::WriteEntry => files::replace(&settings.entry(), settings.entry_text().as_bytes()).await,
        Change::WriteCertificate { name, pem } => files::replace(&settings.certificate(name), &pem.0).await,
        Change::WriteManaged(text) => write(settings, &text.0).await,
        Change::Close => {
            files::replace(&settings.closing_file(), &[]).await?;
            sleep(settings.closing).await;
            Ok(())
        }
        Change::Keep => files::remove(&settings.closing_file()).await,
        Change::Restart(marker) => Box::pin(restart(settings, marker)).await,
        Change::SetBalancer { pool, form } => tell(settings, pool, form, |_| true).await,
        Change::Add { pool, member } => {
            let form = format!("b_wyes=1&b_nwrkr={}", member.url);
            tell(settings, pool, &form, |live| {
                live.pools.get(pool).is_some_and(|pool| pool.members.contains_key(member))
            })
            .await
        }
        Change::SetMember { pool, member, server, health } => {
            let form = member_form(&member.url, server.as_ref(), health.as_ref());
            let is_set = |live: &Live| {
                let member = live.pools.get(pool).and_then(|pool| pool.members.get(member));
                member.is_some_and(|member| steps::is_as(member, server.as_ref(), health.as_ref()))
            };
            tell(settings, pool, &form, is_set).await
        }
        Change::RemoveCertificate(name) => files::remove(&settings.certificate(name)).await,
    }
}

/// What runs is replaced only by what Apache has found good: until then it lies beside.
async fn write(settings: &Settings, text: &str) -> Result<(), DriverError> {
    let candidate = settings.candidate();
    files::write(&candidate, text.as_bytes()).await?;
    if let Err(refused) = succeed(SERVER, &settings.test, &["-D", TRY], settings.timeout).await {
        files::remove(&candidate).await?;
        // Where Apache does not like what is there already, other routes would not help.
        return Err(succeed(SERVER, &settings.test, &[], settings.timeout)
            .await
            .map_or_else(of_the_user, |()| refused));
    }
    files::rename(&candidate, &settings.managed()).await
}

/// It may pass without any change of routes.
fn of_the_user(error: DriverError) -> DriverError {
    match error {
        DriverError::Refused { server, said } => DriverError::BrokenWithout { server, said },
        other => other,
    }
}

async fn restart(settings: &Settings, marker: &Marker) -> Result<(), DriverError> {
    succeed(SERVER, &settings.restart, &[], settings.timeout).await.map_err(of_the_user)?;
    let runs = async {
        let mut seen = 0;
        while seen < LOOKS {
            let live = manager::read(settings).await;
            let is_new = live.is_ok_and(|live| live.marker.as_ref() == Some(marker));
            seen = if is_new { seen + 1 } else { 0 };
            sleep(PAUSE).await;
        }
    };
    timeout(settings.restart_timeout, runs).await.map_err(|_| DriverError::NotUnderstood {
        server: SERVER,
        said: format!(
            "it does not run by the new file after {:?}: does the virtual host that answers to {} at {} include {}",
            settings.restart_timeout,
            settings.host,
            settings.manager,
            settings.entry().display()
        ),
    })
}

/// A process of before has other nonces, and passes over what comes with a new one.
async fn tell(settings: &Settings, pool: &str, form: &str, is_done: impl Fn(&Live) -> bool) -> Result<(), DriverError> {
    for _ in 0..LOOKS {
        if is_done(&manager::change(settings, pool, form).await?) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    let said = format!("the balancer-manager passes over {form:?} for {pool}: is {} its ServerName", settings.host);
    Err(DriverError::NotUnderstood { server: SERVER, said })
}

fn member_form(url: &str, server: Option<&Server>, health: Option<&Health>) -> String {
    // Apache takes the names of members apart twice.
    let url = url.replace('%', "%2525").replace('&', "%2526").replace('+', "%252B");
    let Some(server) = server else { return format!("w={url}&w_status_D=1") };
    let mut form = format!(
        "w={url}&w_lf={}&w_ls={}&w_wr={}&w_status_I=0&w_status_N=0&w_status_H=0&w_status_R=0&w_status_S=0&w_status_D=0",
        server.weight, server.set, server.route
    );
    if health.is_none() {
        form.push_str("&w_status_C=0");
    }
    if let Some(health) = health {
        let method = if health.path.is_some() { "GET" } else { "TCP" };
        let path = health.path.as_deref().unwrap_or_default();
        // To write to a text cannot fail.
        let _ = write!(
            form,
            "&w_hm={method}&w_hi={}&w_hp={}&w_hf={}&w_hu={path}",
            health.interval, health.rise, health.fall
        );
    }
    form
}
