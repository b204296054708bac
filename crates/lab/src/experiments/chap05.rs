//! Chapter 5: reading and writing.

use std::fs::read_to_string;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, setsockopt, socket, sockopt};

use crate::net::sock_diag::Socket;
use crate::observe::Sample;
use crate::prelude::*;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    Experiment::new(
        "5/blocking-send",
        "one send of ten million bytes waits until the reader has taken all but what two buffers hold",
        blocking_send,
        "the reader is killed in place of being let go on",
    ),
    Experiment::new(
        "5/slow-reader",
        "a send that fits the buffer returns at once, however slow the reader is",
        slow_reader,
        "the send buffer is a small one",
    )
    .isolated(),
    Experiment::new(
        "5/readn-eof",
        "readn fills its block from pieces and across signals, and is short only where the stream ends",
        readn_eof,
        "the server calls read once for each block",
    ),
    Experiment::new(
        "5/buffer-sizes",
        "Linux doubles the size that is asked for, and the larger the send buffer, the longer the queue",
        buffer_sizes,
        "the clients ask for no size",
    )
    .isolated(),
    Experiment::new(
        "5/urgent",
        "an urgent byte is an exceptional condition, and is read before and apart from the stream",
        urgent,
        "the byte is sent as ordinary data",
    ),
];

/// Both ends of the connection to the server, as the kernel sees them at one moment.
struct Ends {
    writer: Socket,
    reader: Socket,
}

impl Ends {
    fn now(host: &Host) -> Option<Self> {
        let sockets = host.sockets().ok()?;
        let live = |socket: &&Socket| socket.info.is_some() && socket.state != TcpState::Listen;
        let writer = sockets.iter().filter(live).find(|socket| socket.remote.port() == PORT)?;
        let reader = sockets.iter().filter(live).find(|socket| socket.local.port() == PORT)?;
        Some(Self { writer: writer.clone(), reader: reader.clone() })
    }

    /// How many bytes the kernel has taken from the writing program. The SYN counts as one acknowledged byte.
    fn accepted(&self) -> u64 {
        let acknowledged = self.writer.info.map_or(0, |info| info.bytes_acked.saturating_sub(1));
        acknowledged + u64::from(self.writer.send_queue)
    }

    /// How many bytes the reading program has taken from the kernel.
    fn taken(&self) -> u64 {
        taken(&self.reader)
    }

    /// The size of both buffers together.
    fn buffers(&self) -> u64 {
        let send = self.writer.memory.map_or(0, |memory| memory.send_buffer);
        let receive = self.reader.memory.map_or(0, |memory| memory.receive_buffer);
        u64::from(send) + u64::from(receive)
    }

    /// Nothing will move before the reader does: its window is closed and the writer has more.
    fn full(&self) -> bool {
        matches!(self.writer.timer, Timer::ZeroWindowProbe(_))
    }
}
