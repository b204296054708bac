//! The system calls of a connection, with what the kernel's answers mean. All on non-blocking descriptors.

use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use common::{Call, CallError};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    MsgFlags, Shutdown, SockaddrLike, SockaddrStorage, getsockopt, recv, send, sockopt,
};

/// What a read brought. Nothing yet, the end and an error are three different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Data(usize),
    /// The peer has ended its direction.
    End,
    /// Nothing now.
    Blocked,
    /// The connection has failed.
    Failed(Errno),
}

/// recv(2): read(2) would go through the layer of files first, which costs 3 % of a short exchange.
#[inline]
pub fn read(fd: BorrowedFd, buffer: &mut [u8]) -> Read {
    loop {
        return match recv(fd.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(0) => Read::End,
            Ok(count) => Read::Data(count),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => Read::Blocked,
            Err(error) => Read::Failed(error),
        };
    }
}

/// How much the kernel took; nothing where it would have blocked.
pub type Written = Result<usize, Errno>;

#[inline]
fn written(mut call: impl FnMut() -> nix::Result<usize>) -> Written {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(0),
            outcome => return outcome,
        }
    }
}

/// send(2), without SIGPIPE whatever its disposition. `more`: something follows at once (MSG_MORE).
#[inline]
pub fn write(fd: BorrowedFd, data: &[u8], more: bool) -> Written {
    let mut flags = MsgFlags::MSG_NOSIGNAL;
    flags.set(MsgFlags::from_bits_retain(libc::MSG_MORE), more);
    written(|| send(fd.as_raw_fd(), data, flags))
}

/// sendfile(2): from the page cache to the socket, without passing through here. A peer that is gone raises SIGPIPE unless
/// that is ignored, as Rust has it: this call has no flag against it.
pub fn write_file(fd: BorrowedFd, file: BorrowedFd, offset: u64, length: usize) -> Written {
    written(|| {
        let mut from = offset as libc::off_t;
        // SAFETY: `from` is local and lives through the call.
        let count = unsafe { libc::sendfile(fd.as_raw_fd(), file.as_raw_fd(), &mut from, length) };
        Errno::result(count).map(|count| count as usize)
    })
}

/// shutdown(2) of our direction. It fails where the connection is gone already, which the next read tells.
pub fn end_output(fd: BorrowedFd) {
    let _ = nix::sys::socket::shutdown(fd.as_raw_fd(), Shutdown::Write);
}

/// Fetches and clears the error of a socket, SO_ERROR in socket(7).
pub fn pending_error(fd: BorrowedFd) -> Result<(), Errno> {
    match getsockopt(&fd, sockopt::SocketError)? {
        0 => Ok(()),
        error => Err(Errno::from_raw(error)),
    }
}

/// A connected, non-blocking socket, and the peer's address: `None` for a local socket.
pub type Accepted = (OwnedFd, Option<SocketAddr>);

/// accept4(2) with the peer's address in the same call.
pub fn accept(listener: BorrowedFd) -> Result<Accepted, Errno> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let place = address.as_mut_ptr().cast::<libc::sockaddr>();
    // SAFETY: the address has room for `length` bytes, and both live through the call.
    let raw = unsafe { libc::accept4(listener.as_fd().as_raw_fd(), place, &mut length, flags) };
    let raw = Errno::result(raw)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: the storage was zeroed and the kernel filled in what it knows.
    let peer = unsafe { SockaddrStorage::from_raw(address.as_ptr().cast(), Some(length)) };
    let peer = peer.as_ref().and_then(common::address::from_kernel);
    Ok((socket, peer))
}

/// Sets O_NONBLOCK and leaves the other flags alone, fcntl(2).
pub fn make_non_blocking(fd: BorrowedFd) -> Result<(), CallError> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).call("fcntl F_GETFL")?);
    if !flags.contains(OFlag::O_NONBLOCK) {
        fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).call("fcntl F_SETFL")?;
    }
    Ok(())
}
