//! What the kernel tells about a connection: TCP_INFO, tcp(7).

use std::os::fd::{AsRawFd, OwnedFd};

use common::{Call, CallError};
use nix::errno::Errno;

/// The slow start threshold as long as there is none, TCP_INFINITE_SSTHRESH in the kernel's include/net/tcp.h.
const INFINITE: u32 = 0x7fff_ffff;

// ANCHOR: info
/// Some of the fields of struct tcp_info, include/uapi/linux/tcp.h. It has grown over the years, and glibc's has stopped
/// growing: so the fields are found by their offsets. What an older kernel does not know is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Segments that are under way: sent and not acknowledged.
    pub unacked: u32,
    /// The slow start threshold, in segments. `None` until something is lost.
    pub ssthresh: Option<u32>,
    /// The congestion window, in segments.
    pub cwnd: u32,
    /// The peer's window, in bytes: what it is ready to take (Linux 5.4).
    pub peer_window: u32,
    /// Our own window, in bytes, as the peer knows it (Linux 6.2).
    pub window: u32,
}

pub fn tcp_info(connection: &OwnedFd) -> Result<Info, CallError> {
    let mut bytes = [0_u8; 256];
    let mut length = size_of_val(&bytes) as libc::socklen_t;
    // SAFETY: the kernel writes no more than `length` bytes, and those are ours.
    let outcome = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut bytes).cast(),
            &raw mut length,
        )
    };
    Errno::result(outcome).call("getsockopt TCP_INFO")?;
    let u32_at = |at: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte]));
    Ok(Info {
        unacked: u32_at(24),
        ssthresh: Some(u32_at(76)).filter(|&ssthresh| ssthresh < INFINITE),
        cwnd: u32_at(80),
        peer_window: u32_at(228),
        window: u32_at(232),
    })
}
// ANCHOR_END: info

/// How many bytes have come and were not read: SIOCINQ, tcp(7). TCP_INFO counts what has come as well, but to it a FIN is
/// a byte.
pub fn unread(connection: &OwnedFd) -> Result<usize, CallError> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one integer.
    let outcome = unsafe { libc::ioctl(connection.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    Errno::result(outcome).call("ioctl SIOCINQ")?;
    Ok(usize::try_from(count).unwrap_or_default())
}
