//! The access log in the common log format: `127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] "GET / HTTP/1.1" 200 116`.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the lines go: a file, the standard output. Each batch of answers is one write, made by the loop itself: something
/// that blocks for long delays its connections.
#[derive(Clone)]
pub struct AccessLog(Arc<Mutex<Box<dyn Write + Send>>>);

impl AccessLog {
    /// Writes to `sink`.
    pub fn new(sink: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(sink))))
    }

    /// Writes whole lines. A log that cannot be written does not stop the server.
    pub(crate) fn write(&self, lines: &[u8]) {
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = sink.write_all(lines).and_then(|()| sink.flush());
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("AccessLog")
    }
}

/// Appends a line. `request` is the request line, or `-` where there was none that could be understood.
pub(crate) fn line(
    lines: &mut Vec<u8>,
    peer: Option<SocketAddr>,
    time: &str,
    request: &[&str],
    status: u16,
    bytes: u64,
) -> io::Result<()> {
    match peer {
        Some(peer) => write!(lines, "{}", peer.ip())?,
        None => write!(lines, "-")?,
    }
    write!(lines, " - - [{time}] \"")?;
    for (index, part) in request.iter().enumerate() {
        if index > 0 {
            lines.push(b' ');
        }
        for byte in part.bytes() {
            // A target is visible ASCII: these two are all that could be mistaken.
            match byte {
                b'"' | b'\\' => write!(lines, "\\x{byte:02x}")?,
                byte => lines.push(byte),
            }
        }
    }
    write!(lines, "\" {status} ")?;
    match bytes {
        0 => writeln!(lines, "-"),
        bytes => writeln!(lines, "{bytes}"),
    }
}
