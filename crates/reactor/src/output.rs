//! What a connection has still to send: bytes and parts of files, in order.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::buffer::{Buffer, Pool};
use crate::sys;

/// How much of a file goes out in one turn at most, in bytes: other connections wait meanwhile.
const FILE_STEP: u64 = 512 * 1024;

enum Piece {
    Bytes(Buffer),
    File {
        file: Arc<OwnedFd>,
        offset: u64,
        left: u64,
    },
}

/// The queue of a connection that could not send at once. Lent by the pool, like the buffers in it.
#[derive(Default)]
pub(crate) struct Output {
    pieces: VecDeque<Piece>,
    /// Bytes in the buffers.
    queued: usize,
}

/// How far a flush got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is with the kernel.
    All,
    /// The kernel takes no more for now.
    Blocked,
    /// It would, and others are to have their turn first.
    Enough,
}

impl Output {
    /// The buffer that further bytes are to be appended to; report them with [`Output::appended`].
    pub(crate) fn tail(&mut self, pool: &mut Pool) -> &mut Buffer {
        if !matches!(self.pieces.back(), Some(Piece::Bytes(_))) {
            self.pieces.push_back(Piece::Bytes(pool.lend()));
        }
        match self.pieces.back_mut() {
            Some(Piece::Bytes(buffer)) => buffer,
            _ => unreachable!("a buffer has just been put there"),
        }
    }

    pub(crate) fn append(&mut self, pool: &mut Pool, bytes: &[u8]) {
        self.tail(pool).append(bytes);
        self.queued += bytes.len();
    }

    pub(crate) fn append_file(&mut self, file: Arc<OwnedFd>, offset: u64, length: u64) {
        self.pieces.push_back(Piece::File {
            file,
            offset,
            left: length,
        });
    }

    /// Bytes that lie in memory.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Counts what was appended to the tail directly.
    pub(crate) fn recount(&mut self) {
        let bytes = |piece: &Piece| match piece {
            Piece::Bytes(buffer) => buffer.len(),
            Piece::File { .. } => 0,
        };
        self.queued = self.pieces.iter().map(bytes).sum();
    }

    /// Buffers and files in the queue.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Hands as much as possible to the kernel. A short write ends it: the next would find no room either.
    pub(crate) fn flush(&mut self, fd: BorrowedFd, pool: &mut Pool) -> Result<Flushed, Errno> {
        let mut budget = FILE_STEP;
        loop {
            let followed = self.pieces.len() > 1;
            match self.pieces.front_mut() {
                None => return Ok(Flushed::All),
                Some(Piece::Bytes(buffer)) => {
                    let count = sys::write(fd, buffer, followed)?;
                    buffer.consume(count);
                    self.queued -= count;
                    if !buffer.is_empty() {
                        return Ok(Flushed::Blocked);
                    }
                }
                Some(Piece::File { left: 0, .. }) => {}
                Some(Piece::File { .. }) if budget == 0 => return Ok(Flushed::Enough),
                Some(Piece::File { file, offset, left }) => {
                    let step = (*left).min(budget);
                    let count = sys::write_file(fd, file.as_fd(), *offset, step)? as u64;
                    // The kernel says 0 at the end of the file as well: shorter than what was promised.
                    if count == 0 && ended(file.as_fd(), *offset) {
                        return Err(Errno::EIO);
                    }
                    *offset += count;
                    *left -= count;
                    budget -= count;
                    if count < step {
                        return Ok(Flushed::Blocked);
                    }
                    if *left > 0 {
                        continue;
                    }
                }
            }
            if let Some(Piece::Bytes(buffer)) = self.pieces.pop_front() {
                pool.give(buffer);
            }
        }
    }

    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        for piece in self.pieces.drain(..) {
            if let Piece::Bytes(buffer) = piece {
                pool.give(buffer);
            }
        }
        self.queued = 0;
    }
}

fn ended(file: BorrowedFd, offset: u64) -> bool {
    nix::sys::stat::fstat(file).map_or(true, |about| (about.st_size as u64) <= offset)
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes in {} pieces", self.queued, self.pieces.len())
    }
}
