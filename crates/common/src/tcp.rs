//! TCP sockets: socket(2), bind(2), listen(2), accept4(2), connect(2).

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, accept4, getpeername,
    getsockname, sockopt,
};

use crate::address::{Peer, from_kernel};
use crate::call::{Call, CallError};

/// The course's backlog, and the default cap of the kernel before 5.4 allowed more (net.core.somaxconn).
const BACKLOG: i32 = 1024;

/// A new stream socket for the family of `address`, close-on-exec.
pub fn stream_socket(address: &SocketAddr) -> Result<OwnedFd, CallError> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).call("socket")
}

/// A listening socket that can be restarted at once: SO_REUSEADDR, chapter 15.
pub fn listen(address: &SocketAddr) -> Result<OwnedFd, CallError> {
    let listener = stream_socket(address)?;
    socket::setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    socket::bind(listener.as_raw_fd(), &SockaddrStorage::from(*address))
        .call(format_args!("bind {address}"))?;
    let backlog = Backlog::new(BACKLOG).expect("in the range that nix allows");
    socket::listen(&listener, backlog).call(format_args!("listen {address}"))?;
    Ok(listener)
}

/// Waits for a connection. A connection that failed before it was taken is passed over, accept(2): the listener is fine.
pub fn accept(listener: impl AsFd) -> Result<(OwnedFd, SocketAddr), CallError> {
    loop {
        match accept4(listener.as_fd().as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Ok(raw) => {
                // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
                let connection = unsafe { OwnedFd::from_raw_fd(raw) };
                match peer_address(&connection) {
                    Ok(peer) => return Ok((connection, peer)),
                    Err(error) if error.errno() == Some(Errno::ENOTCONN) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(Errno::EINTR | Errno::ECONNABORTED | Errno::EPROTO) => {}
            Err(error) => return Err(error).call("accept"),
        }
    }
}

/// The next connection of a non-blocking listener, or none. A client for which poll(2) woke us may have gone by now, and a
/// blocking accept(2) would then wait for the next one.
pub fn accept_ready(listener: impl AsFd) -> Result<Option<(OwnedFd, SocketAddr)>, CallError> {
    match accept(listener) {
        Err(error) if error.errno() == Some(Errno::EAGAIN) => Ok(None),
        accepted => accepted.map(Some),
    }
}

/// Connects to the first address of the peer that answers; the error is the last one's.
pub fn connect(peer: &Peer) -> Result<OwnedFd, CallError> {
    let mut outcome = None;
    for address in peer.resolve()? {
        match connect_to(&address) {
            Ok(connection) => return Ok(connection),
            Err(error) => outcome = Some(error),
        }
    }
    Err(outcome.expect("a resolved peer has at least one address"))
}

/// Connects to one address.
pub fn connect_to(address: &SocketAddr) -> Result<OwnedFd, CallError> {
    let connection = stream_socket(address)?;
    connect_socket(&connection, address)?;
    Ok(connection)
}

/// Connects a socket that the caller has made, and perhaps bound. A connect(2) that a signal interrupts goes on in the
/// kernel; we wait for its outcome.
pub fn connect_socket(connection: &OwnedFd, address: &SocketAddr) -> Result<(), CallError> {
    let outcome = match socket::connect(connection.as_raw_fd(), &SockaddrStorage::from(*address)) {
        Err(Errno::EINTR) => outcome_of_connect(connection),
        outcome => outcome,
    };
    outcome.call(format_args!("connect {address}"))
}

fn outcome_of_connect(connection: &OwnedFd) -> nix::Result<()> {
    let mut wait = [PollFd::new(connection.as_fd(), PollFlags::POLLOUT)];
    while let Err(error) = poll(&mut wait, PollTimeout::NONE) {
        if error != Errno::EINTR {
            return Err(error);
        }
    }
    match socket::getsockopt(connection, sockopt::SocketError)? {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno)),
    }
}

/// The socket's own address, getsockname(2).
pub fn local_address(socket: impl AsFd) -> Result<SocketAddr, CallError> {
    let address: SockaddrStorage = getsockname(socket.as_fd().as_raw_fd()).call("getsockname")?;
    from_kernel(&address)
        .ok_or(Errno::EAFNOSUPPORT)
        .call("getsockname")
}

/// The other end's address, getpeername(2).
pub fn peer_address(socket: impl AsFd) -> Result<SocketAddr, CallError> {
    let address: SockaddrStorage = getpeername(socket.as_fd().as_raw_fd()).call("getpeername")?;
    from_kernel(&address)
        .ok_or(Errno::EAFNOSUPPORT)
        .call("getpeername")
}
