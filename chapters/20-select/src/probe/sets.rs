//! The sets of select(2) are questions before the call and answers after it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use common::io::writen;
use common::{Call, say};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::select::{FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{pipe2, read};

use crate::set::{insert, numbers};

/// What is in a set after the call?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Make the set anew before the second call. Without it, that is forgotten, on purpose
    #[arg(long)]
    reset: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (first, to_first) = pipe2(OFlag::O_CLOEXEC).call("pipe2")?;
    let (second, to_second) = pipe2(OFlag::O_CLOEXEC).call("pipe2")?;
    let (first_number, second_number) = (first.as_raw_fd(), second.as_raw_fd());
    say!("two pipes, {first_number} and {second_number}")?;

    // ANCHOR: sets
    let mut both = FdSet::new();
    insert(&mut both, first.as_fd())?;
    insert(&mut both, second.as_fd())?;
    let mut set = both;

    writen(&to_first, b"1").call("write")?;
    say!("{first_number} has data; asked about {:?}", numbers(&set))?;
    ask(&mut set)?;
    take(&first)?;

    writen(&to_second, b"2").call("write")?;
    if args.reset {
        set = both;
    }
    say!("{second_number} has data; asked about {:?}", numbers(&set))?;
    ask(&mut set)?;
    // ANCHOR_END: sets
    take(&second)
}

/// Reads what is there.
fn take(pipe: &OwnedFd) -> anyhow::Result<()> {
    let length = read(pipe, &mut [0; 16]).call("read")?;
    say!("{}: {length} byte read", pipe.as_raw_fd())?;
    Ok(())
}

/// Waits for a second at most.
fn ask(set: &mut FdSet) -> anyhow::Result<()> {
    let mut time = TimeVal::seconds(1);
    loop {
        match select(None, &mut *set, None, None, &mut time) {
            Err(Errno::EINTR) => continue,
            outcome => {
                let ready = outcome.call("select")?;
                say!("select returns {ready}, and the set is {:?}", numbers(set))?;
                return Ok(());
            }
        }
    }
}
