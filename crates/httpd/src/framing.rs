//! Where a request ends and what becomes of the connection: the fields Host, Content-Length, Transfer-Encoding, Connection and
//! Expect. When a proxy and a server disagree here, one's body is the other's next request: so everything that could be
//! read in two ways is refused. RFC 9112 section 3.2, 6 and 9.3.

use std::net::Ipv6Addr;

use crate::parser::Place;
use crate::status::Refusal;
use crate::syntax::{self, HOST, is, list, span, unescape};

/// How the end of a body is told, RFC 9112 section 6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// By its length, which is 0 where nothing is said.
    Length(u64),
    /// By a chunk of size 0.
    Chunked,
}

/// What these fields say.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Framing {
    /// The value's place in the header.
    host: Option<Place>,
    length: Option<u64>,
    codings: Codings,
    close: bool,
    keep_alive: bool,
    /// The client waits for a word before it sends the body.
    pub(crate) expects_continue: bool,
    expects_other: bool,
}

/// The list of transfer codings so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Codings {
    #[default]
    None,
    /// Some, and chunked is not among them.
    Others,
    /// Only chunked.
    Chunked,
    /// Others, and then chunked.
    OthersAndChunked,
}

impl Framing {
    /// Takes notice of a field. Its name is compared whole, and without regard to case.
    #[inline]
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8], at: Place) -> Result<(), Refusal> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value, at),
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect(value),
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.codings(value),
            _ => Ok(()),
        }
    }

    /// Exactly one, and a valid one: RFC 9112 section 3.2.
    fn host(&mut self, value: &[u8], at: Place) -> Result<(), Refusal> {
        match self.host.replace(at) {
            None if is_authority(value) => Ok(()),
            _ => Err(Refusal::Host),
        }
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Refusal> {
        match value.eq_ignore_ascii_case(b"100-continue") {
            true => self.expects_continue = true,
            false => self.expects_other = true,
        }
        Ok(())
    }

    /// A list of options, RFC 9110 section 7.6.1. `close` counts more than `keep-alive`.
    fn connection(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for option in list(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
        Ok(())
    }

    /// The same number several times is allowed, RFC 9110 section 8.6.
    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for number in list(value) {
            let number = syntax::decimal(number).ok_or(Refusal::ContentLength)?;
            if self
                .length
                .replace(number)
                .is_some_and(|earlier| earlier != number)
            {
                return Err(Refusal::ContentLength);
            }
        }
        Ok(())
    }

    fn codings(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for coding in list(value) {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.codings = match self.codings {
                _ if coding.is_empty() => return Err(Refusal::TransferEncoding),
                Codings::None if chunked => Codings::Chunked,
                Codings::Others if chunked => Codings::OthersAndChunked,
                Codings::None | Codings::Others => Codings::Others,
                // Nothing may follow chunked, itself included.
                Codings::Chunked | Codings::OthersAndChunked => {
                    return Err(Refusal::TransferEncoding);
                }
            };
        }
        Ok(())
    }

    /// Do the fields agree? The place of the Host field's value.
    #[inline(always)]
    pub(crate) fn check(&self, old: bool) -> Result<Option<Place>, Refusal> {
        if self.host.is_none() && !old {
            return Err(Refusal::Host);
        }
        if self.codings != Codings::None {
            self.check_codings(old)?;
        }
        if self.expects_other && !old {
            return Err(Refusal::Expectation);
        }
        Ok(self.host)
    }

    #[cold]
    fn check_codings(&self, old: bool) -> Result<(), Refusal> {
        match self.codings {
            _ if self.length.is_some() => Err(Refusal::TwoLengths),
            // HTTP/1.0 knows no transfer codings: whoever forwarded this did not understand it.
            _ if old => Err(Refusal::TransferEncoding),
            // Where the body ends cannot be known.
            Codings::Others => Err(Refusal::TransferEncoding),
            Codings::OthersAndChunked => Err(Refusal::Coding),
            Codings::None | Codings::Chunked => Ok(()),
        }
    }

    #[inline(always)]
    pub(crate) fn body(&self) -> Body {
        match self.codings {
            Codings::None => Body::Length(self.length.unwrap_or(0)),
            _ => Body::Chunked,
        }
    }

    /// Does the client want to send more on this connection? RFC 9112 section 9.3.
    #[inline(always)]
    pub(crate) fn persists(&self, old: bool) -> bool {
        !self.close && (self.keep_alive || !old)
    }
}

/// A host with or without a port: a name, an address, an IPv6 address in brackets. Never empty (RFC 9110 section 4.2.1), and without a
/// user's name (section 4.2.4). RFC 3986 section 3.2.
#[inline(always)]
pub(crate) fn is_authority(value: &[u8]) -> bool {
    if value.first() == Some(&b'[') {
        return is_address_in_brackets(value);
    }
    let host = span(value, HOST);
    match value.get(host) {
        None => host > 0,
        Some(b':') => host > 0 && is_port(&value[host..]),
        Some(_) => is_escaped_name(value),
    }
}

/// A name with percent signs in it, each followed by two hexadecimal digits.
#[cold]
fn is_escaped_name(value: &[u8]) -> bool {
    let end = value
        .iter()
        .position(|&byte| byte != b'%' && !is(byte, HOST));
    let (name, port) = value.split_at(end.unwrap_or(value.len()));
    !name.is_empty() && unescape(name).is_some() && is_port(port)
}

/// Nothing, or a colon and digits.
#[inline(always)]
fn is_port(value: &[u8]) -> bool {
    match value {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cold]
fn is_address_in_brackets(value: &[u8]) -> bool {
    let Some(end) = value.iter().position(|&byte| byte == b']') else {
        return false;
    };
    let address = str::from_utf8(&value[1..end]).ok();
    let address = address.and_then(|text| text.parse::<Ipv6Addr>().ok());
    address.is_some() && is_port(&value[end + 1..])
}
