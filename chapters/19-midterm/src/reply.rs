//! The format of a reply: how many bytes it has, in decimal, a newline, and those bytes.

/// The longest reply that the client takes.
pub const LONGEST: usize = 64 << 20;

/// The digits of a length, and its newline, have no more bytes than this.
const HEADER: usize = 20;

// ANCHOR: frame
/// "6\n/home\n": a client knows where the reply ends, and a person at a telnet(1) can read it.
pub fn frame(body: &[u8]) -> Vec<u8> {
    [format!("{}\n", body.len()).as_bytes(), body].concat()
}
// ANCHOR_END: frame

/// Why what has come is not a reply.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It does not begin with digits and a newline.
    #[error("not the length of a reply: {0:?}")]
    NoLength(String),
    /// More than the client takes.
    #[error("a reply of {0} bytes is announced, the limit is {LONGEST}")]
    TooLong(usize),
}

// ANCHOR: replies
/// What has come of the replies. Nothing is allocated for a length that is only announced.
#[derive(Debug, Default)]
pub struct Replies {
    bytes: Vec<u8>,
}

impl Replies {
    /// Takes what one read has brought: a part of a reply, or several.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next reply that is whole.
    pub fn next_reply(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let head = &self.bytes[..self.bytes.len().min(HEADER)];
        let Some(newline) = head.iter().position(|&byte| byte == b'\n') else {
            let digits = head.iter().all(u8::is_ascii_digit) && head.len() < HEADER;
            return if digits {
                Ok(None)
            } else {
                Err(no_length(head))
            };
        };
        let length = parse(&head[..newline]).ok_or_else(|| no_length(&head[..newline]))?;
        if length > LONGEST {
            return Err(FrameError::TooLong(length));
        }
        let end = newline + 1 + length;
        if self.bytes.len() < end {
            return Ok(None);
        }
        let rest = self.bytes.split_off(end);
        let mut reply = std::mem::replace(&mut self.bytes, rest);
        reply.drain(..=newline);
        Ok(Some(reply))
    }
}
// ANCHOR_END: replies

impl Replies {
    /// How many bytes have come of a reply that is not whole.
    pub fn unfinished(&self) -> usize {
        self.bytes.len()
    }
}

/// Digits and nothing else: `parse` alone would take "+6".
fn parse(digits: &[u8]) -> Option<usize> {
    let text = str::from_utf8(digits).ok()?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn no_length(bytes: &[u8]) -> FrameError {
    FrameError::NoLength(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_come_in_any_pieces() {
        let stream = [frame(b"/home\n"), frame(b""), frame(b"a\n7\nb\n")].concat();
        assert_eq!(stream, b"6\n/home\n0\n6\na\n7\nb\n");
        for size in 1..=stream.len() {
            let (mut replies, mut found) = (Replies::default(), Vec::new());
            for piece in stream.chunks(size) {
                replies.push(piece);
                while let Some(reply) = replies.next_reply().unwrap() {
                    found.push(reply);
                }
            }
            assert_eq!(found, [&b"/home\n"[..], b"", b"a\n7\nb\n"], "{size}");
            assert_eq!(replies.unfinished(), 0);
        }
    }

    #[test]
    fn garbage_and_lies_are_refused() {
        let refused = |stream: &[u8]| {
            let mut replies = Replies::default();
            replies.push(stream);
            replies.next_reply().unwrap_err()
        };
        for garbage in [
            &b"\n"[..],
            b"+6\n/home\n",
            b"-1\n",
            b"HTTP/1.1 200 OK\r\n",
            b"\xff",
            b"99999999999999999999",
        ] {
            assert!(
                matches!(refused(garbage), FrameError::NoLength(_)),
                "{garbage:?}"
            );
        }
        assert_eq!(refused(b"67108865\n"), FrameError::TooLong(67_108_865));
    }
}
