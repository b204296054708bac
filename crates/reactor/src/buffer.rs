//! Bytes on their way: the buffer, the pool that lends buffers, and the view of the input that a handler gets.

use std::io;
use std::ops::Deref;

use crate::output::Output;

/// The size of a buffer that the pool lends, in bytes.
const LENT: usize = 16 * 1024;

/// How many unused buffers, and unused output queues, a pool keeps.
const KEPT: usize = 64;

/// A queue of bytes: they are appended at one end and consumed at the other. It grows by doubling, moves its content
/// (as a block) only when that makes room, and its memory is initialised once and not for each read.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            memory: vec![0; capacity],
            start: 0,
            end: 0,
        }
    }

    /// How many bytes it can hold without growing.
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Takes `count` bytes off the front, all of them if there are fewer.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.start += count.min(self.len());
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Throws all of it away.
    pub fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Puts bytes at the end.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.memory[self.end..][..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Makes room for `count` bytes at the end.
    #[inline]
    pub fn reserve(&mut self, count: usize) {
        if self.memory.len() - self.end < count {
            self.make_room(count);
        }
    }

    #[cold]
    fn make_room(&mut self, count: usize) {
        let needed = self.len() + count;
        // A block that is moved makes room for at least as many bytes as are moved, or it is not worth it.
        if needed <= self.memory.len() && self.start >= self.len() {
            self.memory.copy_within(self.start..self.end, 0);
        } else {
            let capacity = needed.max(2 * self.memory.len());
            let mut memory = Vec::with_capacity(capacity);
            memory.extend_from_slice(self);
            memory.resize(capacity, 0);
            self.memory = memory;
        }
        (self.start, self.end) = (0, self.len());
    }

    /// The room at the end, to read into; then [`Buffer::filled`].
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.end..]
    }

    /// `count` bytes of the room have been filled.
    pub fn filled(&mut self, count: usize) {
        debug_assert!(count <= self.memory.len() - self.end);
        self.end = (self.end + count).min(self.memory.len());
    }
}

/// The bytes in it.
impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }
}

/// `write!` appends, and never fails.
impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lends buffers to connections while there is something in them: an idle connection has none.
#[derive(Debug, Default)]
#[expect(
    clippy::vec_box,
    reason = "a connection pays a pointer for each, and hands it on as one"
)]
pub(crate) struct Pool {
    buffers: Vec<Box<Buffer>>,
    outputs: Vec<Box<Output>>,
}

impl Pool {
    pub(crate) fn lend(&mut self) -> Box<Buffer> {
        let unused = self.buffers.pop();
        unused.unwrap_or_else(|| Box::new(Buffer::with_capacity(LENT)))
    }

    /// Takes a buffer back. One that has grown is not kept: it would stay as large for ever.
    pub(crate) fn give(&mut self, mut buffer: Box<Buffer>) {
        if buffer.capacity() == LENT && self.buffers.len() < KEPT {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    pub(crate) fn lend_output(&mut self) -> Box<Output> {
        self.outputs.pop().unwrap_or_default()
    }

    pub(crate) fn give_output(&mut self, mut output: Box<Output>) {
        output.clear(self);
        if self.outputs.len() < KEPT {
            self.outputs.push(output);
        }
    }
}

/// What has arrived on a connection and was not consumed before, as one piece. It lies where it was read to, in the
/// loop's own buffer: nothing has been copied. What the handler does not consume is kept for the next time.
#[derive(Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Consumes the next `count` bytes, or all if there are fewer, and returns them.
    #[inline]
    pub fn consume(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Consumes everything.
    #[inline]
    pub fn take(&mut self) -> &'a [u8] {
        self.consume(usize::MAX)
    }

    /// Consumes the next line, with its line feed, if it is there whole.
    pub fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| byte == b'\n')?;
        Some(self.consume(end + 1))
    }

    /// What is left, for as long as the whole of the input lives.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// What is left.
impl Deref for Input<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.rest
    }
}
