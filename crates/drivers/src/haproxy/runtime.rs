//! A socket of HAProxy that takes commands.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::DriverError;

/// What it is called in errors.
pub(super) const SERVER: &str = "HAProxy";

/// More than it has to say of ten thousand servers.
const MOST: u64 = 64 << 20;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// What HAProxy answers to commands. As a process takes over from another, nobody listens for a moment: so long is waited for one who does.
pub(super) async fn ask(socket: &Path, commands: &str, within: Duration) -> Result<String, DriverError> {
    let unreachable = |source| DriverError::Unreachable { server: SERVER, place: socket.display().to_string(), source };
    let mut last = None;
    let asked = async {
        let mut stream = loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => break stream,
                Err(error) if [ErrorKind::ConnectionRefused, ErrorKind::NotFound].contains(&error.kind()) => {
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
            sleep(PAUSE).await;
        };
        stream.write_all(format!("{commands}\n").as_bytes()).await?;
        stream.shutdown().await?;
        let mut said = String::new();
        stream.take(MOST).read_to_string(&mut said).await?;
        Ok(said)
    };
    match timeout(within, asked).await {
        Ok(said) => said.map_err(unreachable),
        Err(late) => Err(unreachable(last.unwrap_or(late.into()))),
    }
}

/// Commands that say nothing when they are done.
pub(super) async fn tell(socket: &Path, commands: &str, within: Duration) -> Result<(), DriverError> {
    let said = ask(socket, commands, within).await?;
    if said.trim().is_empty() { Ok(()) } else { Err(refused(&said)) }
}

/// It says that something is not so.
pub(super) fn refused(said: &str) -> DriverError {
    DriverError::Refused { server: SERVER, said: shortened(said) }
}

/// It says what cannot be understood.
pub(super) fn not_understood(said: &str) -> DriverError {
    DriverError::NotUnderstood { server: SERVER, said: shortened(said) }
}

fn shortened(said: &str) -> String {
    said.trim().chars().take(2000).collect()
}
