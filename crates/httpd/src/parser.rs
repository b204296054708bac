//! The head of a request: the request line and the header, RFC 9112 section 3 and 5. The result is a table of places in the
//! input; all that is copied is a header that differs from the one before, for the next to be compared with. A head may
//! arrive in any pieces; [`Progress`] remembers how far it was understood, so that a byte at a time costs no more than
//! twice the work.

use memchr::memchr;

use crate::framing::{Framing, is_authority};
use crate::limits::Limits;
use crate::request::{Method, Request};
use crate::status::Refusal;
use crate::syntax::{PATH, TOKEN, span, span_of_value};

/// A part of the input: from the first to before the second.
pub(crate) type Place = (u32, u32);

/// How far a head that is not complete was understood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// All lines before this place are valid.
    line: u32,
    /// There is no line feed between that place and this one.
    searched: u32,
}

impl Progress {
    /// True once a part of a head has been seen.
    pub fn has_begun(&self) -> bool {
        self.searched > 0
    }
}

/// What a head says. A loop has one, and uses it for every request of its connections.
#[derive(Debug, Default)]
pub struct Head {
    pub(crate) method: Method,
    /// The whole target, as it was sent.
    pub(crate) target: Place,
    /// The target's path, `*` for the server as a whole.
    pub(crate) path: Place,
    /// What follows the question mark.
    pub(crate) query: Option<Place>,
    /// The host and port that are asked for, from the target or from the Host field.
    pub(crate) authority: Place,
    /// The version is HTTP/1.0 (not 1.1 or a later 1.x).
    pub(crate) old: bool,
    /// Where the header starts: behind the request line.
    pub(crate) header: u32,
    /// Name and value of each field, as places in the header.
    pub(crate) fields: Vec<(Place, Place)>,
    /// The fields that say where the request ends and what becomes of the connection.
    pub(crate) framing: Framing,
    /// The header that these two are of, with its empty line; nothing if it was not whole and valid. Clients ask for one thing
    /// after another with the same header: the next one is compared with it, and only read if it differs.
    known: Vec<u8>,
}

/// What a line turned out to be.
enum Line {
    /// Its end has not arrived.
    Cut,
    /// A valid one that ends before this place.
    Whole(usize),
    /// The empty one at the end of the header.
    Empty,
}

impl Head {
    /// Reads a head from the start of `bytes`. `Some` with its length when it is complete; `None` when it is valid so far,
    /// and then the next call gets the same bytes with more behind them, and the same `progress`. A head has the same `limits`
    /// for its whole life.
    pub fn parse(
        &mut self,
        bytes: &[u8],
        progress: &mut Progress,
        limits: &Limits,
    ) -> Result<Option<usize>, Refusal> {
        let begun = *progress;
        let searched = (begun.searched as usize).min(bytes.len());
        if begun.has_begun() && memchr(b'\n', &bytes[searched..]).is_none() {
            progress.searched = bytes.len() as u32;
            return self.cut(bytes, progress, limits);
        }
        let mut start = begun.line as usize;
        if start == 0 {
            match self.request_line(bytes)? {
                Line::Whole(end) if end - 2 <= limits.request_line => start = end,
                Line::Cut => {
                    progress.searched = bytes.len() as u32;
                    return self.cut(bytes, progress, limits);
                }
                _ => return Err(Refusal::RequestLineTooLong),
            }
            if !self.known.is_empty() && bytes[start..].starts_with(&self.known) {
                return self.complete(start, progress);
            }
        }
        self.known.clear();
        self.fields.clear();
        self.framing = Framing::default();
        let (header, mut at) = (&bytes[start..], 0);
        loop {
            match self.field_line(header, at)? {
                Line::Whole(end) => at = end,
                Line::Cut => {
                    *progress = Progress {
                        line: (start + at) as u32,
                        searched: bytes.len() as u32,
                    };
                    return self.cut(bytes, progress, limits);
                }
                Line::Empty => break,
            }
            if self.fields.len() > limits.fields {
                return Err(Refusal::TooManyFields);
            }
        }
        let length = at + 2;
        if begun.line > 0 {
            // The lines of earlier calls are known to be valid, and no more: other requests have used the table since.
            *progress = Progress::default();
            return self.parse(&bytes[..start + length], progress, limits);
        }
        if length > limits.header {
            return Err(Refusal::FieldsTooLarge);
        }
        self.known.extend_from_slice(&header[..length]);
        self.complete(start, progress)
    }

    /// The header that starts at `start` is known: do its fields agree with each other and with the request line?
    #[inline(always)]
    fn complete(
        &mut self,
        start: usize,
        progress: &mut Progress,
    ) -> Result<Option<usize>, Refusal> {
        *progress = Progress::default();
        self.header = start as u32;
        let host = self.framing.check(self.old)?;
        if self.authority == (0, 0) {
            // The host of an absolute target takes precedence, RFC 9112 section 3.2.2.
            let host = host.map(|(from, to)| (self.header + from, self.header + to));
            self.authority = host.unwrap_or_default();
        }
        Ok(Some(start + self.known.len()))
    }

    /// The request of which this is the head, without its body: for tools and tests. `bytes` are those that were read.
    pub fn request<'a>(&'a self, bytes: &'a [u8]) -> Request<'a> {
        Request {
            head: self,
            bytes,
            body: &[],
            peer: None,
            loop_name: "",
        }
    }

    /// More is needed, unless there is too much already.
    #[cold]
    fn cut(
        &self,
        bytes: &[u8],
        progress: &Progress,
        limits: &Limits,
    ) -> Result<Option<usize>, Refusal> {
        if progress.line == 0 && bytes.len() > limits.request_line + 1 {
            return Err(Refusal::RequestLineTooLong);
        }
        if bytes.len() > limits.request_line + limits.header {
            return Err(Refusal::FieldsTooLarge);
        }
        Ok(None)
    }

    /// `GET /photo HTTP/1.1`: three words with a single space between them. RFC 9112 section 3 allows to be more generous,
    /// and tells what it costs: others on the way may see another request than we do.
    #[inline(always)]
    fn request_line(&mut self, bytes: &[u8]) -> Result<Line, Refusal> {
        let method = span(bytes, TOKEN);
        match bytes.get(method) {
            None => return Ok(Line::Cut),
            Some(b' ') if method > 0 => {}
            Some(_) => return Err(Refusal::RequestLine),
        }
        let start = method + 1;
        let path_end = start + span(&bytes[start..], PATH);
        let mut end = path_end;
        while bytes.get(end) == Some(&b'?') {
            end += 1 + span(&bytes[end + 1..], PATH);
        }
        match bytes.get(end) {
            None => return Ok(Line::Cut),
            Some(b' ') if end > start => {}
            Some(b' ' | b'\r' | b'\n') => return Err(Refusal::RequestLine),
            Some(_) => return Err(Refusal::Target),
        }
        let Some(version) = bytes[end + 1..].first_chunk::<10>() else {
            return match memchr(b'\n', &bytes[end..]) {
                None => Ok(Line::Cut),
                Some(_) => Err(Refusal::RequestLine),
            };
        };
        if version == b"HTTP/1.1\r\n" {
            self.old = false;
        } else {
            self.old = is_old(version)?;
        }
        self.method = Method::from_bytes(&bytes[..method]).ok_or(Refusal::Method)?;
        self.target(bytes, start, path_end, end)?;
        Ok(Line::Whole(end + 11))
    }

    /// The four forms of a target, RFC 9112 section 3.2.
    #[inline(always)]
    fn target(
        &mut self,
        bytes: &[u8],
        start: usize,
        path_end: usize,
        end: usize,
    ) -> Result<(), Refusal> {
        self.target = (start as u32, end as u32);
        self.query = (path_end < end).then_some((path_end as u32 + 1, end as u32));
        self.authority = (0, 0);
        let path = match bytes[start] {
            b'/' => start,
            _ if self.method == Method::Connect => return Err(Refusal::Method),
            b'*' if self.method == Method::Options && end == start + 1 => start,
            _ => self.absolute_form(bytes, start, path_end)?,
        };
        self.path = (path as u32, path_end as u32);
        Ok(())
    }

    /// `http://host/path`, which every server has to accept (RFC 9112 section 3.2.2) and proxies send. The place of the path, which may
    /// be empty. A name or password before the host is refused, RFC 9110 section 4.2.4.
    #[cold]
    fn absolute_form(&mut self, bytes: &[u8], start: usize, end: usize) -> Result<usize, Refusal> {
        let target = &bytes[start..end];
        let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
            let beginning = target.get(..scheme.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(scheme))
        });
        let host = start + scheme.ok_or(Refusal::Target)?.len();
        let length = bytes[host..end].iter().position(|&byte| byte == b'/');
        let host_end = length.map_or(end, |length| host + length);
        if !is_authority(&bytes[host..host_end]) {
            return Err(Refusal::Target);
        }
        self.authority = (host as u32, host_end as u32);
        Ok(host_end)
    }

    // ANCHOR: field_line
    /// `Name: value`. A line that begins with white space would continue the one before (obs-fold): refused, as its name is
    /// empty, RFC 9112 section 5.2.
    #[inline(always)]
    fn field_line(&mut self, bytes: &[u8], start: usize) -> Result<Line, Refusal> {
        let line = &bytes[start..];
        let name = match line {
            [b'\r', b'\n', ..] => return Ok(Line::Empty),
            [] | [b'\r'] => return Ok(Line::Cut),
            [b'\r' | b'\n', ..] => return Err(Refusal::LineEnd),
            line => span(line, TOKEN),
        };
        match line.get(name) {
            Some(b':') if name > 0 => {}
            None => return Ok(Line::Cut),
            Some(_) => return Err(Refusal::FieldName),
        }
        let mut value = name + 1;
        while matches!(line.get(value), Some(b' ' | b'\t')) {
            value += 1;
        }
        let end = value + span_of_value(&line[value..]);
        match &line[end..] {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Ok(Line::Cut),
            [b'\r' | b'\n', ..] => return Err(Refusal::LineEnd),
            _ => return Err(Refusal::FieldValue),
        }
        let text = line[value..end].trim_ascii_end();
        let place =
            |from: usize, length: usize| ((start + from) as u32, (start + from + length) as u32);
        let value = place(value, text.len());
        self.fields.push((place(0, name), value));
        self.framing.field(&line[..name], text, value)?;
        Ok(Line::Whole(start + end + 2))
    }
    // ANCHOR_END: field_line
}

/// HTTP/1.0, or one that is like 1.1: a later 1.x, RFC 9110 section 2.5.
#[cold]
fn is_old(version: &[u8; 10]) -> Result<bool, Refusal> {
    match version.strip_prefix(b"HTTP/") {
        Some([b'1', b'.', b'0', b'\r', b'\n']) => Ok(true),
        Some([b'1', b'.', b'1'..=b'9', b'\r', b'\n']) => Ok(false),
        Some([b'0'..=b'9', b'.', b'0'..=b'9', b'\r', b'\n']) => Err(Refusal::Version),
        _ => Err(Refusal::RequestLine),
    }
}
