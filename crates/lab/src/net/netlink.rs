//! One request to the kernel over netlink(7), and its whole answer.

use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockType};

pub use nix::sys::socket::SockProtocol;

/// struct nlmsghdr: length, kind, flags, sequence number, port.
const HEADER: usize = 16;
/// The top two bits of an attribute's kind are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
const KIND_MASK: u16 = 0x3fff;
/// Every request has its own socket, so any number will do.
const SEQUENCE: u32 = 1;

/// A request under construction: a header, the fixed structure of its kind, attributes. Numbers are in host order.
#[derive(Debug, Clone)]
pub struct Message {
    flags: u16,
    bytes: Vec<u8>,
}

impl Message {
    /// An empty message of a kind (`RTM_NEWLINK`) with `NLM_F_…` flags; [`request`] adds `NLM_F_REQUEST`.
    pub fn new(kind: u16, flags: libc::c_int) -> Self {
        let flags = flags as u16 | libc::NLM_F_REQUEST as u16;
        let message = Self {
            flags,
            bytes: Vec::with_capacity(128),
        };
        // The length is not known yet.
        message.u32(0).u16(kind).u16(flags).u32(SEQUENCE).u32(0)
    }

    /// One byte of the fixed structure.
    pub fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    /// Two bytes of the fixed structure.
    pub fn u16(self, value: u16) -> Self {
        self.raw(&value.to_ne_bytes())
    }

    /// Four bytes of the fixed structure.
    pub fn u32(self, value: u32) -> Self {
        self.raw(&value.to_ne_bytes())
    }

    /// Any bytes of the fixed structure.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// An attribute (rtnetlink(7), struct rtattr).
    pub fn attribute(self, kind: u16, value: &[u8]) -> Self {
        self.nested(kind, |message| message.raw(value))
    }

    /// A number as an attribute.
    pub fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// A string as an attribute, with the NUL at its end.
    pub fn string(self, kind: u16, value: &str) -> Self {
        self.nested(kind, |message| message.raw(value.as_bytes()).u8(0))
    }

    /// An attribute that holds whatever `fill` writes: attributes, or a structure and attributes.
    pub fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let start = self.bytes.len();
        let mut message = fill(self.u16(0).u16(kind));
        let length = (message.bytes.len() - start) as u16;
        message.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        message
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

/// Sends a request and returns the payloads of the replies, without their headers.
///
/// A message that is no dump should carry `NLM_F_ACK`, or a request without a reply would wait for ever.
/// What the kernel refuses comes back as its errno.
pub fn request(protocol: SockProtocol, message: Message) -> io::Result<Vec<Vec<u8>>> {
    let socket = socket::socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )?;
    let dump = libc::NLM_F_DUMP as u16;
    let expects_more = message.flags & dump == dump || message.flags & libc::NLM_F_ACK as u16 != 0;
    // Connected to the kernel (port 0), the socket takes nobody else's messages.
    socket::connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    let message = message.finish();
    retry(|| socket::send(socket.as_raw_fd(), &message, MsgFlags::empty()))?;

    let mut replies = Vec::new();
    let mut buffer = vec![0; 32 * 1024];
    loop {
        // A datagram that does not fit loses its end, so its length is asked for first (recv(2), MSG_TRUNC).
        let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
        let length = retry(|| socket::recv(socket.as_raw_fd(), &mut buffer, peek))?;
        if length > buffer.len() {
            buffer.resize(length, 0);
        }
        let length = retry(|| socket::recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()))?;
        if take(&buffer[..length], &mut replies)? || !expects_more {
            return Ok(replies);
        }
    }
}

/// Takes the messages of one datagram; true when the answer is complete.
fn take(mut datagram: &[u8], replies: &mut Vec<Vec<u8>>) -> io::Result<bool> {
    while datagram.len() >= HEADER {
        let length = u32_at(datagram, 0) as usize;
        let kind = i32::from(u16_at(datagram, 4));
        let Some(payload) = datagram.get(HEADER..length) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "netlink message cut short",
            ));
        };
        match kind {
            libc::NLMSG_NOOP => {}
            // Both begin with a negative errno, or 0: an acknowledgement, or the end of a dump that went well.
            libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                return match u32_at(payload, 0) as i32 {
                    0 => Ok(true),
                    code => Err(io::Error::from_raw_os_error(-code)),
                };
            }
            libc::NLMSG_OVERRUN => return Err(Errno::ENOBUFS.into()),
            _ => replies.push(payload.to_vec()),
        }
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    Ok(false)
}

/// The attributes in the bytes after a reply's fixed structure: kind and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0));
        let value = bytes.get(4..length)?;
        let kind = u16_at(bytes, 2) & KIND_MASK;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The two bytes at an offset, host order; 0 where the structure of an older kernel has ended.
pub fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_ne_bytes(bytes_at(bytes, offset))
}

/// The four bytes at an offset, host order; 0 where the structure of an older kernel has ended.
pub fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_ne_bytes(bytes_at(bytes, offset))
}

/// The eight bytes at an offset, host order; 0 where the structure of an older kernel has ended.
pub fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_ne_bytes(bytes_at(bytes, offset))
}

fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let found = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    found.copied().unwrap_or([0; N])
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let message = Message::new(16, 0)
            .u32(7)
            .nested(18, |inner| inner.string(1, "veth").number(2, 9));
        let bytes = message.finish();
        assert_eq!(u32_at(&bytes, 0) as usize, bytes.len());
        let outer: Vec<_> = attributes(&bytes[HEADER + 4..]).collect();
        assert_eq!(outer.len(), 1);
        assert_eq!(outer[0].0, 18);
        let inner: Vec<_> = attributes(outer[0].1).collect();
        assert_eq!(
            inner,
            [
                (1, b"veth\0".as_slice()),
                (2, 9_u32.to_ne_bytes().as_slice())
            ]
        );
    }

    #[test]
    fn garbage_is_an_error_or_the_end_and_never_a_panic() {
        let mut replies = Vec::new();
        let long = [200, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(take(&long, &mut replies).is_err());
        let mut short = long;
        short[0] = 3;
        assert!(take(&short, &mut replies).is_err());
        assert!(!take(&[1, 2, 3], &mut replies).unwrap());
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 5]).count(), 0);
        assert_eq!(attributes(&[]).count(), 0);
    }
}
