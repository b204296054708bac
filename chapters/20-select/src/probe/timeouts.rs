//! How long select(2) waits: for ever, not at all, or for a time, of which Linux tells what is left.

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd};
use std::str::FromStr;
use std::time::{Duration, Instant};

use common::address::seconds;
use common::io::{Received, receive};
use common::{Call, say};
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::set::insert;

/// How long does select wait for a line that is typed?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seconds for each call, 0 for not waiting, "none" for no timeout
    #[arg(value_name = "TIME", default_values = ["0", "1", "10", "none"])]
    times: Vec<Time>,
}

/// The last argument of select.
#[derive(Debug, Clone, Copy)]
enum Time {
    /// NULL: wait for ever
    None,
    Seconds(Duration),
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            text => seconds(text).map(Self::Seconds),
        }
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    for time in &args.times {
        match time {
            Time::None => say!("select with no timeout")?,
            Time::Seconds(time) => say!("select with a timeout of {} s", time.as_secs_f64())?,
        }
        if wait(*time)? {
            take_line()?;
        }
    }
    Ok(())
}

// ANCHOR: wait
/// Waits for standard input. False when the time is up.
fn wait(time: Time) -> anyhow::Result<bool> {
    let stdin = stdin();
    let mut left = match time {
        Time::None => None,
        Time::Seconds(time) => Some(timeval(time)),
    };
    let started = Instant::now();
    loop {
        let mut readable = FdSet::new();
        insert(&mut readable, stdin.as_fd())?;
        let ready = match select(
            stdin.as_raw_fd() + 1,
            &mut readable,
            None,
            None,
            left.as_mut(),
        ) {
            // Linux has taken the time until the signal from the timeout: the next call waits for the rest.
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("select")?,
        };
        let took = started.elapsed().as_secs_f64();
        match &left {
            None => say!("returns {ready} after {took:.3} s")?,
            Some(left) => {
                let left = left.num_microseconds() as f64 / 1e6;
                say!("returns {ready} after {took:.3} s, and {left:.3} s are left in the timeout")?;
            }
        }
        return Ok(ready > 0);
    }
}
// ANCHOR_END: wait

/// One read, so that the next call has to wait again. At end of file no call will have to.
fn take_line() -> anyhow::Result<()> {
    let mut line = [0; 4096];
    match receive(stdin(), &mut line).call("read standard input")? {
        Received::EndOfFile => say!("end of input: readable from now on")?,
        Received::Data(length) => say!("read {length} bytes")?,
        Received::WouldBlock | Received::Reset => {}
    }
    Ok(())
}

/// The time in the kernel's type. Less than a microsecond is one, not none: 0 has a meaning of its own.
fn timeval(time: Duration) -> TimeVal {
    let micros = time.as_nanos().div_ceil(1000);
    TimeVal::microseconds(micros.try_into().unwrap_or(i64::MAX))
}
