//! Who is in the room, what has been said, and how much of it each of them has heard.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use common::io::{Received, receive};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};

/// The longest line, with its newline. Whoever says a longer one has to go.
pub const LONGEST: usize = 4096;

// ANCHOR: room
/// What has been said stands here once, however many are to hear it. Each user has a place in it; what everybody has heard
/// is forgotten.
#[derive(Debug)]
pub struct Room {
    lines: VecDeque<Line>,
    /// The number of the first line that is still here. Numbers go on for ever.
    first: u64,
    bytes: usize,
    /// Above so many bytes nobody is listened to, until the slowest has heard more.
    limit: usize,
}

#[derive(Debug)]
struct Line {
    from: SocketAddr,
    text: Vec<u8>,
}

/// Somebody in the room.
#[derive(Debug)]
pub struct User {
    pub socket: OwnedFd,
    pub address: SocketAddr,
    /// A line that has begun.
    input: Vec<u8>,
    /// They have said their last word, and hear the rest of what was said before.
    pub leaves: bool,
    /// The next line to hear, and how much of it has gone out.
    next: u64,
    sent: usize,
    /// Since when the kernel takes nothing more for them.
    pub deaf_since: Option<Instant>,
}
// ANCHOR_END: room

/// Why a user is no user any more.
#[derive(Debug, thiserror::Error)]
pub enum Gone {
    #[error("a line is longer than {LONGEST} bytes")]
    TooLong,
    #[error("{0}")]
    Failed(#[from] io::Error),
}

impl Room {
    pub fn new(limit: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            first: 0,
            bytes: 0,
            limit,
        }
    }

    /// Whether there is room for more, or the slowest has to hear something first.
    pub fn takes_more(&self) -> bool {
        self.bytes < self.limit
    }

    fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// Forgets what everybody has heard.
    pub fn forget(&mut self, users: &[User]) {
        let heard = users.iter().map(|user| user.next).min();
        while self.first < heard.unwrap_or(u64::MAX)
            && let Some(line) = self.lines.pop_front()
        {
            self.first += 1;
            self.bytes -= cost(&line.text);
        }
    }

    fn say(&mut self, from: SocketAddr, text: Vec<u8>) {
        self.bytes += cost(&text);
        self.lines.push_back(Line { from, text });
    }
}

/// What a line costs to keep. A line of one byte takes more than a byte.
fn cost(text: &[u8]) -> usize {
    text.len() + size_of::<Line>()
}

impl User {
    /// Somebody who hears what is said from now on.
    pub fn new(socket: OwnedFd, address: SocketAddr, room: &Room) -> Self {
        Self {
            socket,
            address,
            input: Vec::new(),
            leaves: false,
            next: room.end(),
            sent: 0,
            deaf_since: None,
        }
    }

    // ANCHOR: listen
    /// Reads once, and says in the room what has become whole by it. Returns the lines, for the record.
    pub fn speak(&mut self, room: &mut Room) -> Result<Vec<Vec<u8>>, Gone> {
        let mut buffer = [0; LONGEST];
        match receive(&self.socket, &mut buffer)? {
            Received::Data(length) => self.input.extend_from_slice(&buffer[..length]),
            Received::WouldBlock => {}
            Received::Reset => return Err(Gone::Failed(Errno::ECONNRESET.into())),
            Received::EndOfFile => {
                self.leaves = true;
                if !self.input.is_empty() {
                    self.input.push(b'\n'); // a last line without an end is a line too
                }
            }
        }
        let mut said = Vec::new();
        while let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
            let rest = self.input.split_off(end + 1);
            let line = std::mem::replace(&mut self.input, rest);
            if line.len() > LONGEST {
                return Err(Gone::TooLong);
            }
            room.say(self.address, line.clone());
            said.push(line);
        }
        match self.input.len() < LONGEST {
            true => Ok(said),
            false => Err(Gone::TooLong),
        }
    }
    // ANCHOR_END: listen

    /// Whether there is something for them to hear, once [`User::hear`] has sent what it could.
    pub fn waits(&self, room: &Room) -> bool {
        self.next < room.end()
    }

    // ANCHOR: hear
    /// Sends what was said since, as much of it as the kernel takes. Their own lines they have heard already.
    pub fn hear(&mut self, room: &Room) -> Result<(), Gone> {
        while let Some(line) = room.lines.get((self.next - room.first) as usize) {
            if line.from != self.address {
                let rest = &line.text[self.sent..];
                match send(self.socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
                    Ok(count) => {
                        self.sent += count;
                        self.deaf_since = None;
                    }
                    Err(Errno::EINTR) => continue,
                    Err(Errno::EAGAIN) => {
                        self.deaf_since.get_or_insert_with(Instant::now);
                        return Ok(());
                    }
                    Err(error) => return Err(Gone::Failed(error.into())),
                }
                if self.sent < line.text.len() {
                    continue; // the next call says EAGAIN, or takes more
                }
            }
            self.next += 1;
            self.sent = 0;
        }
        Ok(())
    }
    // ANCHOR_END: hear

    // ANCHOR: overwrite
    /// Leaps to the last line, whatever they had still to hear. Wrong on purpose: so does a server with one buffer for
    /// each user, which the next message overwrites.
    pub fn leap(&mut self, room: &Room) {
        if self.next < room.end() {
            self.next = room.end() - 1;
            self.sent = 0;
        }
    }
    // ANCHOR_END: overwrite
}
