//! The first argument of select(2): where the kernel may stop looking.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use common::descriptors::raise_limit;
use common::io::writen;
use common::{Call, CallError, say};
use nix::fcntl::OFlag;
use nix::sys::select::{FD_SETSIZE, FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::pipe2;

use crate::set::{insert, numbers, with_number};

/// How many rounds of calls are timed. The fastest counts: what makes a round slower is somebody else's work.
const ROUNDS: u32 = 10;

/// What is the first argument for, and what does it cost?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Forget the "+ 1", on purpose: pass the highest number itself
    #[arg(long)]
    too_small: bool,
    /// How many calls to time, for each line of the second half; 0 for none
    #[arg(long, value_name = "COUNT", default_value_t = 200_000)]
    calls: u32,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).call("pipe2")?;
    writen(&writer, b"1").call("write")?;
    // ANCHOR: highest
    let mut set = FdSet::new();
    insert(&mut set, reader.as_fd())?;
    let count = reader.as_raw_fd() + if args.too_small { 0 } else { 1 };
    say!(
        "{} has data; select({count}, {:?})",
        reader.as_raw_fd(),
        numbers(&set)
    )?;
    let ready = select(count, &mut set, None, None, &mut TimeVal::zero()).call("select")?;
    say!("returns {ready}, and the set is {:?}", numbers(&set))?;
    // ANCHOR_END: highest
    if args.calls > 0 {
        compare(args.calls.div_ceil(ROUNDS))?;
    }
    Ok(())
}

/// Times calls with the same set and different first arguments, in a small table of descriptors and in a large one.
fn compare(calls: u32) -> anyhow::Result<()> {
    let (idle, _writer) = pipe2(OFlag::O_CLOEXEC).call("pipe2")?;
    say!("with few descriptors open, each call:")?;
    tell_times(idle.as_fd(), calls)?;
    raise_limit()?;
    // The kernel's table grows with the highest number, and never shrinks: FDSize of proc_pid_status(5).
    let highest = with_number(&idle, FD_SETSIZE as i32 - 1)?;
    say!("with descriptor {} open too:", highest.as_raw_fd())?;
    tell_times(idle.as_fd(), calls)
}

fn tell_times(fd: BorrowedFd, calls: u32) -> anyhow::Result<()> {
    for count in [fd.as_raw_fd() + 1, FD_SETSIZE as i32] {
        let time = time_of(fd, count, calls)?.as_nanos();
        say!("  select({count}, [{}])  {time} ns", fd.as_raw_fd())?;
    }
    Ok(())
}

/// Processor time of one call that does not wait.
fn time_of(fd: BorrowedFd, count: i32, calls: u32) -> anyhow::Result<Duration> {
    let mut one = FdSet::new();
    insert(&mut one, fd)?;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let before = processor_time()?;
        for _ in 0..calls {
            let mut set = one;
            select(count, &mut set, None, None, &mut TimeVal::zero()).call("select")?;
        }
        best = best.min(processor_time()? - before);
    }
    Ok(best / calls)
}

fn processor_time() -> Result<Duration, CallError> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).call("clock_gettime")?;
    Ok(time.into())
}
