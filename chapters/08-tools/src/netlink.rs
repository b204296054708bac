//! A question to the kernel over netlink, netlink(7): about its tables of sockets, sock_diag(7).

use std::os::fd::AsRawFd;

use common::{Call, CallError};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};

/// include/uapi/linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;

// ANCHOR: dump
/// Asks for a whole table: a request goes out as one message, the answer comes as many, netlink(7). Each begins with its
/// length, type, flags, sequence number and port: 16 bytes.
pub fn dump(request: &[u8]) -> Result<Vec<Vec<u8>>, CallError> {
    let kind = SockType::Datagram;
    let protocol = SockProtocol::NetlinkSockDiag;
    let socket = socket::socket(
        AddressFamily::Netlink,
        kind,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )
    .call("socket NETLINK_SOCK_DIAG")?;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut message = (16 + request.len() as u32).to_ne_bytes().to_vec();
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(request);
    // A socket that is not connected sends to port 0: the kernel.
    socket::send(socket.as_raw_fd(), &message, MsgFlags::empty()).call("send to netlink")?;
    let mut replies = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = match socket::recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("receive from netlink")?,
        };
        let mut rest = &buffer[..length];
        while let Some((&[a, b, c, d, e, f], _)) = rest.split_first_chunk() {
            let length = u32::from_ne_bytes([a, b, c, d]) as usize;
            let Some(body) = rest.get(16..length) else {
                break;
            };
            match i32::from(u16::from_ne_bytes([e, f])) {
                libc::NLMSG_DONE => return Ok(replies),
                libc::NLMSG_ERROR => {
                    let errno = body
                        .first_chunk()
                        .map_or(0, |number| -i32::from_ne_bytes(*number));
                    return match Errno::from_raw(errno) {
                        // A kernel without this family has none of its sockets.
                        Errno::ENOENT => Ok(replies),
                        error => Err(error).call("ask for sockets by netlink"),
                    };
                }
                _ => replies.push(body.to_vec()),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}
// ANCHOR_END: dump
