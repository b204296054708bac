//! A request as the handler sees it: borrowed from where it was read to.

use std::net::SocketAddr;

use crate::parser::{Head, Place};

macro_rules! methods {
    ($($name:ident $text:literal)*) => {
        /// The methods of RFC 9110 section 9.3 and PATCH (RFC 5789). Their names are case-sensitive; all others are answered
        /// with 501.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "their names say it")]
        pub enum Method {
            #[default]
            $($name),*
        }

        impl Method {
            /// As it stands in the request line.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            #[inline(always)]
            pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
                $(if bytes == $text.as_bytes() {
                    return Some(Self::$name);
                })*
                None
            }
        }
    };
}

methods! {
    Get "GET"
    Head "HEAD"
    Post "POST"
    Put "PUT"
    Delete "DELETE"
    Options "OPTIONS"
    Patch "PATCH"
    Trace "TRACE"
    Connect "CONNECT"
}

/// A whole and valid request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub(crate) head: &'a Head,
    /// What the head's places are in.
    pub(crate) bytes: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) loop_name: &'a str,
}

impl<'a> Request<'a> {
    #[inline]
    fn at(&self, place: Place) -> &'a [u8] {
        &self.bytes[place.0 as usize..place.1 as usize]
    }

    fn text(&self, place: Place) -> &'a str {
        ascii(self.at(place))
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.head.method
    }

    /// The request target as it was sent, with the query.
    pub fn target(&self) -> &'a str {
        self.text(self.head.target)
    }

    /// The path: absolute, still percent-encoded, without the query. `*` where the server as a whole is asked (OPTIONS).
    pub fn path(&self) -> &'a str {
        match self.head.path {
            (start, end) if start < end => self.text((start, end)),
            // Of an absolute target, RFC 9112 section 3.2.4 and RFC 9110 section 4.2.3.
            _ if self.method() == Method::Options => "*",
            _ => "/",
        }
    }

    /// The same for comparisons, which need not know that it is ASCII.
    #[inline]
    pub(crate) fn raw_path(&self) -> &'a [u8] {
        match self.head.path {
            (start, end) if start < end => self.at((start, end)),
            _ => self.path().as_bytes(),
        }
    }

    /// What follows the question mark.
    pub fn query(&self) -> Option<&'a str> {
        self.head.query.map(|place| self.text(place))
    }

    /// Host and port, as the client knows us. Empty in HTTP/1.0 without a Host field.
    pub fn host(&self) -> &'a str {
        self.text(self.head.authority)
    }

    /// `HTTP/1.0`, or `HTTP/1.1` for that and all later 1.x.
    pub fn version(&self) -> &'static str {
        match self.head.old {
            true => "HTTP/1.0",
            false => "HTTP/1.1",
        }
    }

    /// All header fields in their order: name and value. Values may contain bytes that are not UTF-8.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let header = &self.bytes[self.head.header as usize..];
        let at = |place: Place| &header[place.0 as usize..place.1 as usize];
        let fields = self.head.fields.iter();
        fields.map(move |&(name, value)| (ascii(at(name)), at(value)))
    }

    /// The values of every field with this name, whatever its case.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let fields = self.fields();
        fields.filter_map(move |(its, value)| its.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The value of the first field with this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        str::from_utf8(self.all(name).next()?).ok()
    }

    /// The body: empty where there is none. Chunks are already put together.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The client's address; `None` on a local socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The event loop that serves this connection.
    pub fn loop_name(&self) -> &'a str {
        self.loop_name
    }

    /// Does the client want the connection to go on? RFC 9112 section 9.3.
    #[inline]
    pub(crate) fn persists(&self) -> bool {
        self.head.framing.persists(self.head.old)
    }
}

/// For what the parser lets through as ASCII only.
fn ascii(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}
