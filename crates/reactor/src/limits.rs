//! The bounds of a connection.

use std::time::Duration;

/// What a connection may hold and how long it may take. They are those of its loop.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Unconsumed input, in bytes. A handler that leaves as much and waits for more loses the connection.
    pub input: usize,
    /// From so many unsent bytes on, nothing is read from the connection: a peer that does not read our answers cannot make
    /// us queue more of them.
    pub high_water: usize,
    /// Down to so many unsent bytes, then reading goes on.
    pub low_water: usize,
    /// Unsent bytes at which the connection is given up: the handler sends regardless of what it is told.
    pub output: usize,
    /// Jobs of one connection with the workers; with more, nothing is read from it until answers are back.
    pub jobs: usize,
    /// Time without a byte in either direction after which [`Handler::timeout`](crate::Handler::timeout) is called; `None`
    /// for never. A connection may set its own.
    pub idle: Option<Duration>,
    /// After a shutdown: time for the peer to take what is queued (it starts again with each byte that it takes), then
    /// time for it to end its direction.
    pub linger: Duration,
    /// After a shutdown: bytes of the peer's that are read and thrown away until the connection is closed.
    pub discard: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            input: 1024 * 1024,
            high_water: 64 * 1024,
            low_water: 16 * 1024,
            output: 16 * 1024 * 1024,
            jobs: 16,
            idle: None,
            linger: Duration::from_secs(10),
            discard: 1024 * 1024,
        }
    }
}
