//! Addresses that no other test is given.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// An address at which nobody answers until a test starts somebody there. Until the tests end the kernel gives it to nobody who asks for
/// any, as it would give one that was only found free.
pub fn reserve() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}
