//! Which version of HTTP a client begins to speak in clear text. Until that is known a client has as long as for the head of a request:
//! the library's own look at it waits for ever.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a beginning that is not all there. Few come in pieces.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Http1,
    Http2,
}

/// Looks at the beginning of what comes, and takes nothing of it. `None` if the client says nothing in time, or closes the connection.
pub(crate) async fn spoken(stream: &TcpStream, limit: Duration) -> io::Result<Option<Spoken>> {
    let deadline = Instant::now() + limit;
    let mut beginning = [0; PREFACE.len()];
    loop {
        let Ok(size) = timeout_at(deadline, stream.peek(&mut beginning)).await else { return Ok(None) };
        match beginning.get(..size?).unwrap_or_default() {
            [] => return Ok(None),
            came if came == PREFACE => return Ok(Some(Spoken::Http2)),
            came if !PREFACE.starts_with(came) => return Ok(Some(Spoken::Http1)),
            _ if Instant::now() >= deadline => return Ok(None),
            _ => sleep(LOOK_AGAIN).await,
        }
    }
}
