//! UDP sockets: udp(7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage};

use crate::call::{Call, CallError};

/// A datagram socket bound to `address`, close-on-exec. Port 0 lets the kernel pick one.
pub fn bind(address: &SocketAddr) -> Result<OwnedFd, CallError> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket =
        socket::socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).call("socket")?;
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(*address))
        .call(format_args!("bind {address}"))?;
    Ok(socket)
}

/// The unspecified address of the same family as `peer`, port 0: what a client is bound to when it does not choose.
pub fn any_for(peer: &SocketAddr) -> SocketAddr {
    let any = match peer {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(any, 0)
}
