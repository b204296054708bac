//! One client of epoll01.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use common::io::{Received, receive};
use common::text::rot13;
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{MsgFlags, send};

/// A connection, and the part of its answer that the kernel had no room for. An idle one holds no buffer.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    unsent: Vec<u8>,
    /// What epoll has been told to watch for.
    pub interest: EpollFlags,
}

/// How a turn of a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is nothing more to read now.
    Drained,
    /// The peer does not read its answers. Until it does, nothing more is read from it: that bounds our memory.
    Full,
    /// There may be more, but others want their turn, too.
    Over,
    /// The peer has ended, and has all its answers.
    Closed,
    /// The peer has aborted.
    Reset,
}

impl Connection {
    /// A connection whose socket does not block.
    pub fn new(socket: OwnedFd, interest: EpollFlags) -> Self {
        Self {
            socket,
            unsent: Vec::new(),
            interest,
        }
    }

    // ANCHOR: serve
    /// Sends what is left of the last answer, then reads and answers, at most `reads` times.
    pub fn serve(&mut self, reads: usize) -> io::Result<Turn> {
        let unsent = std::mem::take(&mut self.unsent);
        if let Some(turn) = self.send(&unsent)? {
            return Ok(turn);
        }
        let mut chunk = [0; 16384];
        for _ in 0..reads {
            let length = match receive(&self.socket, &mut chunk)? {
                Received::Data(length) => length,
                Received::WouldBlock => return Ok(Turn::Drained),
                Received::EndOfFile => return Ok(Turn::Closed),
                Received::Reset => return Ok(Turn::Reset),
            };
            let answer = &mut chunk[..length];
            answer.iter_mut().for_each(|byte| *byte = rot13(*byte));
            if let Some(turn) = self.send(answer)? {
                return Ok(turn);
            }
        }
        Ok(Turn::Over)
    }

    /// Sends as much as the kernel takes and keeps the rest. `None` if there is no rest.
    fn send(&mut self, mut data: &[u8]) -> nix::Result<Option<Turn>> {
        while !data.is_empty() {
            match send(self.socket.as_raw_fd(), data, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => data = &data[count..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    self.unsent = data.to_vec();
                    return Ok(Some(Turn::Full));
                }
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(Some(Turn::Reset)),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
    // ANCHOR_END: serve
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
