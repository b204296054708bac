//! What has come from a client and has not been sent back: one array of bytes, and two places in it.

use std::os::fd::{AsRawFd, OwnedFd};

use common::text::rot13;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

/// The course's MAX_LINE.
pub const CAPACITY: usize = 1024;

// ANCHOR: buffer
/// Question and answer in one: each byte is changed where it lies. What lies between the two places is an answer that has
/// not been sent yet.
#[derive(Debug)]
pub struct Buffer {
    bytes: [u8; CAPACITY],
    /// Where the next byte to be sent lies.
    read_index: usize,
    /// Where the next byte that comes will lie.
    write_index: usize,
}
// ANCHOR_END: buffer

impl Buffer {
    pub fn new() -> Self {
        Self {
            bytes: [0; CAPACITY],
            read_index: 0,
            write_index: 0,
        }
    }

    /// Nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.read_index == self.write_index
    }

    /// Nothing more can be read, before something is sent.
    pub fn is_full(&self) -> bool {
        self.write_index == CAPACITY
    }

    // ANCHOR: fill
    /// Reads until there is nothing more, or no more room. True once the peer has ended.
    pub fn fill(&mut self, socket: &OwnedFd) -> nix::Result<bool> {
        while !self.is_full() {
            match take(socket, &mut self.bytes[self.write_index..])? {
                Some(0) => return Ok(true),
                Some(count) => self.turn(count),
                None => break,
            }
        }
        Ok(false)
    }
    // ANCHOR_END: fill

    // ANCHOR: careless
    /// The course's way, on purpose: what does not fit is dropped. `line` is set when the end of a line has been read.
    pub fn fill_carelessly(&mut self, socket: &OwnedFd, line: &mut bool) -> nix::Result<bool> {
        let mut chunk = [0; CAPACITY];
        loop {
            match take(socket, &mut chunk)? {
                Some(0) => return Ok(true),
                Some(count) => {
                    *line |= chunk[..count].contains(&b'\n');
                    let room = &mut self.bytes[self.write_index..];
                    let kept = count.min(room.len());
                    room[..kept].copy_from_slice(&chunk[..kept]);
                    self.turn(kept);
                }
                None => return Ok(false),
            }
        }
    }
    // ANCHOR_END: careless

    /// So many bytes have come.
    fn turn(&mut self, count: usize) {
        for byte in &mut self.bytes[self.write_index..][..count] {
            *byte = rot13(*byte);
        }
        self.write_index += count;
    }

    // ANCHOR: drain
    /// Sends until nothing is left, or the kernel takes no more.
    pub fn drain(&mut self, socket: &OwnedFd) -> nix::Result<()> {
        while !self.is_empty() {
            let unsent = &self.bytes[self.read_index..self.write_index];
            match send(socket.as_raw_fd(), unsent, MsgFlags::MSG_NOSIGNAL) {
                Ok(count) => self.read_index += count, // perhaps only a part
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        // Everything is on its way: back to the beginning, where there is the most room.
        (self.read_index, self.write_index) = (0, 0);
        Ok(())
    }
    // ANCHOR_END: drain
}

// ANCHOR: take
/// One read. `None`: there is nothing now, and there may be later. `Some(0)`: there will never be anything again.
fn take(socket: &OwnedFd, room: &mut [u8]) -> nix::Result<Option<usize>> {
    loop {
        match recv(socket.as_raw_fd(), room, MsgFlags::empty()) {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::EAGAIN) => return Ok(None), // Linux has one number for it and EWOULDBLOCK
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}
// ANCHOR_END: take
