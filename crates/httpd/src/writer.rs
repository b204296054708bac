//! The head of an answer as bytes, RFC 9112 section 4 and RFC 9110 section 6.6 and 8.6.

use std::io::Write;

use crate::clock::Clock;
use crate::response::{Later, Response, Source};
use crate::status::Status;

/// How the end of the body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Known(u64),
    /// By the last chunk.
    Chunks,
    /// By the end of the connection: all that HTTP/1.0 has for a length that is not known.
    Close,
    /// There is neither a body nor a length.
    None,
}

impl Length {
    /// 0 where it is not known in advance.
    pub(crate) fn known(self) -> u64 {
        match self {
            Self::Known(length) => length,
            _ => 0,
        }
    }
}

/// What is to be said about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It goes on, as is usual.
    Silent,
    /// It goes on: for a client of HTTP/1.0, which would not expect it.
    KeepAlive,
    /// It ends.
    Close,
}

/// Appends the head. In the usual case that is a copy of bytes that stand there already.
#[inline]
pub(crate) fn head(
    out: &mut Vec<u8>,
    clock: &mut Clock,
    response: &Response,
    length: Length,
    persistence: Persistence,
) {
    let plain = response.status == Status::Ok
        && persistence == Persistence::Silent
        && response.fields.is_empty()
        && !response.content_type.is_empty();
    if let (true, Length::Known(length)) = (plain, length) {
        return out.extend_from_slice(clock.usual(response.content_type, length));
    }
    match response.status {
        Status::Ok => out.extend_from_slice(clock.ok()),
        status => {
            out.extend_from_slice(status.line());
            out.extend_from_slice(clock.date());
        }
    }
    match persistence {
        Persistence::Silent => {}
        Persistence::KeepAlive => out.extend_from_slice(b"Connection: Keep-Alive\r\n"),
        Persistence::Close => out.extend_from_slice(b"Connection: close\r\n"),
    }
    if !response.content_type.is_empty() {
        out.extend_from_slice(b"Content-Type: ");
        out.extend_from_slice(response.content_type.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(response.fields);
    match length {
        Length::Known(length) => content_length(out, length),
        Length::Chunks => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
        Length::Close | Length::None => out.extend_from_slice(b"\r\n"),
    }
}

/// The length of the body, as far as it is known.
#[inline]
pub(crate) fn length(response: &Response) -> Length {
    if response.status.has_no_body() {
        return Length::None;
    }
    let later = match &response.source {
        Source::Bytes => return Length::Known(response.body.len() as u64),
        Source::Static(bytes) => return Length::Known(bytes.len() as u64),
        Source::Later(later) => &**later,
    };
    match later {
        Later::File(file) => {
            let pieces = file.pieces.iter();
            let bytes: u64 = pieces
                .map(|piece| piece.before.len() as u64 + piece.length)
                .sum();
            Length::Known(bytes + file.end.len() as u64)
        }
        Later::Stream { chunked: true, .. } => Length::Chunks,
        Later::Stream { chunked: false, .. } => Length::Close,
    }
}

/// Appends Content-Length and the end of the header.
pub(crate) fn content_length(out: &mut Vec<u8>, length: u64) {
    let _ = write!(out, "Content-Length: {length}\r\n\r\n");
}

/// Appends a part of a stream as a chunk, RFC 9112 section 7.1; an empty one would be the last.
pub(crate) fn chunk(out: &mut Vec<u8>, part: &[u8]) {
    if !part.is_empty() {
        let _ = write!(out, "{:x}\r\n", part.len());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// What ends a body in chunks: the last chunk and an empty trailer.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
