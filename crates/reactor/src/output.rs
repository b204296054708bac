//! What a connection has still to send: bytes and parts of files, in order.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;

use crate::Buffer;
use crate::buffer::Pool;
use crate::sys;

/// After so many bytes other connections have their turn.
pub(crate) const STEP: usize = 512 * 1024;

enum Piece {
    Bytes(Box<Buffer>),
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

impl Output {
    /// The buffer that further bytes are to be appended to; a flush counts them.
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

    /// The same, with what was appended to the tail directly.
    pub(crate) fn held(&self) -> usize {
        let bytes = |piece: &Piece| match piece {
            Piece::Bytes(buffer) => buffer.len(),
            Piece::File { .. } => 0,
        };
        self.pieces.iter().map(bytes).sum()
    }

    /// True when all has gone out.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Buffers and files in the queue.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Hands as much as possible to the kernel, and returns how much that was. A short write ends it: the next would find
    /// no room either. Of a file it may be the file that was short, so it goes on until the kernel takes nothing:
    /// edge-triggered, nobody else would tell.
    pub(crate) fn flush(&mut self, fd: BorrowedFd, pool: &mut Pool) -> Result<usize, Errno> {
        self.queued = self.held();
        let mut taken = 0;
        while taken < STEP {
            let followed = self.pieces.len() > 1;
            let done = match self.pieces.front_mut() {
                None => break,
                Some(Piece::Bytes(buffer)) => {
                    let count = match buffer.is_empty() {
                        true => 0,
                        false => sys::write(fd, buffer, followed)?,
                    };
                    buffer.consume(count);
                    self.queued -= count;
                    taken += count;
                    buffer.is_empty()
                }
                Some(Piece::File { file, offset, left }) => {
                    let step = (*left).min((STEP - taken) as u64);
                    let count = sys::write_file(fd, file.as_fd(), *offset, step as usize)?;
                    // The kernel says 0 at the end of the file as well: shorter than what was promised.
                    if count == 0 && ended(file.as_fd(), *offset) {
                        return Err(Errno::EIO);
                    }
                    *offset += count as u64;
                    *left -= count as u64;
                    taken += count;
                    if count > 0 && *left > 0 {
                        continue;
                    }
                    *left == 0
                }
            };
            if !done {
                break;
            }
            if let Some(Piece::Bytes(buffer)) = self.pieces.pop_front() {
                pool.give(buffer);
            }
        }
        Ok(taken)
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
