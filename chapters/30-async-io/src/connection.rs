//! What the proactor knows of a connection: which requests of it the kernel has, and which bytes are still to be sent.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::Fd;
use nix::errno::Errno;

use crate::pool::GROUP;

/// More than this waits for a peer that does not read: nothing is read from it for the time being.
const LIMIT: usize = 65_536;

/// Whether the kernel has a request to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Stopped,
    /// It has.
    Asked,
    /// It has, and is to give it up.
    CalledOff,
    /// There was no buffer for it.
    Starved,
}

/// Whether the kernel has a request to send: never more than one, for a short one must not be overtaken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    Nothing,
    /// Straight from the buffer in which the data came.
    Lent {
        buffer: u16,
        length: usize,
    },
    /// From the connection's own memory.
    Own,
}

/// A connection.
pub struct Connection {
    pub socket: OwnedFd,
    pub peer: SocketAddr,
    pub reading: Reading,
    pub sending: Sending,
    /// What is being sent from; with single shots also what is received into.
    pub own: Vec<u8>,
    /// Which part of `own` is still to be sent.
    pub sent: usize,
    pub end: usize,
    /// What has come while something was being sent.
    pub waiting: Vec<u8>,
    pub input_ended: bool,
    pub error: Option<Errno>,
}

impl Connection {
    pub fn new(socket: OwnedFd, peer: SocketAddr) -> Self {
        Self {
            socket,
            peer,
            reading: Reading::Stopped,
            sending: Sending::Nothing,
            own: Vec::new(),
            sent: 0,
            end: 0,
            waiting: Vec::new(),
            input_ended: false,
            error: None,
        }
    }

    fn fd(&self) -> Fd {
        Fd(self.socket.as_raw_fd())
    }

    // ANCHOR: receive
    /// A request to receive: until further notice, into buffers that the kernel picks when there is something to put into
    /// them; or once, into memory that lies here and waits.
    pub fn receive(&mut self, several: bool, size: usize) -> Entry {
        if several {
            return opcode::RecvMulti::new(self.fd(), GROUP).build();
        }
        self.own.resize(size, 0);
        opcode::Recv::new(self.fd(), self.own.as_mut_ptr(), size as u32).build()
    }
    // ANCHOR_END: receive

    // ANCHOR: send
    /// A request to send a lent buffer, at once or not at all: MSG_DONTWAIT. So the buffer is back after the next turn.
    pub fn send_now(&self, data: &[u8]) -> Entry {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | libc::MSG_WAITALL;
        opcode::Send::new(self.fd(), data.as_ptr(), data.len() as u32)
            .flags(flags)
            .build()
    }

    /// A request to send what is left of `own`, however long it takes: MSG_WAITALL makes the kernel go on after a short count.
    pub fn send_own(&self) -> Entry {
        let rest = &self.own[self.sent..self.end];
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        opcode::Send::new(self.fd(), rest.as_ptr(), rest.len() as u32)
            .flags(flags)
            .build()
    }
    // ANCHOR_END: send

    /// Takes what has come meanwhile as what is to be sent. False if there is none.
    pub fn takes_what_waits(&mut self) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        self.own.clear();
        std::mem::swap(&mut self.own, &mut self.waiting);
        (self.sent, self.end) = (0, self.own.len());
        true
    }

    /// Keeps what a short send has left of a lent buffer.
    pub fn keeps(&mut self, rest: &[u8]) {
        self.own.clear();
        self.own.extend_from_slice(rest);
        (self.sent, self.end) = (0, rest.len());
    }

    /// Whether more should be received now.
    pub fn wants_more(&self, several: bool) -> bool {
        let room = if several {
            self.waiting.len() < LIMIT
        } else {
            self.sending == Sending::Nothing
        };
        room && !self.input_ended && self.error.is_none()
    }

    /// Whether there is nothing left to do, and nothing left with the kernel.
    pub fn is_over(&self) -> bool {
        (self.input_ended || self.error.is_some())
            && matches!(self.reading, Reading::Stopped | Reading::Starved)
            && self.sending == Sending::Nothing
    }

    /// Whether something has to be done as soon as a quick send is done.
    pub fn is_in_a_hurry(&self) -> bool {
        let more = self.input_ended || self.error.is_some() || !self.waiting.is_empty();
        more && matches!(self.sending, Sending::Lent { .. })
    }
}
