//! Notices that an endpoint is gone without a word, as when its cluster loses its power or its network: the kernel would believe for a
//! quarter of an hour in what it has sent, and for ever in what it waits for.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// With nothing coming for so long, the other side's kernel is asked whether it is there, which costs the program behind it nothing.
pub const QUIET: Duration = Duration::from_secs(10);
/// Between two such questions.
pub const AGAIN: Duration = Duration::from_secs(5);
/// So many of them go without an answer.
pub const RETRIES: u32 = 2;
/// The same for clients, of whom there are more, and who may be on the move.
const CLIENT_QUIET: Duration = Duration::from_mins(1);
const CLIENT_AGAIN: Duration = Duration::from_secs(15);
/// A connection ends as broken after so long without any sign of the other side. What gRPC waits for by default.
pub const GONE: Duration = Duration::from_secs(20);

/// Has the connection end as broken soon after its other side has gone. However long a model takes for its first byte, its machine
/// answers, so this is no limit for it. Only a program that takes nothing of a large request for so long is given up as well.
pub(crate) fn watch(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(QUIET).with_interval(AGAIN).with_retries(RETRIES))?;
    // Questions are not asked as long as something that was sent is not confirmed.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(GONE))?;
    Ok(())
}

/// Has the connection of a client that is gone without a word end as well. One that only takes nothing may read slowly.
pub(crate) fn watch_client(stream: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new().with_time(CLIENT_QUIET).with_interval(CLIENT_AGAIN).with_retries(4);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn both_what_was_sent_and_what_is_waited_for_have_an_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        watch(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        let questions = (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        assert_eq!((questions, socket.tcp_keepalive_retries().unwrap()), ((QUIET, AGAIN), RETRIES));
        assert_eq!(QUIET + RETRIES * AGAIN, GONE);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(GONE));
    }
}
