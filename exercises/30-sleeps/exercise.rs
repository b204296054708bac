//! Exercise 30/sleeps, 10 minutes: a program that begins to read, and sleeps until it is done.
//!
//! It reads what is typed with aio_read(3), prints it, and ends at the end of its input. The reading is done elsewhere (in a thread
//! of the C library); meanwhile this program has nothing to do.
//!
//! What goes wrong now: it has nothing to do, and uses a whole processor for it.
//!
//! `30/aio-suspend` shows it. Man pages: aio(7), aio_error(3), aio_suspend(3).
//! Your program is checked by `scripts/exercise 30/sleeps`, as often as you like.

use std::mem;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use clap::Parser;
use common::text::printable;
use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::libc::{EINPROGRESS, SIGEV_NONE, aio_error, aio_read, aio_return, aiocb};

/// Prints what is typed
#[derive(Parser)]
struct Args {}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(_: &Args) -> anyhow::Result<()> {
    say!("reading")?;
    let mut data = [0; 512];
    loop {
        match read(&mut data)? {
            0 => return Ok(()),
            length => say!("read {length} bytes: {}", printable(&data[..length]))?,
        }
    }
}

/// Begins to read, waits until that is over, and returns how many bytes there were.
fn read(data: &mut [u8]) -> Result<usize, CallError> {
    // SAFETY: a structure of integers and pointers, for which zeroes are valid.
    let mut block: aiocb = unsafe { mem::zeroed() };
    block.aio_fildes = std::io::stdin().as_raw_fd();
    block.aio_buf = data.as_mut_ptr().cast();
    block.aio_nbytes = data.len();
    block.aio_sigevent.sigev_notify = SIGEV_NONE;
    let block = &raw mut block;
    // SAFETY: the block and the data stay where they are until the operation is over, which is before we return.
    Errno::result(unsafe { aio_read(block) }).call("aio_read")?;
    match wait(block) {
        0 => {}
        error => Err(Errno::from_raw(error)).call("read")?,
    }
    // SAFETY: the operation is over, and nobody has asked for its outcome before.
    let length = unsafe { aio_return(block) };
    Ok(usize::try_from(length).unwrap_or_default()) // an error has been told of above
}

/// Waits until the operation is over: the number of its error, or 0.
fn wait(block: *const aiocb) -> i32 {
    loop {
        // SAFETY: the operation has begun, and its block is where it was.
        match unsafe { aio_error(block) } {
            EINPROGRESS => {}
            outcome => return outcome,
        }
    }
}
