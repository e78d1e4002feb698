//! What NGINX's workers have, as they say themselves.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::NGINX;
use super::settings::Settings;
use super::text::quoted;
use crate::DriverError;

/// The file of a generation that has its name; it is no part of what the name stands for.
pub(super) const FILE: &str = "http-generation.conf";

const REQUEST: &[u8] = b"GET /skyfleet/generation HTTP/1.0\r\n\r\n";
const MOST_ANSWERED: u64 = 4096;
/// So many answers in a row must be alike.
const ALIKE: usize = 8;
/// Between two of them. For a tenth of a second old workers take connections beside the new ones.
const PAUSE: Duration = Duration::from_millis(25);

/// What has workers say which generation they have loaded, and know when they are about to end.
pub(super) fn text(generation: &str, settings: &Settings) -> String {
    let control = settings.control;
    let closing = quoted(&settings.closing(generation).to_string_lossy());
    format!(
        "map \"\" $skyfleet_closing {{\n    default {closing};\n}}\nserver {{\n    listen {control};\n    access_log off;\n    location = /skyfleet/generation {{\n        \
         default_type text/plain;\n        return 200 {generation};\n    }}\n    location / {{\n        return 404;\n    }}\n}}\n"
    )
}

/// The generation that all workers have which take connections; none if nobody listens.
///
/// # Errors
/// There is no answer, or none of NGINX, or workers do not become of one mind.
pub(super) async fn running(settings: &Settings) -> Result<Option<String>, DriverError> {
    let first = ask(settings).await?;
    if first.is_none() || (ask(settings).await? == first && ask(settings).await? == first) {
        return Ok(first);
    }
    agreed(settings, |_| true).await
}

/// Waits until all workers that take connections have this generation.
///
/// # Errors
/// They have not in time.
pub(super) async fn wait_for(generation: &str, settings: &Settings) -> Result<(), DriverError> {
    agreed(settings, |answer| answer.as_deref() == Some(generation)).await.map(drop)
}

async fn agreed(
    settings: &Settings,
    is_meant: impl Fn(&Option<String>) -> bool,
) -> Result<Option<String>, DriverError> {
    let began = Instant::now();
    let (mut last, mut alike) = (None, 0);
    while began.elapsed() < settings.reload_timeout {
        let answer = ask(settings).await?;
        alike = if answer == last { alike + 1 } else { 1 };
        last = answer;
        if alike >= ALIKE && is_meant(&last) {
            return Ok(last);
        }
        sleep(PAUSE).await;
    }
    let said = format!(
        "within {:?} its workers have not all become what they should: {last:?} is the last",
        settings.reload_timeout
    );
    Err(unreachable(settings, Error::new(ErrorKind::TimedOut, said)))
}

async fn ask(settings: &Settings) -> Result<Option<String>, DriverError> {
    let answer = timeout(settings.timeout, get(settings.control)).await;
    let answer = answer.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    match answer {
        Ok(answer) => generation(&answer).map(Some),
        // NGINX does not run, or has nothing of ours.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(unreachable(settings, error)),
    }
}

fn unreachable(settings: &Settings, source: Error) -> DriverError {
    DriverError::Unreachable { server: NGINX, place: settings.control.to_string(), source }
}

async fn get(control: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(control).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    stream.take(MOST_ANSWERED).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn generation(answer: &str) -> Result<String, DriverError> {
    let found = answer.split_once("\r\n\r\n").filter(|(head, _)| head.split(' ').nth(1) == Some("200"));
    match found.map(|(_, body)| body.trim()) {
        Some(name) if is_name(name) => Ok(name.to_owned()),
        _ => {
            let line = answer.lines().next().unwrap_or_default();
            let said = format!("{line:?} instead of the name of a generation. Does another program listen there?");
            Err(DriverError::NotUnderstood { server: NGINX, said })
        }
    }
}

/// Names of generations are also those of folders.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::generation;

    #[test]
    fn only_a_generation_is_one() {
        assert_eq!(generation("HTTP/1.1 200 OK\r\nA: b\r\n\r\n0a1b-7").unwrap(), "0a1b-7");
        for answer in [
            "",
            "HTTP/1.1 404 Not Found\r\n\r\n0a1b-7",
            "HTTP/1.1 200 OK\r\n\r\n../x",
            "SSH-2.0",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(generation(answer).is_err(), "{answer}");
        }
    }
}
