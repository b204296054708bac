//! The kernel's table of TCP and UDP sockets: sock_diag(7).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use nix::sys::socket::SockProtocol;

use super::attempted;
use super::netlink::{Message, attributes, request, u16_at, u32_at, u64_at};
use crate::record::TcpState;

/// include/uapi/linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// include/uapi/linux/inet_diag.h: attributes of a reply; asked for by bit `1 << (kind - 1)`.
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_CONG: u16 = 4;
const INET_DIAG_SKMEMINFO: u16 = 7;
/// struct inet_diag_msg.
const REPLY: usize = 72;
/// A TCP socket bound to a port and neither listening nor connected (`TCP_BOUND_INACTIVE`, Linux 6.8).
const BOUND: u8 = 13;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Socket {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The state. A UDP socket is [`TcpState::Established`] when connected, otherwise [`TcpState::Closed`].
    pub state: TcpState,
    /// Its own address; an IPv4-mapped IPv6 address stays one, see [`normal_form`].
    pub local: SocketAddr,
    /// The peer's address; port 0 when there is none.
    pub remote: SocketAddr,
    /// The socket's inode, as in /proc/PID/fd. 0 where no file is behind it: connections not yet accepted, orphans
    /// that their process has closed, SYN-RECEIVED, TIME-WAIT.
    pub inode: u32,
    /// The kernel's number for the socket, the same from SYN-RECEIVED to TIME-WAIT and never used again.
    pub cookie: u64,
    /// The owner.
    pub uid: u32,
    /// Bytes received and not read. LISTEN: connections waiting for accept(2).
    pub receive_queue: u32,
    /// TCP: bytes written and not acknowledged. UDP: memory of what is not sent yet. LISTEN: the backlog, the most
    /// connections that may wait.
    pub send_queue: u32,
    /// What it waits for.
    pub timer: Timer,
    /// Timeouts in a row: retransmissions of this segment, or probes; 0 once it is acknowledged.
    pub retransmits: u8,
    /// TCP_INFO, see tcp(7). `None` for UDP, SYN-RECEIVED and TIME-WAIT.
    pub info: Option<TcpInfo>,
    /// The congestion control's name.
    pub congestion: Option<String>,
    /// The memory that its queues take. `None` for SYN-RECEIVED and TIME-WAIT.
    pub memory: Option<Memory>,
}

/// A timer of a TCP socket, with the time left. At most one of them runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// No timer.
    None,
    /// Something is not acknowledged: a segment, a SYN, a SYN-ACK.
    Retransmit(Duration),
    /// The next keep-alive probe, or the end of FIN-WAIT-2.
    KeepAlive(Duration),
    /// The end of TIME-WAIT, or of FIN-WAIT-2 when the kernel has put it among the small sockets of TIME-WAIT.
    TimeWait(Duration),
    /// The next question to a peer whose window is closed.
    ZeroWindowProbe(Duration),
}

/// A part of struct tcp_info (include/uapi/linux/tcp.h). What an older kernel does not know is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of struct tcp_info")]
pub struct TcpInfo {
    /// TCP_CA_Open 0, Disorder 1, CWR 2, Recovery 3, Loss 4.
    pub ca_state: u8,
    pub retransmits: u8,
    /// Zero window or keep-alive probes not answered.
    pub probes: u8,
    /// How often the timeout was doubled.
    pub backoff: u8,
    /// TCPI_OPT_…: timestamps 1, SACK 2, window scaling 4, ECN 8, SYN data 32.
    pub options: u8,
    pub snd_wscale: u8,
    pub rcv_wscale: u8,
    /// Microseconds.
    pub rto: u32,
    /// Microseconds.
    pub ato: u32,
    pub snd_mss: u32,
    pub rcv_mss: u32,
    /// Segments. LISTEN: connections waiting for accept(2).
    pub unacked: u32,
    /// Segments. LISTEN: the backlog.
    pub sacked: u32,
    /// Segments.
    pub lost: u32,
    /// Segments retransmitted and not acknowledged yet.
    pub retrans: u32,
    /// Milliseconds since then.
    pub last_data_sent: u32,
    /// Milliseconds since then.
    pub last_data_recv: u32,
    /// Milliseconds since then.
    pub last_ack_recv: u32,
    pub pmtu: u32,
    pub rcv_ssthresh: u32,
    /// Microseconds.
    pub rtt: u32,
    /// Microseconds.
    pub rttvar: u32,
    /// Segments; 0x7fffffff as long as nothing was lost.
    pub snd_ssthresh: u32,
    /// Segments.
    pub snd_cwnd: u32,
    pub advmss: u32,
    pub rcv_space: u32,
    /// Segments, over the connection's life.
    pub total_retrans: u32,
    pub bytes_acked: u64,
    pub bytes_received: u64,
    pub segs_out: u32,
    pub segs_in: u32,
    /// Bytes written that no segment has taken yet.
    pub notsent_bytes: u32,
    /// Microseconds.
    pub min_rtt: u32,
    pub data_segs_in: u32,
    pub data_segs_out: u32,
    /// Segments that the peer has.
    pub delivered: u32,
    pub bytes_sent: u64,
    pub bytes_retrans: u64,
    /// Bytes that the peer's window allows (Linux 5.4).
    pub snd_wnd: u32,
    /// Bytes that our window allows (Linux 6.2).
    pub rcv_wnd: u32,
}

impl TcpInfo {
    /// From the bytes that the kernel gave, as many as it has: from here or from getsockopt(TCP_INFO).
    pub fn from_kernel(bytes: &[u8]) -> Self {
        let u8_at = |offset: usize| bytes.get(offset).copied().unwrap_or(0);
        let u32_at = |offset| u32_at(bytes, offset);
        let u64_at = |offset| u64_at(bytes, offset);
        Self {
            ca_state: u8_at(1),
            retransmits: u8_at(2),
            probes: u8_at(3),
            backoff: u8_at(4),
            options: u8_at(5),
            // Two bit fields; the first is in the low bits on the machines that we know.
            snd_wscale: u8_at(6) & 15,
            rcv_wscale: u8_at(6) >> 4,
            rto: u32_at(8),
            ato: u32_at(12),
            snd_mss: u32_at(16),
            rcv_mss: u32_at(20),
            unacked: u32_at(24),
            sacked: u32_at(28),
            lost: u32_at(32),
            retrans: u32_at(36),
            last_data_sent: u32_at(44),
            last_data_recv: u32_at(52),
            last_ack_recv: u32_at(56),
            pmtu: u32_at(60),
            rcv_ssthresh: u32_at(64),
            rtt: u32_at(68),
            rttvar: u32_at(72),
            snd_ssthresh: u32_at(76),
            snd_cwnd: u32_at(80),
            advmss: u32_at(84),
            rcv_space: u32_at(96),
            total_retrans: u32_at(100),
            bytes_acked: u64_at(120),
            bytes_received: u64_at(128),
            segs_out: u32_at(136),
            segs_in: u32_at(140),
            notsent_bytes: u32_at(144),
            min_rtt: u32_at(148),
            data_segs_in: u32_at(152),
            data_segs_out: u32_at(156),
            delivered: u32_at(192),
            bytes_sent: u64_at(200),
            bytes_retrans: u64_at(208),
            snd_wnd: u32_at(228),
            rcv_wnd: u32_at(232),
        }
    }
}

/// The memory of a socket's queues, in bytes with the kernel's own overhead (sock_diag(7), INET_DIAG_SKMEMINFO).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Taken by the receive queue.
    pub receive_allocated: u32,
    /// The limit of the receive queue, SO_RCVBUF as getsockopt(2) gives it (twice what was set).
    pub receive_buffer: u32,
    /// Taken by packets that are on their way to the device.
    pub send_allocated: u32,
    /// The limit of the send queue, SO_SNDBUF as getsockopt(2) gives it.
    pub send_buffer: u32,
    /// Packets dropped because a queue was full.
    pub drops: u32,
}

/// All sockets of one protocol in the calling thread's namespace, IPv4 and IPv6, in every state.
///
/// The kernel walks its table piece by piece: sockets that change meanwhile may be missed.
pub fn sockets(protocol: Protocol) -> io::Result<Vec<Socket>> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let extensions = [INET_DIAG_INFO, INET_DIAG_CONG, INET_DIAG_SKMEMINFO];
        // struct inet_diag_req_v2: family, protocol, extensions, padding, states, and an empty struct inet_diag_sockid.
        let message = Message::new(SOCK_DIAG_BY_FAMILY, libc::NLM_F_DUMP)
            .u8(family as u8)
            .u8(protocol.number())
            .u8(extensions
                .iter()
                .fold(0, |bits, kind| bits | 1 << (kind - 1)))
            .u8(0)
            .u32(u32::MAX)
            .raw(&[0; 48]);
        let replies = request(SockProtocol::NetlinkSockDiag, message).map_err(attempted(
            format_args!("read the kernel's table of {protocol:?} sockets"),
        ))?;
        found.extend(replies.iter().filter_map(|reply| parse(protocol, reply)));
    }
    Ok(found)
}

/// Ends a TCP socket as if a reset had come: a call that waits on it gets `ECONNABORTED`, and the peer a reset.
///
/// `EOPNOTSUPP` where the kernel was built without CONFIG_INET_DIAG_DESTROY; `ENOENT` when the socket is gone.
pub fn destroy(socket: &Socket) -> io::Result<()> {
    // struct inet_diag_sockid: ports, addresses of 16 bytes each, interface, cookie.
    let message = Message::new(SOCK_DESTROY, libc::NLM_F_ACK)
        .u8(if socket.local.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        } as u8)
        .u8(socket.protocol.number())
        .u16(0)
        .u32(u32::MAX)
        .raw(&socket.local.port().to_be_bytes())
        .raw(&socket.remote.port().to_be_bytes())
        .raw(&address_bytes(socket.local))
        .raw(&address_bytes(socket.remote))
        .u32(0)
        .u32(socket.cookie as u32)
        .u32((socket.cookie >> 32) as u32);
    request(SockProtocol::NetlinkSockDiag, message)
        .map(drop)
        .map_err(attempted(format_args!(
            "destroy the socket {} to {}",
            socket.local, socket.remote
        )))
}

/// An IPv4-mapped IPv6 address (`[::ffff:10.0.0.1]:7`) as the IPv4 address it means; any other as it is.
pub fn normal_form(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // As it is, with its scope.
        IpAddr::V6(_) => address,
    }
}

impl Protocol {
    fn number(self) -> u8 {
        match self {
            Protocol::Tcp => libc::IPPROTO_TCP as u8,
            Protocol::Udp => libc::IPPROTO_UDP as u8,
        }
    }
}

/// struct inet_diag_msg, then attributes.
fn parse(protocol: Protocol, reply: &[u8]) -> Option<Socket> {
    let (fixed, rest) = reply.split_at_checked(REPLY)?;
    let state = match fixed[1] {
        BOUND => TcpState::Closed,
        number => TcpState::from_kernel(number)?,
    };
    let time_left = Duration::from_millis(u32_at(fixed, 52).into());
    let mut socket = Socket {
        protocol,
        state,
        local: address(fixed, 4, 8)?,
        remote: address(fixed, 6, 24)?,
        cookie: u64::from(u32_at(fixed, 44)) | u64::from(u32_at(fixed, 48)) << 32,
        timer: match fixed[2] {
            1 => Timer::Retransmit(time_left),
            2 => Timer::KeepAlive(time_left),
            3 => Timer::TimeWait(time_left),
            4 => Timer::ZeroWindowProbe(time_left),
            _ => Timer::None,
        },
        retransmits: fixed[3],
        receive_queue: u32_at(fixed, 56),
        send_queue: u32_at(fixed, 60),
        uid: u32_at(fixed, 64),
        inode: u32_at(fixed, 68),
        info: None,
        congestion: None,
        memory: None,
    };
    for (kind, value) in attributes(rest) {
        match kind {
            // UDP answers with an empty attribute.
            INET_DIAG_INFO if !value.is_empty() => socket.info = Some(TcpInfo::from_kernel(value)),
            INET_DIAG_CONG => {
                let name = String::from_utf8_lossy(value);
                socket.congestion = Some(name.trim_end_matches('\0').to_owned());
            }
            INET_DIAG_SKMEMINFO => {
                socket.memory = Some(Memory {
                    receive_allocated: u32_at(value, 0),
                    receive_buffer: u32_at(value, 4),
                    send_allocated: u32_at(value, 8),
                    send_buffer: u32_at(value, 12),
                    drops: u32_at(value, 32),
                });
            }
            _ => {}
        }
    }
    Some(socket)
}

/// The address and port, both in network order, at these offsets of struct inet_diag_msg.
fn address(fixed: &[u8], port: usize, ip: usize) -> Option<SocketAddr> {
    let port = u16::from_be(u16_at(fixed, port));
    match i32::from(fixed[0]) {
        libc::AF_INET => {
            let octets: [u8; 4] = *fixed.get(ip..)?.first_chunk()?;
            Some((Ipv4Addr::from(octets), port).into())
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = *fixed.get(ip..)?.first_chunk()?;
            let ip = Ipv6Addr::from(octets);
            // As getsockname(2) has it: only a link-local address needs its interface.
            let scope = if ip.is_unicast_link_local() {
                u32_at(fixed, 40)
            } else {
                0
            };
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => None,
    }
}

fn address_bytes(address: SocketAddr) -> [u8; 16] {
    match address.ip() {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}
