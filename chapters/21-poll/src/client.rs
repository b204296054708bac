//! One client of the two servers, and how it came.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use common::io::{Received, receive};
use common::{CallError, complain, say, tcp};
use libc::{POLLIN, POLLOUT, pollfd};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};

use crate::pollfd::{FREE, entry};

/// How long to leave the listening socket alone when there are no descriptors for more clients.
pub const PAUSE: Duration = Duration::from_millis(100);

/// How many clients are taken in one round. Those who are here already want their turn, too.
pub const AT_ONCE: usize = 64;

/// The next client that waits, if one does. Where there is no descriptor for it, accept(2) would fail again at once, and the
/// listening socket stays readable: so its entry becomes one that poll passes over.
pub fn next_client(
    listener: &OwnedFd,
    entry: &mut pollfd,
) -> Result<Option<(OwnedFd, SocketAddr)>, CallError> {
    match tcp::accept_ready(listener) {
        Err(error) if error.is_shortage() => {
            complain!("Error: {:#}", anyhow::Error::new(error));
            *entry = FREE;
            Ok(None)
        }
        accepted => accepted,
    }
}

/// A connection, and the part of its answer that the kernel had no room for. An idle one holds no buffer.
pub struct Client {
    socket: OwnedFd,
    address: SocketAddr,
    unsent: Vec<u8>,
    gone: bool,
}

impl Client {
    pub fn new(socket: OwnedFd, address: SocketAddr) -> Self {
        Self {
            socket,
            address,
            unsent: Vec::new(),
            gone: false,
        }
    }

    pub fn entry(&self) -> pollfd {
        entry(&self.socket, self.events())
    }

    // ANCHOR: events
    /// What poll is to be asked for. A client that does not read its answers is not read from any more: what it sends stays
    /// in the kernel's buffers until they are full, and then with the client. So `unsent` is never more than one message.
    pub fn events(&self) -> i16 {
        match self.unsent.is_empty() {
            true => POLLIN,
            false => POLLOUT, // a socket is writable nearly always: never ask for it with nothing to write
        }
    }
    // ANCHOR_END: events

    /// Whether it has ended, in one way or another.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    // ANCHOR: serve
    /// Something has happened to it: POLLIN or POLLOUT, or unasked POLLERR or POLLHUP. What it was, the call tells that we
    /// wanted to make anyway. An error is one of our own output: the client's end only it.
    pub fn serve(&mut self) -> anyhow::Result<()> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(&unsent);
            return Ok(());
        }
        let mut message = [0; 16384];
        match receive(&self.socket, &mut message) {
            Ok(Received::Data(length)) => self.send(&message[..length]),
            Ok(Received::EndOfFile) => {
                self.gone = true;
                say!("client closed {}", self.address)?;
            }
            Ok(Received::WouldBlock) => {}
            Ok(Received::Reset) => self.fails("read", Errno::ECONNRESET.into()),
            Err(error) => self.fails("read", error),
        }
        Ok(())
    }

    /// Sends what fits, and keeps the rest for when there is room.
    fn send(&mut self, data: &[u8]) {
        match send(self.socket.as_raw_fd(), data, MsgFlags::MSG_NOSIGNAL) {
            Ok(count) => self.unsent = data[count..].to_vec(),
            Err(Errno::EAGAIN | Errno::EINTR) => self.unsent = data.to_vec(),
            Err(error) => self.fails("send", error.into()),
        }
    }
    // ANCHOR_END: serve

    fn fails(&mut self, call: &str, error: io::Error) {
        self.gone = true;
        complain!("client {}: {call}: {error}", self.address);
    }
}
