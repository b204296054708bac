//! What went wrong with a packet that was sent: the error queue of a socket, ip(7) and ipv6(7), IP_RECVERR.

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use common::address::from_kernel;
use common::{Call, CallError};
use nix::errno::Errno;
use nix::libc::{self, sock_extended_err, sockaddr_in6};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

/// An error about a packet that a socket has sent.
#[derive(Debug)]
pub struct Trouble {
    /// Who complains: a router on the way, or the destination. `None` where it is our own kernel.
    pub from: Option<IpAddr>,
    /// ICMP type and code, of ICMPv6 where `v6` is true.
    pub kind: u8,
    pub code: u8,
    pub v6: bool,
    /// What the error is called in errno(3).
    pub errno: Errno,
    /// Where the packet was sent to.
    pub destination: Option<SocketAddr>,
    /// What it carried, as far as the complaint quotes it: at least eight bytes.
    pub quoted: Vec<u8>,
}

// ANCHOR: trouble
/// The next error of the queue. The kernel has already found out which socket sent the packet that the ICMP message
/// quotes, so reading this needs no privilege.
pub fn next(socket: &OwnedFd) -> Result<Option<Trouble>, CallError> {
    let mut quoted = [0; 512];
    let mut control = nix::cmsg_space!(libc::c_int, sock_extended_err, sockaddr_in6);
    let mut pieces = [IoSliceMut::new(&mut quoted)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let socket = socket.as_raw_fd();
    let message = loop {
        match recvmsg::<SockaddrStorage>(socket, &mut pieces, Some(&mut control), flags) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(None),
            outcome => break outcome.call("recvmsg MSG_ERRQUEUE")?,
        }
    };
    let mut found = None;
    for control in message.cmsgs().call("recvmsg MSG_ERRQUEUE")? {
        found = found.or(match control {
            ControlMessageOwned::Ipv4RecvErr(error, from) => Some((
                error,
                from.map(|from| Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)).into()),
            )),
            ControlMessageOwned::Ipv6RecvErr(error, from) => Some((
                error,
                from.map(|from| Ipv6Addr::from(from.sin6_addr.s6_addr).into()),
            )),
            _ => None,
        });
    }
    let length = message.bytes;
    let destination = message.address.as_ref().and_then(from_kernel);
    let Some((error, from)) = found else {
        return Ok(None);
    };
    Ok(Some(Trouble {
        from: from.filter(|_| error.ee_origin != libc::SO_EE_ORIGIN_LOCAL),
        kind: error.ee_type,
        code: error.ee_code,
        v6: error.ee_origin == libc::SO_EE_ORIGIN_ICMP6,
        errno: Errno::from_raw(error.ee_errno as i32),
        destination,
        quoted: quoted[..length].to_vec(),
    }))
}
// ANCHOR_END: trouble

impl Trouble {
    /// A packet's time to live was used up on the way.
    pub fn time_exceeded(&self) -> bool {
        (self.v6, self.kind, self.code) == (false, 11, 0)
            || (self.v6, self.kind, self.code) == (true, 3, 0)
    }

    /// In words, as ping prints it, and as the letter of traceroute.
    pub fn words(&self) -> (&'static str, &'static str) {
        match (self.v6, self.kind, self.code) {
            _ if self.from.is_none() => (self.errno.desc(), "!"),
            (false, 11, 0) | (true, 3, 0) => ("Time to live exceeded", ""),
            (false, 3, 0) | (true, 1, 0) => ("Destination Net Unreachable", "!N"),
            (false, 3, 1) | (true, 1, 3) => ("Destination Host Unreachable", "!H"),
            (false, 3, 2) => ("Destination Protocol Unreachable", "!P"),
            (false, 3, 3) | (true, 1, 4) => ("Destination Port Unreachable", ""),
            (false, 3, 4) | (true, 2, _) => ("Packet too big", "!F"),
            (false, 3, 9 | 10 | 13) | (true, 1, 1) => ("Administratively prohibited", "!X"),
            _ => ("Unreachable", "!?"),
        }
    }
}
