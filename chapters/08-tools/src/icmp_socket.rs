//! A socket for ICMP, with the least privilege that does: icmp(7), raw(7).

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::Context;
use common::Call;
use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, sockopt,
};

// ANCHOR: open
/// A datagram socket of ICMP may only send echo requests, and only hears answers to its own: it is open to every group in
/// net.ipv4.ping_group_range, icmp(7), for both families. A raw socket hears everything and needs CAP_NET_RAW, raw(7).
pub fn open(to: &SocketAddr) -> anyhow::Result<(OwnedFd, bool)> {
    let (family, protocol) = match to {
        SocketAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        SocketAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    match socket::socket(family, SockType::Datagram, flags, protocol) {
        Ok(socket) => return Ok((socket, false)),
        Err(Errno::EACCES | Errno::EPERM | Errno::EPROTONOSUPPORT) => {}
        Err(error) => return Err(error).call("socket")?,
    }
    match socket::socket(family, SockType::Raw, flags, protocol) {
        Ok(socket) => Ok((socket, true)),
        Err(error @ (Errno::EPERM | Errno::EACCES)) => Err(error).call("socket").context(
            "ping needs your group in net.ipv4.ping_group_range, or the capability CAP_NET_RAW",
        ),
        Err(error) => Err(error).call("socket")?,
    }
}
// ANCHOR_END: open

/// Asks for the time to live of answers, and for errors.
pub fn prepare(socket: &OwnedFd, to: &SocketAddr, ttl: Option<u8>) -> nix::Result<()> {
    let ttl = ttl.map(i32::from);
    if to.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4RecvTtl, &true)?;
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
        ttl.map_or(Ok(()), |ttl| setsockopt(socket, sockopt::Ipv4Ttl, &ttl))
    } else {
        setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)?;
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
        ttl.map_or(Ok(()), |ttl| setsockopt(socket, sockopt::Ipv6Ttl, &ttl))
    }
}
