//! The bounds of a request and of a connection. Every one has a default that suits a public server of small documents.

use std::time::Duration;

/// What a client may send, and how long it may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the request line; 414 above. RFC 9112 section 3 asks for 8 000 at least.
    pub request_line: usize,
    /// Bytes of the header, and of the trailer; 431 above.
    pub header: usize,
    /// Fields in the header; 431 above.
    pub fields: usize,
    /// Bytes of a body; 413 above. It lies in memory when the handler is called.
    pub body: usize,
    /// Time from the first byte of a request to the end of its header; 408 after it.
    pub header_time: Duration,
    /// Time from there to the end of its body; 408 after it.
    pub body_time: Duration,
    /// Time without a byte between two requests, after which the connection is closed; and time without any progress of a
    /// client that does not read our answer.
    pub idle: Duration,
    /// Connections at the same time; 503 above.
    pub connections: usize,
    /// Requests of one connection that are answered before other connections have their turn.
    pub batch: usize,
    /// Bytes of answers that are gathered for one write, and from which on no further request is looked at until the client
    /// has taken them. A single answer may be larger.
    pub output: usize,
    /// Time for the client to read what was said before a close, RFC 9112 section 9.6.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line: 8 * 1024,
            header: 16 * 1024,
            fields: 100,
            body: 1024 * 1024,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            connections: 10_000,
            batch: 64,
            output: 64 * 1024,
            linger: Duration::from_secs(2),
        }
    }
}
