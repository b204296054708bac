//! The format of a message: a header that says how long the body is, then the body.

use std::os::fd::OwnedFd;

use common::io::{Filled, readn};
use common::{Call, CallError};

// ANCHOR: wire
/// Two numbers in network order: the length of the body, and the type. "good\n" is
/// 00 00 00 05  00 00 00 01  67 6f 6f 64 0a.
pub const HEADER: usize = 4 + 4;

/// The longest body, its newline included.
pub const LONGEST: u32 = 128;

/// The type that the client gives its messages. The server takes any.
pub const TEXT: u32 = 1;

/// The header of a message. `to_be_bytes` knows this machine's order, as htonl(3) does.
pub fn header(length: u32, kind: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&length.to_be_bytes());
    header[4..].copy_from_slice(&kind.to_be_bytes());
    header
}
// ANCHOR_END: wire

/// A message that has come whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: u32,
    pub body: Vec<u8>,
}

/// Why there is no message, and can be none any more: after each of these nobody knows where the next one begins.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("a message of {announced} bytes is announced, the limit is {limit}")]
    TooLong { announced: u32, limit: u32 },
    #[error("cut off after {came} of the {of} bytes of a {part}")]
    CutOff {
        part: &'static str,
        came: usize,
        of: usize,
    },
    #[error(transparent)]
    Call(#[from] CallError),
}

// ANCHOR: read_message
/// Reads one message. `None` is the end of file between two messages, where it should be.
pub fn read_message(stream: &OwnedFd, limit: u32) -> Result<Option<Message>, MessageError> {
    let mut header = [0; HEADER];
    match readn(stream, &mut header).call("read")? {
        Filled::Full => {}
        Filled::EndOfFile => return Ok(None),
        Filled::CutOff(came) => return Err(cut_off("header", came, HEADER)),
    }
    let [a, b, c, d, rest @ ..] = header;
    let (announced, kind) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(rest));
    // Before anything is allocated or waited for: four bytes of the peer's must not decide
    // about our memory.
    if announced > limit {
        return Err(MessageError::TooLong { announced, limit });
    }
    let body = read_body(stream, announced as usize)?;
    Ok(Some(Message { kind, body }))
}

/// Reads a body. The length is only a promise, whatever the limit: memory grows with what
/// has come.
fn read_body(stream: &OwnedFd, length: usize) -> Result<Vec<u8>, MessageError> {
    const STEP: usize = 4096;
    let mut body = Vec::new();
    while body.len() < length {
        let before = body.len();
        body.resize(length.min(before + STEP), 0);
        let came = match readn(stream, &mut body[before..]).call("read")? {
            Filled::Full => continue,
            Filled::EndOfFile => before,
            Filled::CutOff(more) => before + more,
        };
        return Err(cut_off("body", came, length));
    }
    Ok(body)
}
// ANCHOR_END: read_message

fn cut_off(part: &'static str, came: usize, of: usize) -> MessageError {
    MessageError::CutOff { part, came, of }
}

#[cfg(test)]
mod tests {
    use common::io::writen;
    use nix::unistd::pipe;

    use super::*;

    fn read_from(content: &[u8], limit: u32) -> Result<Option<Message>, String> {
        let (reader, writer) = pipe().unwrap();
        writen(&writer, content).unwrap();
        drop(writer);
        read_message(&reader, limit).map_err(|error| error.to_string())
    }

    /// The original left the type in the order of the machine.
    #[test]
    fn e3_length_and_type_in_network_order() {
        assert_eq!(header(5, TEXT), [0, 0, 0, 5, 0, 0, 0, 1]);
        assert_eq!(header(0x0102_0304, 0x0506_0708), [1, 2, 3, 4, 5, 6, 7, 8]);
        let message = read_from(b"\0\0\0\x05\0\0\0\x01good\n", 128)
            .unwrap()
            .unwrap();
        assert_eq!((message.kind, &message.body[..]), (1, &b"good\n"[..]));
    }

    /// The original returned 0 for all three.
    #[test]
    fn e3_empty_cut_off_and_end_of_file_differ() {
        assert_eq!(read_from(b"", 128), Ok(None));
        let empty = Message {
            kind: 1,
            body: Vec::new(),
        };
        assert_eq!(read_from(b"\0\0\0\0\0\0\0\x01", 128), Ok(Some(empty)));
        let cut = read_from(b"\0\0\0\x05\0\0\0", 128).unwrap_err();
        assert_eq!(cut, "cut off after 7 of the 8 bytes of a header");
        let cut = read_from(b"\0\0\0\x05\0\0\0\x01", 128).unwrap_err();
        assert_eq!(cut, "cut off after 0 of the 5 bytes of a body");
        let cut = read_from(b"\0\0\0\x05\0\0\0\x01good", 128).unwrap_err();
        assert_eq!(cut, "cut off after 4 of the 5 bytes of a body");
    }

    #[test]
    fn a_body_is_read_in_steps() {
        let body: Vec<u8> = (0..20_000_u32).map(|number| number as u8).collect();
        let whole = [&header(20_000, 7)[..], &body].concat();
        assert_eq!(
            read_from(&whole, u32::MAX),
            Ok(Some(Message { kind: 7, body }))
        );
        let cut = read_from(&whole[..10_000], u32::MAX).unwrap_err();
        assert_eq!(cut, "cut off after 9992 of the 20000 bytes of a body");
        let cut = read_from(&whole[..HEADER + 4096], u32::MAX).unwrap_err();
        assert_eq!(cut, "cut off after 4096 of the 20000 bytes of a body");
    }

    #[test]
    fn a_length_above_the_limit_is_refused_at_once() {
        let refused = read_from(b"\0\0\0\x81\0\0\0\x01", 128).unwrap_err();
        assert_eq!(
            refused,
            "a message of 129 bytes is announced, the limit is 128"
        );
        let refused = read_from(b"\xff\xff\xff\xff\0\0\0\x01", 128).unwrap_err();
        assert!(
            refused.starts_with("a message of 4294967295 bytes"),
            "{refused}"
        );
    }
}
