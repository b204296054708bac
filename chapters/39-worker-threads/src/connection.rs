//! One client: its socket, the line it is in, and what has to go out to it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use common::io::{Received, receive};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};

/// How much is read at a time. With a stamp for each line, the answer to that is what a connection may hold: at most 36
/// times as much, for lines that are empty.
pub const CHUNK: usize = 4096;

// ANCHOR: connection
/// A connection is in the table, in the queue, or in the hands of one worker: whoever has it owns it, so it needs no lock.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    pub address: SocketAddr,
    /// The next byte begins a line, and the stamp goes before it.
    at_start: bool,
    /// What is to go out, and how much of it has gone. An idle connection holds nothing.
    output: Vec<u8>,
    sent: usize,
    /// The client has said that nothing will follow.
    pub input_ended: bool,
    /// We have said so: what still comes is read and thrown away.
    pub ending: bool,
}
// ANCHOR_END: connection

impl Connection {
    /// A connection whose socket does not block.
    pub fn new(socket: OwnedFd, address: SocketAddr) -> Self {
        Self {
            socket,
            address,
            at_start: true,
            output: Vec::new(),
            sent: 0,
            input_ended: false,
            ending: false,
        }
    }

    /// Whether something has to go out.
    pub fn waits_to_send(&self) -> bool {
        self.sent < self.output.len()
    }

    /// One read.
    pub fn receive(&mut self, chunk: &mut [u8; CHUNK]) -> io::Result<Received> {
        receive(&self.socket, chunk)
    }

    // ANCHOR: answer
    /// Puts an answer behind what has not gone out yet. A line may come in any number of pieces: its answer has one stamp.
    pub fn answer(&mut self, text: &[u8], stamp: &str) {
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            if self.at_start {
                self.output.extend_from_slice(stamp.as_bytes());
            }
            self.output.extend_from_slice(line);
            self.at_start = line.ends_with(b"\n");
        }
    }
    // ANCHOR_END: answer

    // ANCHOR: send
    /// Sends as much as the kernel takes, from the front; returns how many bytes that was.
    pub fn send(&mut self) -> io::Result<usize> {
        let before = self.sent;
        while self.waits_to_send() {
            let rest = &self.output[self.sent..];
            match send(self.socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let count = self.sent - before;
        if !self.waits_to_send() {
            (self.output, self.sent) = (Vec::new(), 0);
        }
        Ok(count)
    }
    // ANCHOR_END: send

    /// Tells the client that nothing will follow. Its own end is still to come, and what it says until then is not looked at:
    /// a close with something unread would be a reset, chapter 11, and the last answer could be lost.
    pub fn end(&mut self) -> io::Result<()> {
        self.ending = true;
        Ok(shutdown(self.socket.as_raw_fd(), Shutdown::Write)?)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
