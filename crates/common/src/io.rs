//! Reads and writes that deal with interruption and short counts: read(2), write(2), signal(7).
//!
//! End of file, a message that is cut off, a reset and "would block" are four different things. They are four
//! different values here.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{MsgFlags, send};
use nix::unistd;
use std::os::fd::AsRawFd;

use crate::call::{Call, CallError};

/// What one read(2) brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, at least one.
    Data(usize),
    /// The peer has said that nothing will follow (FIN).
    EndOfFile,
    /// Nothing there now; only from a non-blocking descriptor, or one with a timeout.
    WouldBlock,
    /// The peer has aborted the connection (RST). What was sent and not yet delivered is lost.
    Reset,
}

/// What reading a fixed number of bytes came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// All of it.
    Full,
    /// End of file after so many bytes, at least one and fewer than asked for: the message was cut off.
    CutOff(usize),
    /// End of file before the first byte: there was no further message.
    EndOfFile,
}

/// Makes reads and writes that cannot be done at once fail with EAGAIN, fcntl(2). The other flags stay as they are.
pub fn set_nonblocking(fd: impl AsFd) -> Result<(), CallError> {
    let flags = fcntl(&fd, FcntlArg::F_GETFL).call("fcntl F_GETFL")?;
    let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
    fcntl(&fd, FcntlArg::F_SETFL(flags)).call("fcntl F_SETFL")?;
    Ok(())
}

/// One read(2), repeated only when a signal interrupts it.
pub fn receive(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    loop {
        match unistd::read(&fd, buffer) {
            Ok(0) => return Ok(Received::EndOfFile),
            Ok(count) => return Ok(Received::Data(count)),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(Received::WouldBlock),
            Err(Errno::ECONNRESET) => return Ok(Received::Reset),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads until `buffer` is full or the peer has ended (UNP 3.9, `readn`). On a blocking descriptor; on a non-blocking
/// one the error is `WouldBlock`, and what had been read is lost.
pub fn readn(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Filled> {
    let mut filled = 0;
    while filled < buffer.len() {
        match unistd::read(&fd, &mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(Filled::EndOfFile),
            Ok(0) => return Ok(Filled::CutOff(filled)),
            Ok(count) => filled += count,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Filled::Full)
}

/// Writes all of `data` with write(2) (UNP 3.9, `writen`). A peer that is gone raises SIGPIPE, unless that is ignored.
pub fn writen(fd: impl AsFd, data: &[u8]) -> io::Result<()> {
    all(data, |rest| unistd::write(&fd, rest))
}

/// Sends all of `data` on a socket, without SIGPIPE whatever its disposition: the error is EPIPE alone.
pub fn send_all(fd: impl AsFd, data: &[u8]) -> io::Result<()> {
    all(data, |rest| {
        send(fd.as_fd().as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL)
    })
}

fn all(mut data: &[u8], write: impl Fn(&[u8]) -> nix::Result<usize>) -> io::Result<()> {
    while !data.is_empty() {
        match write(data) {
            Ok(count) => data = &data[count..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty message, a message that is cut off and end of file are told apart.
    #[test]
    fn e3_readn_tells_cut_off_from_end_of_file() {
        let (reader, writer) = unistd::pipe().unwrap();
        writen(&writer, b"abc").unwrap();
        drop(writer);
        let mut buffer = [0; 2];
        assert_eq!(readn(&reader, &mut []).unwrap(), Filled::Full);
        assert_eq!(readn(&reader, &mut buffer).unwrap(), Filled::Full);
        assert_eq!(readn(&reader, &mut buffer).unwrap(), Filled::CutOff(1));
        assert_eq!(readn(&reader, &mut buffer).unwrap(), Filled::EndOfFile);
    }

    #[test]
    fn e1_27_nonblocking_keeps_the_other_flags() {
        let (_reader, writer) = unistd::pipe().unwrap();
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_APPEND)).unwrap();
        set_nonblocking(&writer).unwrap();
        let flags = OFlag::from_bits_retain(fcntl(&writer, FcntlArg::F_GETFL).unwrap());
        assert!(flags.contains(OFlag::O_APPEND | OFlag::O_NONBLOCK));
    }

    #[test]
    fn a_closed_peer_is_an_error_and_no_signal() {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
        let flags = SockFlag::SOCK_CLOEXEC;
        let (left, right) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags).unwrap();
        drop(right);
        assert_eq!(
            send_all(&left, b"x").unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }
}
