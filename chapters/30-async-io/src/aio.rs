//! POSIX asynchronous I/O, aio(7): an operation is begun by one call, and asked about by others.

use std::marker::PhantomData;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{read, write};

use crate::target::{BYTE, SIZE};

/// What an operation reads or writes, and where the C library keeps its state.
struct Parts {
    block: libc::aiocb,
    data: Vec<u8>,
}

/// An operation that has begun. The C library writes to the control block and to the data until it is over, so
/// neither may move or be freed before.
pub struct Operation<'fd> {
    /// From a Box.
    parts: *mut Parts,
    descriptor: PhantomData<BorrowedFd<'fd>>,
}

/// How the end of an operation is told, sigevent(3type).
pub fn silently() -> libc::sigevent {
    // SAFETY: a structure of integers and pointers, for which zeroes are valid.
    let mut event: libc::sigevent = unsafe { mem::zeroed() };
    event.sigev_notify = libc::SIGEV_NONE;
    event
}

impl<'fd> Operation<'fd> {
    // ANCHOR: begin
    /// Begins to write `data` at the file's beginning, aio_write(3). A socket has no beginning, and ignores the offset.
    pub fn write(
        fd: &'fd OwnedFd,
        data: Vec<u8>,
        notice: libc::sigevent,
    ) -> Result<Self, CallError> {
        let mut operation = Self::new(fd, data, notice);
        // SAFETY: block and data stay where they are until the operation is over; see `drop`.
        Errno::result(unsafe { libc::aio_write(operation.block()) }).call("aio_write")?;
        Ok(operation)
    }

    /// Begins to read into `data` from the file's beginning, aio_read(3).
    pub fn read(
        fd: &'fd OwnedFd,
        data: Vec<u8>,
        notice: libc::sigevent,
    ) -> Result<Self, CallError> {
        let mut operation = Self::new(fd, data, notice);
        // SAFETY: as above.
        Errno::result(unsafe { libc::aio_read(operation.block()) }).call("aio_read")?;
        Ok(operation)
    }

    fn new(fd: &'fd OwnedFd, mut data: Vec<u8>, notice: libc::sigevent) -> Self {
        // All of it zero first: what is not set must not be what happened to lie there.
        // SAFETY: a structure of integers and pointers, for which zeroes are valid.
        let mut block: libc::aiocb = unsafe { mem::zeroed() };
        block.aio_fildes = fd.as_raw_fd();
        block.aio_buf = data.as_mut_ptr().cast();
        block.aio_nbytes = data.len();
        block.aio_sigevent = notice;
        Self {
            parts: Box::into_raw(Box::new(Parts { block, data })),
            descriptor: PhantomData,
        }
    }
    // ANCHOR_END: begin

    /// The control block, for the C library.
    pub fn block(&mut self) -> *mut libc::aiocb {
        // SAFETY: `parts` is a live allocation; no reference into it is made.
        unsafe { &raw mut (*self.parts).block }
    }

    /// Whether it is over, aio_error(3). That makes no system call.
    pub fn is_over(&mut self) -> bool {
        self.error() != libc::EINPROGRESS
    }

    fn error(&mut self) -> i32 {
        // SAFETY: a control block that aio_read or aio_write has been given.
        unsafe { libc::aio_error(self.block()) }
    }

    /// What it returned, aio_return(3): once, and only after the end. And the data, given back.
    pub fn finish(mut self, call: &str) -> Result<(usize, Vec<u8>), CallError> {
        match self.error() {
            0 => {}
            errno => return Err(Errno::from_raw(errno)).call(call),
        }
        // SAFETY: it is over, and this is the only call for it.
        let count = unsafe { libc::aio_return(self.block()) };
        // SAFETY: it is over, so nobody else writes to the data.
        let data = unsafe { mem::take(&mut (*self.parts).data) };
        Ok((count as usize, data))
    }

    /// Tries to call it off, aio_cancel(3): whether it could still be.
    pub fn cancel(&mut self) -> bool {
        // SAFETY: the descriptor is open as long as this value lives, and the block is its own.
        unsafe {
            libc::aio_cancel((*self.block()).aio_fildes, self.block()) != libc::AIO_NOTCANCELED
        }
    }
}

impl Drop for Operation<'_> {
    /// What a thread may still write to is not given back: a leak is better than memory of somebody else's changed.
    fn drop(&mut self) {
        if self.is_over() || self.cancel() {
            // SAFETY: it came from a Box, and nobody uses it any more.
            drop(unsafe { Box::from_raw(self.parts) });
        }
    }
}

/// Waits until an operation is over.
pub type Wait<'a> = &'a mut dyn FnMut(&mut Operation) -> anyhow::Result<()>;

// ANCHOR: story
/// Writes 512 bytes and reads them back. How the end of each operation is awaited is what the programs differ in.
pub fn write_and_read_back(fd: &OwnedFd, notice: libc::sigevent, wait: Wait) -> anyhow::Result<()> {
    let mut operation = Operation::write(fd, vec![BYTE; SIZE], notice)?;
    say!("writing...")?;
    wait(&mut operation)?;
    let (written, _) = operation.finish("aio_write")?;
    say!("{written} bytes written")?;

    let mut back = Vec::new();
    while back.len() < written {
        let mut operation = Operation::read(fd, vec![0; written - back.len()], notice)?;
        say!("reading...")?;
        wait(&mut operation)?;
        let (count, data) = operation.finish("aio_read")?;
        if count == 0 {
            break;
        }
        back.extend(&data[..count]);
    }
    compare(&back)
}
// ANCHOR_END: story

/// The same by calls that return when it has been done.
pub fn write_and_read_back_at_once(fd: &OwnedFd, connected: bool) -> anyhow::Result<()> {
    let mut back = vec![0; SIZE];
    let data = [BYTE; SIZE];
    let written = match connected {
        true => write(fd, &data).call("write")?,
        false => pwrite(fd, &data, 0).call("pwrite")?,
    };
    say!("{written} bytes written")?;
    let count = match connected {
        true => read(fd, &mut back).call("read")?,
        false => pread(fd, &mut back, 0).call("pread")?,
    };
    compare(&back[..count])
}

/// The course's program is content with any number of bytes, whatever they are.
pub fn compare(back: &[u8]) -> anyhow::Result<()> {
    let equal = back == [BYTE; SIZE];
    say!(
        "{} bytes read, {}",
        back.len(),
        if equal { "equal" } else { "not equal" }
    )?;
    anyhow::ensure!(equal, "what was read is not what was written");
    say!("Success.")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not set must be zero: an offset or a priority that happened to lie there would count.
    #[test]
    fn e3_the_control_block_is_zero() {
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        let mut operation = Operation::new(&reader, vec![0; SIZE], silently());
        // SAFETY: the block lives as long as `operation`.
        let block = unsafe { &*operation.block() };
        let rest = (block.aio_offset, block.aio_reqprio, block.aio_lio_opcode);
        assert_eq!((rest, block.aio_nbytes), ((0, 0, 0), SIZE));
    }
}
