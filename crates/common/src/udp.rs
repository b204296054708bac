//! UDP sockets: udp(7).

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, recvmsg, sendto,
};

use crate::address::from_kernel;
use crate::call::{Call, CallError};

/// More than any datagram holds: a buffer of this size is never too small.
pub const LARGEST: usize = 65_535;

/// A datagram that has arrived. Its first bytes are in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes of it are in the buffer.
    pub length: usize,
    /// How many bytes were sent. Where this is more than `length`, the rest is lost: the buffer was too small.
    pub sent: usize,
    /// Who sent it.
    pub from: SocketAddr,
}

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

/// The next datagram, recvmsg(2). Waits for one, unless `flags` has MSG_DONTWAIT or the socket a timeout: `None` is
/// EAGAIN. Interrupted by a signal, it starts again.
pub fn receive_from(
    socket: impl AsFd,
    buffer: &mut [u8],
    flags: MsgFlags,
) -> nix::Result<Option<Datagram>> {
    let room = buffer.len();
    let mut slices = [IoSliceMut::new(buffer)];
    // MSG_TRUNC as an argument makes the result the datagram's length and not what fitted, recv(2).
    let flags = flags | MsgFlags::MSG_TRUNC;
    loop {
        match recvmsg::<SockaddrStorage>(socket.as_fd().as_raw_fd(), &mut slices, None, flags) {
            Ok(arrived) => {
                let from = arrived.address.as_ref().and_then(from_kernel);
                return Ok(Some(Datagram {
                    length: arrived.bytes.min(room),
                    sent: arrived.bytes,
                    from: from.ok_or(Errno::EAFNOSUPPORT)?,
                }));
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Sends one datagram, sendto(2). Interrupted by a signal, it starts again. There is no short count: a datagram goes
/// whole or not at all.
pub fn send_to(socket: impl AsFd, data: &[u8], to: &SocketAddr) -> nix::Result<usize> {
    let to = SockaddrStorage::from(*to);
    loop {
        match sendto(socket.as_fd().as_raw_fd(), data, &to, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::local_address;

    /// A datagram larger than the buffer is cut, and that can be seen; the next one is whole; an empty one is one.
    #[test]
    fn e3_a_cut_datagram_is_seen() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let receiver = bind(&host.parse().unwrap()).unwrap();
            let sender = bind(&host.parse().unwrap()).unwrap();
            let (to, from) = (
                local_address(&receiver).unwrap(),
                local_address(&sender).unwrap(),
            );
            for data in [&b"12345"[..], b"1234", b""] {
                assert_eq!(send_to(&sender, data, &to).unwrap(), data.len());
            }
            let mut buffer = [0; 4];
            for (length, sent) in [(4, 5), (4, 4), (0, 0)] {
                let datagram = receive_from(&receiver, &mut buffer, MsgFlags::empty()).unwrap();
                assert_eq!(datagram, Some(Datagram { length, sent, from }));
            }
            let nothing = receive_from(&receiver, &mut buffer, MsgFlags::MSG_DONTWAIT);
            assert_eq!(nothing.unwrap(), None);
        }
    }
}
