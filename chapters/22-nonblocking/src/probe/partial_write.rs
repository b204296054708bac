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
    let mut unwritten = &data[..];

    // ANCHOR: write
    while !unwritten.is_empty() {
        let asked = unwritten.len();
        match write(&ours, unwritten) {
            Ok(count) => {
                say!("write {asked} bytes: {count}")?;
                unwritten = &unwritten[count..];
            }
            Err(Errno::EAGAIN) => {
                say!("write {asked} bytes: EAGAIN")?;
                // The reader's kernel may still take something over.
                if !writable(ours.as_fd(), MOMENT)? {
                    break;
                }
            }
            Err(error) => Err(error).call("write")?,
        }
    }
    // ANCHOR_END: write
    if unwritten.is_empty() {
        say!("everything is written, and nobody has read")?;
        return Ok(());
    }
    say!("not writable")?;

    let (mut taken, mut chunk) = (0, [0; 4096]);
    loop {
        taken += read(&peers, &mut chunk).call("read")?;
        if writable(ours.as_fd(), 20)? {
            break;
        }
    }
    say!("the reader has read {taken} bytes: writable")?;
    let asked = unwritten.len();
    let count = write(&ours, unwritten).call("write")?;
    say!("write {asked} bytes: {count}")?;
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
