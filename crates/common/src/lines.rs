//! Lines from a descriptor that select, poll or epoll waits for.
//!
//! `std::io::stdin` reads ahead into a buffer of its own, and select(2) does not see that buffer: of two lines that
//! arrive in one read, the second would wait until the user types a third. Here the buffer is the caller's, and every
//! line in it is given out before the next wait.

use std::io;
use std::os::fd::AsFd;

use crate::io::{Received, receive};

/// More than anybody types, in bytes.
const LONGEST: usize = 1 << 24;

/// Bytes read and not yet given out as lines.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// How many of them have been searched for a newline: a long line is not searched again with each read.
    searched: usize,
    ended: bool,
}

impl LineBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// One read(2), when the descriptor is readable. At end of file the last line counts though no newline ends it. A line
    /// that does not come to an end is an error: a stranger's must not fill the memory.
    pub fn fill(&mut self, fd: impl AsFd) -> io::Result<Received> {
        if self.searched > LONGEST {
            let what = format!("a line of more than {LONGEST} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut chunk = [0; 4096];
        let received = receive(fd, &mut chunk)?;
        match received {
            Received::Data(count) => self.bytes.extend_from_slice(&chunk[..count]),
            Received::EndOfFile => self.ended = true,
            Received::WouldBlock | Received::Reset => {}
        }
        Ok(received)
    }

    /// The next line, without its newline. `None` when the rest is not a line yet.
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        let unsearched = &self.bytes[self.searched..];
        if let Some(newline) = unsearched.iter().position(|&byte| byte == b'\n') {
            let mut line: Vec<u8> = self.bytes.drain(..=self.searched + newline).collect();
            line.pop();
            self.searched = 0;
            return Some(line);
        }
        self.searched = self.bytes.len();
        (self.ended && !self.bytes.is_empty()).then(|| {
            self.searched = 0;
            std::mem::take(&mut self.bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd;

    #[test]
    fn a_line_without_end_is_an_error() {
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let mut lines = LineBuffer::new();
        let error = loop {
            match lines.fill(&zeros) {
                Ok(_) => assert_eq!(lines.next_line(), None),
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), "a line of more than 16777216 bytes");
        assert!(lines.bytes.len() < 2 * LONGEST);
    }

    /// Two lines in one read are both given out; the last one needs no newline.
    #[test]
    fn e3_two_lines_in_one_read() {
        let (reader, writer) = unistd::pipe().unwrap();
        unistd::write(&writer, b"one\ntwo\n\nthr").unwrap();
        let mut lines = LineBuffer::new();
        assert_eq!(lines.fill(&reader).unwrap(), Received::Data(12));
        assert_eq!(lines.next_line().unwrap(), b"one");
        assert_eq!(lines.next_line().unwrap(), b"two");
        assert_eq!(lines.next_line().unwrap(), b"");
        assert_eq!(lines.next_line(), None);
        drop(writer);
        assert_eq!(lines.fill(&reader).unwrap(), Received::EndOfFile);
        assert_eq!(lines.next_line().unwrap(), b"thr");
        assert_eq!(lines.next_line(), None);
    }
}
