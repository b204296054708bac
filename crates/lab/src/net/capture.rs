//! Frames as they pass an interface, whole and with the kernel's time: packet(7).

use std::io;
use std::io::IoSliceMut;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;

use super::attempted;
use super::route::interface_index;

/// The largest frame kept whole. GSO makes up to 64 KiB of IP packet, BIG TCP for IPv6 may make more.
const WHOLE: usize = 128 * 1024;
/// Room for frames that nobody has read yet.
const QUEUE: usize = 32 * 1024 * 1024;

/// Which way a frame went past the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Sent by this namespace.
    Outgoing,
    /// Received, for this host or for a group or for all.
    Incoming,
    /// Received, with somebody else's hardware address on it (promiscuous mode, or a wrong address).
    OtherHost,
}

/// A frame that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When the kernel had it in its hands (CLOCK_REALTIME, SO_TIMESTAMPNS).
    pub at: SystemTime,
    /// The interface's number.
    pub interface: u32,
    /// Which way it went.
    pub direction: Direction,
    /// The frame from its link header on, up to the snap length.
    pub bytes: Vec<u8>,
    /// Its length on the wire.
    pub original_length: usize,
}

/// Reads the frames of one interface, or of all, of the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
    buffer: Vec<u8>,
    control: Vec<u8>,
    dropped: u32,
}

impl Capture {
    /// Opens a capture of an interface by name; `None` means all of them, those to come included.
    ///
    /// On lo each frame passes twice, outgoing and incoming: `ignore_outgoing` keeps one (Linux 4.20).
    /// Nothing is seen while an interface is down.
    ///
    /// The kernel begins to note the time a moment after the first socket of the machine has asked for it; until then
    /// a frame's time is that of its reading. Open captures before there is traffic.
    pub fn open(interface: Option<&str>, ignore_outgoing: bool) -> io::Result<Self> {
        let index = match interface {
            Some(name) => interface_index(name)?,
            None => 0,
        };
        let what = format!("capture on {}", interface.unwrap_or("all interfaces"));
        open(index, ignore_outgoing).map_err(attempted(what))
    }

    /// Keeps at most so many bytes of a frame from now on; at first it is 128 KiB, every frame whole.
    pub fn set_snap_length(&mut self, bytes: usize) {
        self.buffer.resize(bytes.max(1), 0);
    }

    /// The next frame, or `None` when there is none now. Wait with poll(2).
    pub fn read(&mut self) -> io::Result<Option<Frame>> {
        loop {
            match self.receive() {
                // ENETDOWN only says that the interface is, or went, down: frames come again when it is up.
                Err(Errno::EINTR | Errno::ENETDOWN) => {}
                Err(Errno::EAGAIN) => return Ok(None),
                result => return result.map_err(attempted("read a frame")),
            }
        }
    }

    fn receive(&mut self) -> nix::Result<Option<Frame>> {
        let mut pieces = [IoSliceMut::new(&mut self.buffer)];
        // MSG_TRUNC: the length that comes back is the frame's, even where the buffer is smaller.
        let message = socket::recvmsg::<LinkAddr>(
            self.socket.as_raw_fd(),
            &mut pieces,
            Some(&mut self.control),
            MsgFlags::MSG_TRUNC,
        )?;
        let original_length = message.bytes;
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
            _ => None,
        });
        let from = message.address.ok_or(Errno::EBADMSG)?;
        Ok(Some(Frame {
            at: stamp.map_or_else(SystemTime::now, |stamp| SystemTime::UNIX_EPOCH + stamp),
            interface: from.ifindex() as u32,
            direction: match from.pkttype() {
                libc::PACKET_OUTGOING => Direction::Outgoing,
                libc::PACKET_OTHERHOST => Direction::OtherHost,
                _ => Direction::Incoming,
            },
            bytes: self.buffer[..original_length.min(self.buffer.len())].to_vec(),
            original_length,
        }))
    }

    /// How many frames found the queue full since the capture was opened.
    pub fn dropped(&mut self) -> io::Result<u32> {
        let mut statistics = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = size_of_val(&statistics) as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes to the structure of that size, both of which outlive the call.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &mut length,
            )
        };
        Errno::result(result).map_err(attempted("read the statistics of a capture"))?;
        // Reading sets the kernel's counter back to 0.
        self.dropped += statistics.tp_drops;
        Ok(self.dropped)
    }

    /// How many more that are since it was last asked.
    pub fn newly_dropped(&mut self) -> u32 {
        let before = self.dropped;
        self.dropped().map_or(0, |dropped| dropped - before)
    }

    /// Puts a frame, link header and all, on the interface that the capture is bound to (`ENXIO` when on all).
    ///
    /// This capture does not see it, others do. `ENETDOWN` while the interface is down, `EMSGSIZE` over its MTU.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        loop {
            match socket::send(self.socket.as_raw_fd(), frame, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                result => {
                    return result.map(drop).map_err(attempted(format_args!(
                        "send a frame of {} bytes",
                        frame.len()
                    )));
                }
            }
        }
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open(index: u32, ignore_outgoing: bool) -> nix::Result<Capture> {
    // Without a protocol the socket is deaf until bind; otherwise it would begin with frames of every interface.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(
        AddressFamily::Packet,
        SockType::Raw,
        flags,
        None::<SockProtocol>,
    )?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    // The first needs CAP_NET_ADMIN in the first user namespace; the second cuts the size down to net.core.rmem_max.
    setsockopt(&socket, sockopt::RcvBufForce, &QUEUE)
        .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &QUEUE))?;
    if ignore_outgoing {
        let on: libc::c_int = 1;
        // SAFETY: the kernel reads one int, of the length given.
        Errno::result(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_IGNORE_OUTGOING,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        })?;
    }
    // SAFETY: struct sockaddr_ll is plain old data; all zeroes is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index as i32;
    // SAFETY: the address is a struct sockaddr_ll of the length given and outlives the call.
    Errno::result(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    })?;
    Ok(Capture {
        socket,
        buffer: vec![0; WHOLE],
        control: nix::cmsg_space!(TimeSpec),
        dropped: 0,
    })
}
