//! An answer as the handler makes it. What belongs to the protocol (Date, Content-Length, Connection, the chunks) is added
//! when it is written, in `writer.rs`.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::feed::Waker;
use crate::status::Status;
use crate::syntax::{TOKEN, VALUE, span};

/// What the answers of a loop are made in, one after the other: the memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Material {
    fields: Vec<u8>,
    body: Vec<u8>,
}

impl Material {
    /// Gives the memory back.
    pub(crate) fn release(&mut self) {
        *self = Self::default();
    }
}

/// Where the body comes from.
#[derive(Default)]
pub(crate) enum Source {
    /// From the material.
    #[default]
    Bytes,
    Static(&'static [u8]),
    /// Not from memory.
    Later(Box<Later>),
}

pub(crate) enum Later {
    File(Pieces),
    Stream {
        producer: Box<dyn Produce>,
        /// Unless the client speaks HTTP/1.0.
        chunked: bool,
        /// Events, which may end after any of them.
        endless: bool,
    },
}

/// Parts of a file, each with what stands before it.
pub(crate) struct Pieces {
    pub(crate) file: Arc<OwnedFd>,
    pub(crate) pieces: Vec<Piece>,
    /// What stands behind the last one.
    pub(crate) end: Vec<u8>,
}

pub(crate) struct Piece {
    pub(crate) before: Vec<u8>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Makes a body while it is being sent. Every closure `FnMut(&mut Vec<u8>) -> More` is one.
pub trait Produce: 'static {
    /// The stream begins. Whoever is to produce when another thread says so keeps the waker.
    fn started(&mut self, waker: Waker) {
        let _ = waker;
    }

    /// Appends the next part to `part`, a few kilobytes. It is called again when the client has taken it, so a slow
    /// client costs no memory.
    fn produce(&mut self, part: &mut Vec<u8>) -> More;
}

impl<F: FnMut(&mut Vec<u8>) -> More + 'static> Produce for F {
    fn produce(&mut self, part: &mut Vec<u8>) -> More {
        self(part)
    }
}

/// What follows a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// Another one, as soon as there is room.
    Now,
    /// Another one, when this time has passed or the stream is woken.
    After(Duration),
    /// Another one, when the stream is woken: [`Waker`], [`feed`](crate::feed()). Whether the client is still there is only found
    /// out by sending: where parts may be far apart, send an empty one of your format now and then (`:\n\n` among events).
    WhenWoken,
    /// Nothing.
    End,
}

/// The answer to a request. New, it is a `200 OK` without a body.
pub struct Response<'a> {
    pub(crate) status: Status,
    pub(crate) content_type: &'static str,
    pub(crate) source: Source,
    pub(crate) close: bool,
    old: bool,
    pub(crate) fields: &'a mut Vec<u8>,
    pub(crate) body: &'a mut Vec<u8>,
}

impl<'a> Response<'a> {
    #[inline]
    pub(crate) fn new(material: &'a mut Material, old: bool) -> Self {
        material.fields.clear();
        material.body.clear();
        Self {
            status: Status::Ok,
            content_type: "",
            source: Source::Bytes,
            close: false,
            old,
            fields: &mut material.fields,
            body: &mut material.body,
        }
    }

    /// Sets the status.
    #[inline]
    pub fn status(&mut self, status: Status) -> &mut Self {
        self.status = status;
        self
    }

    /// The status so far.
    pub fn current_status(&self) -> Status {
        self.status
    }

    /// Adds a header field. Names and values that could break out of their line (CR, LF, NUL, …) and fields that belong to
    /// the server (Date, Content-Length, Transfer-Encoding, Connection) are an error of the program: the answer becomes
    /// a 500, so that it shows.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        let ours = ["date", "content-length", "transfer-encoding", "connection"];
        let valid = !name.is_empty()
            && span(name.as_bytes(), TOKEN) == name.len()
            && span(value.as_bytes(), VALUE) == value.len()
            && !ours.iter().any(|own| name.eq_ignore_ascii_case(own));
        if valid {
            for part in [name, ": ", value, "\r\n"] {
                self.fields.extend_from_slice(part.as_bytes());
            }
        } else {
            self.status = Status::InternalServerError;
        }
        self
    }

    /// Sets Content-Type.
    #[inline]
    pub fn content_type(&mut self, content_type: &'static str) -> &mut Self {
        self.content_type = content_type;
        self
    }

    /// Appends to the body. `write!` works as well, and never fails.
    #[inline]
    pub fn body(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.source = Source::Bytes;
        self.body.extend_from_slice(bytes.as_ref());
        self
    }

    /// A body that stands in the program, for example by `include_bytes!`.
    pub fn static_body(&mut self, bytes: &'static [u8]) -> &mut Self {
        self.source = Source::Static(bytes);
        self
    }

    /// A plain text.
    #[inline]
    pub fn text(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        self.content_type("text/plain; charset=utf-8").body(text)
    }

    /// A page.
    #[inline]
    pub fn html(&mut self, page: impl AsRef<[u8]>) -> &mut Self {
        self.content_type("text/html; charset=utf-8").body(page)
    }

    /// A status with a line of text that says what it means.
    pub fn error(&mut self, status: Status) -> &mut Self {
        self.body.clear();
        self.fields.clear();
        self.status(status).text([status.reason(), "\n"].concat())
    }

    /// A body that is made while it is sent: in chunks, or, to a client of HTTP/1.0, up to the end of the connection. A server
    /// that stops waits for its end, as long as it waits for anything.
    pub fn stream(&mut self, producer: impl Produce) -> &mut Self {
        self.made_later(producer, false)
    }

    /// A stream of server-sent events (WHATWG HTML section 9.2): `data: …` lines and an empty one for each. A server that stops
    /// ends it.
    pub fn events(&mut self, producer: impl Produce) -> &mut Self {
        self.content_type("text/event-stream")
            .header("Cache-Control", "no-store")
            .made_later(producer, true)
    }

    fn made_later(&mut self, producer: impl Produce, endless: bool) -> &mut Self {
        self.source = Source::Later(Box::new(Later::Stream {
            producer: Box::new(producer),
            chunked: !self.old,
            endless,
        }));
        self
    }

    /// Closes the connection after this answer.
    pub fn close(&mut self) -> &mut Self {
        self.close = true;
        self
    }
}

impl Write for Response<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.body(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
