//! What the application does: one value for each connection, and the calls that it gets.

use std::convert::Infallible;
use std::fmt;

use nix::errno::Errno;

use crate::{Input, TcpConnection};

/// A connection's side of the application. Each connection has a value of this type, made when it is accepted; all calls
/// come from the thread of the connection's loop, one at a time, so that nothing in it needs a lock.
///
/// A loop has one type of handler, known at compile time: the calls are direct ones, and can be inlined. Where one loop
/// serves several protocols, the handler is an enum.
///
/// A call must not block, nor compute for long: every other connection of the loop waits for it. Long work goes to
/// [`Workers`](crate::Workers), see [`TcpConnection::compute`].
pub trait Handler: Sized + 'static {
    /// In this protocol the peer speaks first, and mostly at once. A connection that was accepted is then read from before it is
    /// registered with the dispatcher. One that is answered and closed by that never has to be registered. If the peer had
    /// nothing to say yet, it was a read in vain.
    const PEER_SPEAKS_FIRST: bool = false;

    /// The connection is there, and can be used.
    fn connected(&mut self, connection: &mut TcpConnection<Self>) {
        let _ = connection;
    }

    /// Something has arrived. `input` is all that was not consumed so far, in one piece; what this call does not
    /// consume is offered again, with more behind it, when more has come.
    fn message(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input);

    /// Everything that was sent is with the kernel; so it can be sent more without filling memory.
    fn write_complete(&mut self, connection: &mut TcpConnection<Self>) {
        let _ = connection;
    }

    /// The peer has ended its direction: nothing more will arrive. `input` is what was never consumed, perhaps a message
    /// that was cut off. The other direction works on: by default, what is queued or being computed is still sent.
    fn input_ended(&mut self, connection: &mut TcpConnection<Self>, input: &mut Input) {
        let _ = input;
        connection.shutdown();
    }

    /// A time set on the connection is up. By default it is closed.
    fn timeout(&mut self, connection: &mut TcpConnection<Self>, which: Timeout) {
        let _ = which;
        connection.end(End::TimedOut);
    }

    /// The server stops. By default a quiet connection is closed, and another one when what is queued or being computed has
    /// been sent; a handler with a request in flight may answer that first. After the server's deadline every connection
    /// is closed.
    fn stopping(&mut self, connection: &mut TcpConnection<Self>) {
        match connection.is_quiet() {
            true => connection.close_when_sent(),
            false => connection.shutdown(),
        }
    }

    /// The connection has ended; this is the last call. What is sent now goes nowhere.
    fn closed(&mut self, connection: &mut TcpConnection<Self>, end: End) {
        let _ = (connection, end);
    }
}

/// For a loop that has sources of its own and no connections: `EventLoop<Infallible>`.
impl Handler for Infallible {
    fn message(&mut self, _: &mut TcpConnection<Self>, _: &mut Input) {
        match *self {}
    }
}

/// Which time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// Nothing was received or sent for [`TcpConnection::set_idle`]. It starts again.
    Idle,
    /// The time of [`TcpConnection::set_deadline`].
    Deadline,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both directions ended in order, and all was sent.
    Finished,
    /// We closed it.
    Closed,
    /// The peer aborted it: a reset, or a write after the peer was gone (ECONNRESET, EPIPE).
    Reset,
    /// A time was up.
    TimedOut,
    /// The handler left more input unconsumed than [`Limits::input`](crate::Limits) allows.
    InputOverflow,
    /// More output was queued than [`Limits::output`](crate::Limits) allows.
    OutputOverflow,
    /// The loop ended.
    Stopped,
    /// A system call failed.
    Failed(Errno),
}

impl From<Errno> for End {
    fn from(error: Errno) -> Self {
        match error {
            Errno::ECONNRESET | Errno::EPIPE => Self::Reset,
            Errno::ETIMEDOUT => Self::TimedOut,
            error => Self::Failed(error),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("both directions ended"),
            Self::Closed => f.write_str("closed by us"),
            Self::Reset => f.write_str("reset by the peer"),
            Self::TimedOut => f.write_str("timed out"),
            Self::InputOverflow => f.write_str("too much unconsumed input"),
            Self::OutputOverflow => f.write_str("too much unsent output"),
            Self::Stopped => f.write_str("the loop ended"),
            Self::Failed(error) => f.write_str(error.desc()),
        }
    }
}
