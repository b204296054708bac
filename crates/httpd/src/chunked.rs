//! The chunked transfer coding, RFC 9112 section 7.1. The decoder takes the body in any pieces, a byte at a time if need be.

use crate::limits::Limits;
use crate::status::Refusal;
use crate::syntax::{TOKEN, VALUE, hexadecimal, is, span};

/// Bytes of chunk extensions in one body, white space before them included. Nobody uses them but attackers, who send
/// gigabytes in them.
const EXTENSIONS: usize = 1024;

/// Where the decoder stands. From [`State::Trailer`] on it is behind the last chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum State {
    /// In the size of a chunk, after so many digits.
    Size(u8),
    /// In white space after it.
    Blank,
    /// In an extension, which ends the line.
    Extension,
    /// After the CR of the line with the size.
    SizeEnd,
    /// In the data.
    Data,
    /// After the data: its CR.
    DataEnd,
    /// After that: the LF.
    DataLineFeed,
    /// At the start of a line of the trailer.
    Trailer,
    TrailerName,
    TrailerValue,
    /// After the CR of such a line.
    TrailerLineFeed,
    /// After the CR of the empty line at the end.
    Last,
    Done,
}

/// Decodes one body.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    /// The size so far, then what is left of the chunk.
    left: u64,
    extensions: usize,
    trailer: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Self {
            state: State::Size(0),
            left: 0,
            extensions: 0,
            trailer: 0,
        }
    }
}

impl Chunked {
    /// True when the last chunk and the trailer have passed.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what belongs to the body from the front of `bytes`, appends its content to `body`, and returns how many
    /// bytes were taken. The trailer's fields are checked and thrown away: merged into the header they could change what the
    /// request means (RFC 9112 section 7.1.2).
    pub fn decode(
        &mut self,
        bytes: &[u8],
        body: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<usize, Refusal> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Done => break,
                State::Data => {
                    let count = self.left.min((bytes.len() - at) as u64) as usize;
                    body.extend_from_slice(&bytes[at..at + count]);
                    at += count;
                    self.left -= count as u64;
                    if self.left == 0 {
                        self.state = State::DataEnd;
                    }
                }
                State::Extension => {
                    let count = span(&bytes[at..], VALUE);
                    self.take_extension(count)?;
                    at += count;
                    match bytes.get(at) {
                        None => {}
                        Some(b'\r') => {
                            at += 1;
                            self.state = State::SizeEnd;
                        }
                        Some(_) => return Err(Refusal::Chunk),
                    }
                }
                _ => {
                    at += 1;
                    self.state = self.step(byte, body.len(), limits)?;
                }
            }
        }
        Ok(at)
    }

    /// One byte of what is not data.
    fn step(&mut self, byte: u8, length: usize, limits: &Limits) -> Result<State, Refusal> {
        if self.state >= State::Trailer {
            self.trailer += 1;
            if self.trailer > limits.header {
                return Err(Refusal::TrailerTooLarge);
            }
        }
        let next = match (self.state, byte) {
            (State::Size(digits), _) => match (hexadecimal(byte), byte) {
                // Sixteen digits are 64 bits, and there is no overflow.
                (Some(digit), _) if digits < 16 => {
                    self.left = self.left << 4 | u64::from(digit);
                    State::Size(digits + 1)
                }
                (None, b'\r') if digits > 0 => State::SizeEnd,
                (None, b';') if digits > 0 => State::Extension,
                (None, b' ' | b'\t') if digits > 0 => State::Blank,
                _ => return Err(Refusal::Chunk),
            },
            // White space is allowed before a semicolon, and only there.
            (State::Blank, b';') => State::Extension,
            (State::Blank, b' ' | b'\t') => State::Blank,
            (State::SizeEnd, b'\n') if self.left == 0 => State::Trailer,
            (State::SizeEnd, b'\n') if self.left > (limits.body.saturating_sub(length)) as u64 => {
                return Err(Refusal::BodyTooLarge);
            }
            (State::SizeEnd, b'\n') => State::Data,
            (State::DataEnd, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => State::Size(0),
            (State::Trailer, b'\r') => State::Last,
            (State::Trailer | State::TrailerName, _) if is(byte, TOKEN) => State::TrailerName,
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLineFeed,
            (State::TrailerValue, _) if is(byte, VALUE) => State::TrailerValue,
            (State::TrailerLineFeed, b'\n') => State::Trailer,
            (State::Last, b'\n') => State::Done,
            _ => return Err(Refusal::Chunk),
        };
        if matches!(next, State::Blank | State::Extension) {
            self.take_extension(1)?;
        }
        Ok(next)
    }

    /// So many bytes stood behind a size.
    fn take_extension(&mut self, count: usize) -> Result<(), Refusal> {
        self.extensions += count;
        match self.extensions > EXTENSIONS {
            true => Err(Refusal::Extensions),
            false => Ok(()),
        }
    }
}
