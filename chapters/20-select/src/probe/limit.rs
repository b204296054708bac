//! A descriptor at the end of a set, and one behind it.

use std::os::fd::{AsFd, AsRawFd};

use common::descriptors::raise_limit;
use common::io::writen;
use common::{Call, say};
use nix::fcntl::OFlag;
use nix::sys::select::{FdSet, select};
use nix::unistd::pipe2;

use crate::set::{insert, numbers, with_number};

/// What becomes of a descriptor with a number that no set has room for?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The number of the descriptor
    #[arg(default_value_t = 1024, value_parser = clap::value_parser!(i32).range(3..))]
    number: i32,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let limit = raise_limit()?;
    say!("this process may have {limit} descriptors")?;
    let (pipe, writer) = pipe2(OFlag::O_CLOEXEC).call("pipe2")?;
    writen(&writer, b"1").call("write")?;
    let fd = with_number(&pipe, args.number)?;
    say!("descriptor {} has data", fd.as_raw_fd())?;
    let mut set = FdSet::new();
    insert(&mut set, fd.as_fd())?;
    let ready = select(fd.as_raw_fd() + 1, &mut set, None, None, None).call("select")?;
    say!("select returns {ready}, and the set is {:?}", numbers(&set))?;
    Ok(())
}
