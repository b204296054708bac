//! The first argument of select(2): where the kernel may stop looking.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use anyhow::Context;
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
    #[arg(long, value_name = "N", default_value_t = 200_000)]
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
    let fd = idle.as_fd();
    let small = fd.as_raw_fd() + 1;
    let mut largest = None;
    for _ in 0..2 {
        say!(
            "the table of descriptors has {} places; each call:",
            table_size()?
        )?;
        for count in [small, FD_SETSIZE as i32] {
            let time = time_of(fd, count, calls)?;
            say!(
                "  select({count}, [{}])  {} ns",
                fd.as_raw_fd(),
                time.as_nanos()
            )?;
        }
        if largest.is_none() {
            raise_limit()?;
            // The kernel's table grows with the highest number, and never shrinks.
            largest = Some(with_number(&idle, FD_SETSIZE as i32 - 1)?);
        }
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

/// How many descriptors the kernel's table of this process has room for now, proc_pid_status(5).
fn table_size() -> anyhow::Result<String> {
    let status = fs::read_to_string("/proc/self/status").call("read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    Ok(line
        .context("/proc/self/status has no FDSize")?
        .trim()
        .to_string())
}
