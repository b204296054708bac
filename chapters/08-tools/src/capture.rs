//! A packet socket: a copy of every packet that passes, packet(7).

use std::io::IoSliceMut;
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::Context;
use common::{Call, CallError};
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    self, AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    recvmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;

/// Room for packets that came while the last one was printed.
const QUEUE: usize = 8 * 1024 * 1024;

/// What the kernel says of a packet.
pub struct Frame {
    pub at: Duration,
    pub interface: u32,
    /// The Ethernet type, 0x0800 for IPv4.
    pub protocol: i32,
    pub direction: &'static str,
}

// ANCHOR: open
/// A packet socket is not bound to an address but to an interface and a kind of packet: here every kind. SOCK_DGRAM takes the
/// link's own header off, so that all kinds of interfaces look the same.
pub fn open(interface: Option<&str>) -> anyhow::Result<OwnedFd> {
    let index = match interface {
        Some(name) => if_nametoindex(name).call(format_args!("interface {name}"))?,
        None => 0,
    };
    // No protocol yet: from this moment until bind it would bring packets of every interface.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(
        AddressFamily::Packet,
        SockType::Datagram,
        flags,
        None::<SockProtocol>,
    )
    .call("socket AF_PACKET")
    .context("tcpdump needs the capability CAP_NET_RAW: run it as root")?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).call("setsockopt SO_TIMESTAMPNS")?;
    // The first wants a privilege of the whole machine; the second is cut to net.core.rmem_max.
    setsockopt(&socket, sockopt::RcvBufForce, &QUEUE)
        .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &QUEUE))
        .call("setsockopt SO_RCVBUF")?;
    // SAFETY: struct sockaddr_ll is plain old data; all zeroes is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index as i32;
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is a struct sockaddr_ll of the size given and outlives the call.
    Errno::result(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) })
        .call("bind AF_PACKET")?;
    Ok(socket)
}
// ANCHOR_END: open

/// The next packet and how many bytes of it are in the buffer.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<Option<(Frame, usize)>, CallError> {
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut pieces = [IoSliceMut::new(buffer)];
    let fd = socket.as_raw_fd();
    let message = match recvmsg::<LinkAddr>(fd, &mut pieces, Some(&mut control), MsgFlags::empty())
    {
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        outcome => outcome.call("recvmsg AF_PACKET")?,
    };
    let at = message
        .cmsgs()
        .call("recvmsg AF_PACKET")?
        .find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
            _ => None,
        });
    let from = message
        .address
        .ok_or(Errno::EBADMSG)
        .call("recvmsg AF_PACKET")?;
    let direction = match from.pkttype() {
        libc::PACKET_OUTGOING => "Out",
        libc::PACKET_BROADCAST => "B",
        libc::PACKET_MULTICAST => "M",
        libc::PACKET_OTHERHOST => "P",
        _ => "In",
    };
    // A packet on the loopback interface goes out and comes in there: one of the two is enough.
    if direction == "Out" && from.hatype() == libc::ARPHRD_LOOPBACK {
        return Ok(None);
    }
    let frame = Frame {
        at: at.unwrap_or_default(),
        interface: from.ifindex() as u32,
        protocol: i32::from(u16::from_be(from.protocol())),
        direction,
    };
    Ok(Some((frame, message.bytes)))
}

/// How many packets the kernel gave to this socket, and how many it could not.
pub fn statistics(socket: &OwnedFd) -> Result<(u32, u32), CallError> {
    let mut counts = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut size = size_of_val(&counts) as libc::socklen_t;
    let (fd, place) = (socket.as_raw_fd(), (&raw mut counts).cast());
    // SAFETY: the kernel writes at most `size` bytes to the structure of that size, both of which outlive the call.
    Errno::result(unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            place,
            &mut size,
        )
    })
    .call("getsockopt PACKET_STATISTICS")?;
    Ok((counts.tp_packets, counts.tp_drops))
}
