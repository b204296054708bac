//! The same, and it sleeps until it is done.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use common::address::seconds;
use common::{Call, say};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;

use crate::aio::{Operation, silently, write_and_read_back, write_and_read_back_at_once};
use crate::target::Target;

/// Writes and reads with aio_write and aio_read, and sleeps in aio_suspend until it is done or the time is up
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Seconds that each of the two may take
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    timeout: Duration,
    /// Call write and read, and wait in them: no asynchronous I/O
    #[arg(long)]
    sync: bool,
    /// Seconds to stay at the end: time to look at the threads in /proc/PID/task
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    stay: Duration,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let target = args.target.open()?;
    if args.sync {
        write_and_read_back_at_once(&target, args.target.connected())?;
    } else {
        let mut wait = |operation: &mut Operation| suspend(operation, args.timeout);
        write_and_read_back(&target, silently(), &mut wait)?;
    }
    sleep(args.stay);
    Ok(())
}

// ANCHOR: suspend
fn suspend(operation: &mut Operation, timeout: Duration) -> anyhow::Result<()> {
    let list = [operation.block().cast_const()];
    let limit = TimeSpec::from(timeout);
    while !operation.is_over() {
        // SAFETY: a list of one operation that has begun; it lives as long as `operation`.
        let awaited = unsafe { libc::aio_suspend(list.as_ptr(), 1, limit.as_ref()) };
        match Errno::result(awaited) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                let canceled = operation.cancel();
                say!(
                    "aio_cancel: {}",
                    if canceled { "canceled" } else { "too late" }
                )?;
                let told = || format!("it takes longer than {} s", timeout.as_secs_f64());
                return Err(error).call("aio_suspend").with_context(told);
            }
        }
    }
    Ok(())
}
// ANCHOR_END: suspend
