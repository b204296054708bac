//! Three versions of a function that reads a line into a buffer of a fixed size.

use std::os::fd::OwnedFd;

use common::io::{Received, receive};
use common::{Call, CallError};
use nix::errno::Errno;

use crate::room::{PastTheEnd, Room};

/// Why there is no line, and will be none on this connection.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error("a line does not fit into {0} bytes together with its 0")]
    TooLong(usize),
    #[error("cut off after {0} bytes of a line")]
    CutOff(usize),
    #[error(transparent)]
    PastTheEnd(#[from] PastTheEnd),
    #[error(transparent)]
    Call(#[from] CallError),
}

/// The text's three versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A read for each byte. Forgets the 0.
    One,
    /// A read for up to 512 bytes. Forgets the 0.
    Two,
    /// A read for up to 512 bytes, and room for the 0.
    Three,
}

/// A connection, and what was read of it and not given out yet. That belongs to one connection and outlives each line: in
/// a variable of the function, all that follows the first line in the same read would be lost.
#[derive(Debug)]
pub struct LineReader<'a> {
    connection: &'a OwnedFd,
    version: Version,
    read: [u8; 512],
    next: usize,
    end: usize,
}

impl<'a> LineReader<'a> {
    pub fn new(connection: &'a OwnedFd, version: Version) -> Self {
        Self {
            connection,
            version,
            read: [0; 512],
            next: 0,
            end: 0,
        }
    }

    // ANCHOR: read_line
    /// Reads a line with its newline, and a 0 behind it as C's strings want it. Its length
    /// without the 0, or `None` at the end of file.
    pub fn read_line(&mut self, line: &mut Room) -> Result<Option<usize>, LineError> {
        // Versions 1 and 2 fill all of the buffer with the line. So where does the 0 go?
        let most = match self.version {
            Version::One | Version::Two => line.size(),
            Version::Three => line.size() - 1,
        };
        for length in 0..most {
            let Some(byte) = self.next_byte()? else {
                return match length {
                    0 => Ok(None),
                    _ => Err(LineError::CutOff(length)),
                };
            };
            line.put(length, byte)?;
            if byte == b'\n' {
                line.put(length + 1, 0)?;
                return Ok(Some(length + 1));
            }
        }
        Err(LineError::TooLong(line.size()))
    }

    fn next_byte(&mut self) -> Result<Option<u8>, CallError> {
        if self.next == self.end {
            let at_once = match self.version {
                Version::One => 1,
                Version::Two | Version::Three => self.read.len(),
            };
            let received = receive(self.connection, &mut self.read[..at_once]);
            self.end = match received.call("read")? {
                Received::Data(length) => length,
                Received::EndOfFile => return Ok(None),
                Received::Reset | Received::WouldBlock => {
                    return Err(Errno::ECONNRESET).call("read");
                }
            };
            self.next = 0;
        }
        self.next += 1;
        Ok(Some(self.read[self.next - 1]))
    }
    // ANCHOR_END: read_line
}

#[cfg(test)]
mod tests {
    use common::io::writen;
    use nix::unistd::pipe;

    use super::*;

    /// The lines of a stream into a buffer of ten bytes, and how it ended.
    fn lines(stream: &[u8], version: Version) -> (Vec<Vec<u8>>, String) {
        let (reader, writer) = pipe().unwrap();
        writen(&writer, stream).unwrap();
        drop(writer);
        let mut reader = LineReader::new(&reader, version);
        let mut room = Room::new(10, false).unwrap();
        let mut lines = Vec::new();
        loop {
            match reader.read_line(&mut room) {
                Ok(Some(length)) => {
                    assert_eq!(room.bytes()[length], 0);
                    lines.push(room.bytes()[..length].to_vec());
                }
                Ok(None) => return (lines, String::new()),
                Err(error) => return (lines, error.to_string()),
            }
        }
    }

    const ALL: [Version; 3] = [Version::One, Version::Two, Version::Three];

    /// The original forgot what it had read behind a line.
    #[test]
    fn e3_every_line_of_one_read_is_given_out() {
        for version in ALL {
            let three = [&b"one\n"[..], b"\n", b"two\0\xff\n"].map(<[u8]>::to_vec);
            let expected = (three.to_vec(), String::new());
            assert_eq!(lines(b"one\n\ntwo\0\xff\n", version), expected);
            let many = b"12345678\n".repeat(200); // more than one read has
            assert_eq!(lines(&many, version).0.concat(), many);
        }
    }

    /// The original returned 0 or -1 for each of them.
    #[test]
    fn e3_end_of_file_cut_off_and_too_long_differ() {
        for version in ALL {
            let (one, cut) = lines(b"one\ntw", version);
            assert_eq!(
                (one.len(), &cut[..]),
                (1, "cut off after 2 bytes of a line")
            );
            assert_eq!(lines(b"", version), (vec![], String::new()));
            let (none, long) = lines(&[b'x'; 1 << 14], version);
            let complaint = "a line does not fit into 10 bytes together with its 0";
            assert_eq!((none.len(), &long[..]), (0, complaint));
        }
    }

    #[test]
    fn e3_a_line_that_exactly_fits() {
        for version in ALL {
            let shorter = vec![b"01234567\n".to_vec()];
            assert_eq!(lines(b"01234567\n", version), (shorter, String::new()));
            let (none, complaint) = lines(b"012345678\n", version);
            let expected = match version {
                Version::Three => "a line does not fit into 10 bytes together with its 0",
                _ => "caught: a write to byte 10 of a buffer of 10 bytes",
            };
            assert_eq!((none.len(), &complaint[..]), (0, expected));
        }
    }
}
