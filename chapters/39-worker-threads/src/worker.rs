//! The worker threads: they read, answer and send, and never wait for a client.

use std::fmt;
use std::thread::sleep;

use common::io::Received;
use common::text::printable;
use common::{Call, CallError, complain};

use crate::connection::{CHUNK, Connection};
use crate::reactor_server::Mistake;
use crate::shared::{Request, Shared};
use crate::stamp::stamp;

/// What a connection waits for after a worker's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// For more from its client; there may be some already.
    Read,
    /// For more from its client; there is none now.
    Idle,
    /// For room to send.
    Write,
    /// For nothing.
    Close,
}

/// Longer texts are counted and not shown.
const SHOWN: usize = 64;

// ANCHOR: work
/// One request after the other, of any client. Whatever goes wrong with a client ends that client.
pub fn work(shared: &Shared, number: u16) {
    let worker = Worker { shared, number };
    while let Some(Request { id, mut connection }) = shared.requests.pop() {
        let next = worker.turn(&mut connection).unwrap_or_else(|error| {
            complain!(
                "Error: {}: {:#}",
                connection.address,
                anyhow::Error::new(error)
            );
            Next::Close
        });
        shared.give_back(id, connection, next);
    }
}
// ANCHOR_END: work

struct Worker<'a> {
    shared: &'a Shared,
    number: u16,
}

impl Worker<'_> {
    // ANCHOR: turn
    /// Sends what waits to be sent; if nothing does, reads and answers. As long as there is something to send nothing is read:
    /// a client that does not read its answers can ask for no more of them.
    fn turn(&self, connection: &mut Connection) -> Result<Next, CallError> {
        if connection.waits_to_send() {
            let next = self.send(connection)?;
            if next == Next::Close || !self.shared.makes(Mistake::BothDirections) {
                return Ok(next);
            }
        }
        let mut chunk = [0; CHUNK];
        let text = match connection.receive(&mut chunk).call("read")? {
            Received::Data(_) if connection.ending => return Ok(Next::Read),
            Received::Data(length) => &chunk[..length],
            Received::WouldBlock => return Ok(Next::Idle),
            Received::EndOfFile => return Ok(self.input_ended(connection)),
            Received::Reset => {
                self.tell(format_args!("client reset: {}", connection.address));
                return Ok(Next::Close);
            }
        };
        self.tell_received(text);
        sleep(self.shared.pause); // stands for the work that an answer takes elsewhere
        connection.answer(text, &stamp()?);
        match self.shared.write_first {
            true => self.send(connection),
            false => Ok(Next::Write),
        }
    }
    // ANCHOR_END: turn

    fn send(&self, connection: &mut Connection) -> Result<Next, CallError> {
        let count = connection.send().call("send")?;
        self.tell(format_args!("send bytes: {count}"));
        if connection.waits_to_send() {
            return Ok(Next::Write);
        }
        if self.shared.makes(Mistake::CloseAtOnce) {
            self.tell(format_args!("closed: {}", connection.address));
            return Ok(Next::Close); // on purpose: there may be something unread
        }
        Ok(match connection.input_ended {
            true => Next::Close,
            false => Next::Read,
        })
    }

    fn input_ended(&self, connection: &mut Connection) -> Next {
        connection.input_ended = true;
        self.tell(format_args!("client closed: {}", connection.address));
        match connection.waits_to_send() {
            true => Next::Write,
            false => Next::Close,
        }
    }

    fn tell_received(&self, text: &[u8]) {
        let length = text.len();
        match length <= SHOWN {
            true => {
                let text = printable(text.trim_ascii_end());
                self.tell(format_args!("received {length} bytes: {text}"));
            }
            false => self.tell(format_args!("received {length} bytes")),
        }
    }

    fn tell(&self, what: fmt::Arguments) {
        let number = self.number;
        self.shared
            .tell(format_args!("worker thread {number}: {what}"));
    }
}
