//! Leaves an address to another process that listens there as well, so that no connection is reset which a client takes for made.
//!
//! A listener that is closed resets what it has not accepted yet, and a handshake may end in the moment between the last look and the
//! closing. So it takes no new ones for a while before.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;

/// Clients whose handshake has begun have so long for it.
pub(crate) const HANDSHAKES: Duration = Duration::from_millis(500);

/// Has the kernel drop what would begin a connection here: a SYN without ACK. The client sends it once more after a second, and then it
/// goes to who still listens. By a filter of classic BPF, which for a listener of TCP sees segments from their headers on.
///
/// # Errors
/// The kernel takes no filter.
#[cfg(target_os = "linux")]
pub(crate) fn take_no_more(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Nothing is known to do so here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn take_no_more(_listener: &TcpListener) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_has_begun_goes_on_and_nothing_new_begins() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut before = TcpStream::connect(address).await.unwrap();
        take_no_more(&listener).unwrap();
        assert!(timeout(Duration::from_millis(100), TcpStream::connect(address)).await.is_err(), "nobody answers");
        let (mut accepted, _) = listener.accept().await.unwrap();
        drop(listener);
        before.write_all(b"ping").await.unwrap();
        let mut said = [0; 4];
        accepted.read_exact(&mut said).await.unwrap();
        accepted.write_all(b"pong").await.unwrap();
        before.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"pong");
        assert!(TcpStream::connect(address).await.is_err(), "it is refused, at once or when it is sent again");
    }
}
