//! A write of more than fits, into a socket that does not block.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use common::io::set_nonblocking;
use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{read, write};

use super::pair::Pair;

/// How much does a write take that does not wait?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many bytes are to be written
    #[arg(long, default_value_t = 1_000_000)]
    bytes: usize,
}

/// Long enough that what is under way between the two kernel buffers has arrived.
const MOMENT: i64 = 200;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let Pair { ours, peers } = Pair::new()?;
    set_nonblocking(&ours)?;
    let data = vec![b'x'; args.bytes];

    // ANCHOR: write
    let mut written = write(&ours, &data).call("write")?;
    say!("write {} bytes: {written}", data.len())?;
    while written < data.len() {
        match write(&ours, &data[written..]) {
            Ok(count) => written += count,
            // Not the last word: the reader's kernel may still take something over.
            Err(Errno::EAGAIN) if writable(ours.as_fd(), MOMENT)? => {}
            Err(Errno::EAGAIN) => break,
            outcome => drop(outcome.call("write")?),
        }
    }
    // ANCHOR_END: write
    if written == data.len() {
        say!("everything is written, and nobody has read")?;
        return Ok(());
    }
    say!("write {} bytes: EAGAIN", data.len() - written)?;
    say!("not writable, with {written} bytes written and none read")?;

    // ANCHOR: read
    let (mut taken, mut chunk) = (0, [0; 4096]);
    loop {
        if taken < written {
            taken += read(&peers, &mut chunk).call("read")?;
        }
        if writable(ours.as_fd(), 20)? {
            break;
        }
    }
    // ANCHOR_END: read
    say!("writable, with {taken} bytes read")?;
    let rest = &data[written..];
    let count = write(&ours, rest).call("write")?;
    say!("write {} bytes: {count}", rest.len())?;
    Ok(())
}

/// Asks select(2), for so many milliseconds at most.
fn writable(fd: BorrowedFd, milliseconds: i64) -> Result<bool, CallError> {
    loop {
        let mut set = FdSet::new();
        set.insert(fd);
        let mut time = TimeVal::milliseconds(milliseconds);
        match select(fd.as_raw_fd() + 1, None, &mut set, None, &mut time) {
            Err(Errno::EINTR) => {}
            outcome => return Ok(outcome.call("select")? > 0),
        }
    }
}
