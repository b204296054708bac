//! The course's story once more, by io_uring: both operations are handed over by one system call.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::Duration;

use common::address::seconds;
use common::{Call, say};
use io_uring::squeue::Flags;
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use nix::errno::Errno;

use crate::aio::compare;
use crate::ring;
use crate::target::{BYTE, SIZE, Target};

/// Which completion is which.
const WRITE: u64 = 1;
const READ: u64 = 2;

/// Writes and reads by io_uring: no thread of this process waits, and no read or write call is made
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Seconds to stay at the end: time to look at the threads in /proc/PID/task
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    stay: Duration,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut ring = ring::small()?;
    let target = args.target.open()?;
    let fd = Fd(target.as_raw_fd());
    // Never freed: whatever goes wrong below, the kernel may still read and write there.
    let data: &'static [u8] = Box::leak(Box::new([BYTE; SIZE]));
    let back: &'static mut [u8] = Box::leak(Box::new([0; SIZE]));

    // ANCHOR: link
    // IO_LINK: the second begins when the first is done, and not at all if that has failed or fell short.
    let write = opcode::Write::new(fd, data.as_ptr(), SIZE as u32).build();
    let write = write.flags(Flags::IO_LINK).user_data(WRITE);
    let read = opcode::Read::new(fd, back.as_mut_ptr(), SIZE as u32).build();
    // SAFETY: `data` and `back` are never freed, and the descriptor is open until both are complete.
    unsafe {
        ring.submission()
            .push_multiple(&[write, read.user_data(READ)])
    }?;
    say!("writing and reading...")?;
    let (mut written, mut count) = (None, None);
    for (of, result) in complete(&mut ring, 2)? {
        match of {
            WRITE => written = Some(result.call("write")?),
            _ => count = Some(result),
        }
    }
    // ANCHOR_END: link
    let written = written.unwrap_or(0);
    say!("{written} bytes written")?;
    let mut count = match count {
        // It was called off: what it should have read was not written.
        Some(Err(Errno::ECANCELED)) | None => 0,
        Some(result) => result.call("read")?,
    };
    // A socket gives what has come, which may be less than was asked for.
    while count > 0 && count < written {
        let rest = &mut back[count..written];
        let read = opcode::Read::new(fd, rest.as_mut_ptr(), rest.len() as u32).build();
        // SAFETY: as above.
        unsafe { ring.submission().push(&read) }?;
        match complete(&mut ring, 1)?[0].1.call("read")? {
            0 => break,
            more => count += more,
        }
    }
    compare(&back[..count])?;
    sleep(args.stay);
    Ok(())
}

/// Hands over what is in the queue, and sleeps until `count` requests are complete: whose they are, and how they ended.
fn complete(ring: &mut IoUring, count: usize) -> anyhow::Result<Vec<(u64, Result<usize, Errno>)>> {
    let mut results = Vec::new();
    while results.len() < count {
        match ring.submit_and_wait(count - results.len()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => drop(outcome.call("io_uring_enter")?),
        }
        results.extend(ring.completion().map(|entry| {
            let result = entry.result();
            let result = usize::try_from(result).map_err(|_| Errno::from_raw(-result));
            (entry.user_data(), result)
        }));
    }
    Ok(results)
}
