//! A request whose body did not arrive with its head, or that comes in chunks. Only such a one is copied.

use reactor::Input;

use crate::chunked::Chunked;
use crate::framing::Body;
use crate::limits::Limits;
use crate::status::Refusal;

/// How much memory a body gets on the word of its Content-Length, in bytes; the rest when it comes.
const ON_TRUST: u64 = 64 * 1024;

/// The part of a request that has arrived.
#[derive(Debug)]
pub(crate) struct Partial {
    /// Its head, to be read again when the body is there.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    /// So many bytes.
    Bytes(u64),
    Chunks(Chunked),
}

impl Partial {
    pub(crate) fn new(head: &[u8], body: Body) -> Self {
        let (expected, rest) = match body {
            Body::Length(length) => (length.min(ON_TRUST), Rest::Bytes(length)),
            Body::Chunked => (0, Rest::Chunks(Chunked::default())),
        };
        Self {
            head: head.to_vec(),
            body: Vec::with_capacity(expected as usize),
            rest,
        }
    }

    /// Takes what belongs to the body. True when it is complete.
    pub(crate) fn feed(&mut self, input: &mut Input, limits: &Limits) -> Result<bool, Refusal> {
        match &mut self.rest {
            Rest::Bytes(left) => {
                let count = (*left).min(input.len() as u64);
                self.body.extend_from_slice(input.consume(count as usize));
                *left -= count;
                Ok(*left == 0)
            }
            Rest::Chunks(chunks) => {
                let count = chunks.decode(input, &mut self.body, limits)?;
                input.consume(count);
                Ok(chunks.is_done())
            }
        }
    }
}
