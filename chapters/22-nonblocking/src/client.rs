//! One client of the server.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use common::{CallError, complain, say, tcp};
use nix::errno::Errno;

use crate::buffer::Buffer;

/// A connection whose calls never wait, and its buffer.
pub struct Client {
    socket: OwnedFd,
    name: String,
    buffer: Buffer,
    /// It has said that nothing more will come. What it has asked before is still answered.
    ended: bool,
    /// To be closed.
    pub gone: bool,
    /// The course's way: an answer only once a line has ended, and no bounds on reading.
    careless: bool,
    line_ended: bool,
}

impl Client {
    /// A client that may have gone before it was accepted, so that the kernel does not know its address any more.
    pub fn new(socket: OwnedFd, careless: bool) -> Result<Self, CallError> {
        let name = match tcp::peer_address(&socket) {
            Ok(address) => address.to_string(),
            Err(error) if error.errno() == Some(Errno::ENOTCONN) => "(gone)".into(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            socket,
            name,
            buffer: Buffer::new(),
            ended: false,
            gone: false,
            careless,
            line_ended: false,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    // ANCHOR: wants
    /// With a full buffer nothing is read: then the kernel's buffers fill, and in the end the client has to wait.
    pub fn wants_to_read(&self) -> bool {
        !self.ended && (self.careless || !self.buffer.is_full())
    }

    /// Asked after a write has been tried: the kernel had no room for all of it.
    pub fn wants_to_write(&self) -> bool {
        !self.buffer.is_empty() && self.may_answer()
    }
    // ANCHOR_END: wants

    fn may_answer(&self) -> bool {
        !self.careless || self.line_ended || self.ended
    }

    // ANCHOR: serve
    /// Reads and answers as much as is possible now.
    pub fn serve(&mut self) -> anyhow::Result<()> {
        if self.wants_to_read() {
            let outcome = match self.careless {
                false => self.buffer.fill(&self.socket),
                true => self
                    .buffer
                    .fill_carelessly(&self.socket, &mut self.line_ended),
            };
            match outcome {
                Ok(ended) => self.ended = ended,
                Err(error) => return self.fails("read", error),
            }
        }
        if self.wants_to_write()
            && let Err(error) = self.buffer.drain(&self.socket)
        {
            return self.fails("send", error);
        }
        if self.buffer.is_empty() {
            self.line_ended = false;
            if self.ended {
                self.gone = true;
                say!("client closed {}", self.name)?;
            }
        }
        Ok(())
    }
    // ANCHOR_END: serve

    fn fails(&mut self, call: &str, error: Errno) -> anyhow::Result<()> {
        self.gone = true;
        let error = std::io::Error::from(error);
        complain!("client {}: {call}: {error}", self.name);
        Ok(())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
