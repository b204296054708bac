//! The kernel's tables of sockets, asked for over netlink: sock_diag(7). This is what ss(8) does; netstat(8) reads the same from
//! the files of /proc/net.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use common::CallError;
use nix::libc;

use crate::netlink::dump;

/// include/net/tcp_states.h, from 1; the names of netstat(8).
const STATES: [&str; 13] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "SYN_RECV",
    "BOUND",
];
/// include/uapi/linux/unix_diag.h: what to tell of a local socket, and the numbers of the attributes that tell it.
const SHOW_NAME_FILE_QUEUE: u32 = 1 | 2 | 16;
const NAME: u16 = 0;
const FILE: u16 = 1;
const QUEUE: u16 = 4;

/// A socket with a port.
#[derive(Debug, Clone)]
pub struct Internet {
    /// tcp, tcp6, udp or udp6.
    pub protocol: &'static str,
    pub state: &'static str,
    pub local: SocketAddr,
    /// Port 0 when there is none.
    pub remote: SocketAddr,
    /// Bytes that wait for read(2); of a listener: connections that wait for accept(2).
    pub receive_queue: u32,
    /// Bytes not acknowledged; of a listener: how many connections may wait.
    pub send_queue: u32,
    pub uid: u32,
    /// 0 when no descriptor belongs to it any more: TIME_WAIT is the kernel's alone.
    pub inode: u32,
}

/// A socket of unix(7).
#[derive(Debug, Clone)]
pub struct Local {
    /// STREAM, DGRAM, SEQPACKET.
    pub kind: &'static str,
    pub state: &'static str,
    pub receive_queue: u32,
    pub send_queue: u32,
    pub inode: u32,
    /// The path as it was given to bind(2); an abstract name begins with a zero byte.
    pub name: Vec<u8>,
    /// Device and inode of the socket file, which is not the socket.
    pub file: Option<(u64, u32)>,
}

/// Every TCP or UDP socket of this network namespace.
pub fn internet(tcp: bool) -> Result<Vec<Internet>, CallError> {
    let mut sockets = Vec::new();
    for v6 in [false, true] {
        let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
        let transport = if tcp {
            libc::IPPROTO_TCP
        } else {
            libc::IPPROTO_UDP
        };
        // struct inet_diag_req_v2: family, protocol, no extensions, every state; then 48 bytes that could name one socket.
        let mut request = vec![family as u8, transport as u8, 0, 0];
        request.extend(u32::MAX.to_ne_bytes());
        request.extend([0; 48]);
        let protocol = match (tcp, v6) {
            (true, false) => "tcp",
            (true, true) => "tcp6",
            (false, false) => "udp",
            (false, true) => "udp6",
        };
        for reply in dump(&request)? {
            sockets.extend(parse_internet(&reply, protocol, v6));
        }
    }
    Ok(sockets)
}

/// struct inet_diag_msg. `None` when it is shorter than that.
fn parse_internet(reply: &[u8], protocol: &'static str, v6: bool) -> Option<Internet> {
    let number = |at: usize| Some(u32::from_ne_bytes(reply.get(at..at + 4)?.try_into().ok()?));
    let end = |port: usize, address: usize| {
        let port = u16::from_be_bytes(reply.get(port..port + 2)?.try_into().ok()?);
        let address: [u8; 16] = reply.get(address..address + 16)?.try_into().ok()?;
        Some(match v6 {
            false => (
                Ipv4Addr::from([address[0], address[1], address[2], address[3]]),
                port,
            )
                .into(),
            // The interface counts where the address is good on one link only.
            true => {
                let address = Ipv6Addr::from(address);
                let scope = if address.is_unicast_link_local() {
                    number(40)?
                } else {
                    0
                };
                SocketAddr::V6(SocketAddrV6::new(address, port, 0, scope))
            }
        })
    };
    Some(Internet {
        protocol,
        state: state(*reply.get(1)?),
        local: end(4, 8)?,
        remote: end(6, 24)?,
        receive_queue: number(56)?,
        send_queue: number(60)?,
        uid: number(64)?,
        inode: number(68)?,
    })
}

fn state(number: u8) -> &'static str {
    STATES
        .get(usize::from(number).wrapping_sub(1))
        .copied()
        .unwrap_or("UNKNOWN")
}

/// Every local socket of this network namespace.
pub fn local() -> Result<Vec<Local>, CallError> {
    // struct unix_diag_req: family, protocol, padding, every state, any inode, what to tell, and a cookie for one socket.
    let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
    for number in [u32::MAX, 0, SHOW_NAME_FILE_QUEUE, 0, 0] {
        request.extend(number.to_ne_bytes());
    }
    Ok(dump(&request)?
        .iter()
        .filter_map(|reply| parse_local(reply))
        .collect())
}

/// struct unix_diag_msg, with attributes behind it.
fn parse_local(reply: &[u8]) -> Option<Local> {
    let kind = match *reply.get(1)? {
        1 => "STREAM",
        2 => "DGRAM",
        5 => "SEQPACKET",
        _ => "OTHER",
    };
    let mut socket = Local {
        kind,
        state: match *reply.get(2)? {
            1 => "CONNECTED",
            10 => "LISTENING",
            _ => "",
        },
        receive_queue: 0,
        send_queue: 0,
        inode: u32::from_ne_bytes(reply.get(4..8)?.try_into().ok()?),
        name: Vec::new(),
        file: None,
    };
    let mut rest = reply.get(16..)?;
    // rtnetlink(7): length and kind, the value, and padding to a multiple of four.
    while let Some((&[a, b, c, d], _)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(value) = rest.get(4..length) else {
            break;
        };
        let number = |at: usize| Some(u32::from_ne_bytes(value.get(at..at + 4)?.try_into().ok()?));
        match u16::from_ne_bytes([c, d]) {
            // A path ends with a zero byte; in an abstract name zero bytes are part of it.
            NAME if value.first() != Some(&0) => {
                socket.name = value.strip_suffix(&[0]).unwrap_or(value).to_vec();
            }
            NAME => socket.name = value.to_vec(),
            FILE => {
                // The kernel keeps a device number as 12 bits of major and 20 bits of minor.
                let (inode, device) = (number(0)?, number(4)?);
                let device = libc::makedev(device >> 20, device & 0xf_ffff);
                socket.file = Some((device, inode));
            }
            QUEUE => (socket.receive_queue, socket.send_queue) = (number(0)?, number(4)?),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(socket)
}
