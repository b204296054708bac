//! Three ways to get a thread out of poll(2): a pipe, a pair of sockets, an eventfd.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;

use common::{Call, CallError, say};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::waker::{ALL, Kind, Waker, write_whole};

/// Wakes a thread by a pipe, a pair of sockets and an eventfd, and counts what that takes
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to wake with; all of them without this
    #[arg(long, value_name = "KIND")]
    with: Option<Kind>,
    /// How often the thread is woken while it does something else
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    wake_ups: u32,
    /// How many bytes a read takes from a pipe or a pair; the course takes one
    #[arg(long, value_name = "BYTES", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    take: u16,
    /// Wake each until no more wake-ups fit
    #[arg(long)]
    until_full: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    for kind in ALL {
        if args.with.is_none_or(|with| with as u8 == kind as u8) {
            show(kind, args)?;
        }
    }
    Ok(())
}

fn show(kind: Kind, args: &Args) -> anyhow::Result<()> {
    let name = format!("{kind:?}").to_lowercase();
    let waker = Waker::new(kind)?;
    match &waker {
        Waker::Two(look, wake) => {
            let (look, wake) = (look.as_raw_fd(), wake.as_raw_fd());
            say!("{name}: two descriptors, {look} and {wake}")?;
        }
        Waker::One(event) => say!("{name}: one descriptor, {}", event.as_raw_fd())?,
    }
    wakes(&waker)?;
    say!("{name}: a thread was woken out of poll")?;
    waker.clear(args.take.into())?;

    let taken = (0..args.wake_ups).filter(|_| waker.wake().is_ok()).count();
    let refused = args.wake_ups as usize - taken;
    say!(
        "{name}: woken another {} times: {taken} writes taken, {refused} refused",
        args.wake_ups
    )?;
    say!(
        "{name}: reads that took them: {}",
        waker.clear(args.take.into())?
    )?;
    if args.until_full {
        let (count, full) = (fill(&waker)?, io::Error::from(Errno::EAGAIN));
        say!("{name}: full after {count} wake-ups: {full}")?;
    }
    Ok(())
}

/// A thread waits without a limit of time, and this one wakes it.
fn wakes(waker: &Waker) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut fds = [PollFd::new(waker.look(), PollFlags::POLLIN)];
            loop {
                match poll(&mut fds, PollTimeout::NONE) {
                    Err(Errno::EINTR) => {}
                    outcome => return outcome,
                }
            }
        });
        waker.wake().call("write")?;
        let woken = waits
            .join()
            .map_err(|_| io::Error::other("the thread has panicked"))?;
        woken.call("poll")?;
        Ok(())
    })
}

/// Wakes until no more wake-ups fit. An eventfd is brought near its end in one step: it has room for 2⁶⁴ − 2.
fn fill(waker: &Waker) -> Result<u64, CallError> {
    let mut count = 0;
    if let Waker::One(event) = waker {
        count = u64::MAX - 2;
        write_whole(event.as_fd(), &count.to_ne_bytes()).call("write")?;
    }
    loop {
        match waker.wake() {
            Ok(()) => count += 1,
            Err(Errno::EAGAIN) => return Ok(count),
            Err(error) => return Err(error).call("write"),
        }
    }
}
