//! Children that are there before their clients.

use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use common::address::Listen;
use common::signal::ends_with;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getpid};

use crate::children::{Signals, reap};
use crate::fork01::accept;
use crate::serve::serve;

/// Answers what each client sends, rot13, from a fixed number of children, one client each at a time
///
/// All of them wait in accept on one listening socket. A child that dies is replaced.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// How many children
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    children: u16,
}

/// After a child has died, or could not be made: a child that dies as soon as it lives must not keep us busy.
const PAUSE: Duration = Duration::from_millis(100);

pub fn run(args: &Args) -> anyhow::Result<()> {
    let signals = Signals::new()?;
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    // ANCHOR: parent
    let (own, mut children) = (getpid(), Vec::new());
    loop {
        while children.len() < usize::from(args.children) {
            // SAFETY: this process has one thread, so the child may do anything.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => return serve_one_after_the_other(&listener, own),
                Ok(ForkResult::Parent { child }) => children.push(child),
                Err(error) => {
                    complain!("Error: fork: {}", std::io::Error::from(error));
                    break;
                }
            }
        }
        let missing = children.len() < usize::from(args.children);
        if stopped(&signals, &mut children, missing)? {
            return end(&children);
        }
    }
    // ANCHOR_END: parent
}

/// Waits until children have ended, or for a moment if some are missing; true when we are to end.
fn stopped(signals: &Signals, children: &mut Vec<Pid>, missing: bool) -> anyhow::Result<bool> {
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let timeout = match missing {
        true => PollTimeout::from(PAUSE.as_millis() as u8),
        false => PollTimeout::NONE,
    };
    match poll(&mut fds, timeout) {
        Err(Errno::EINTR) => {}
        ready => drop(ready.call("poll")?),
    }
    while let Some(signal) = signals.next()? {
        if signal != Signal::SIGCHLD {
            return Ok(true);
        }
        let ended = reap()?;
        children.retain(|child| !ended.contains(child));
        sleep(PAUSE);
    }
    Ok(false)
}

fn end(children: &[Pid]) -> anyhow::Result<()> {
    for &child in children {
        let _ = kill(child, Signal::SIGTERM); // it may have ended
    }
    for &child in children {
        let _ = waitpid(child, None);
    }
    Ok(())
}

// ANCHOR: child
/// A child keeps the listener and sleeps in accept(2), as all of them do. The kernel wakes one of them for
/// each client.
fn serve_one_after_the_other(listener: &OwnedFd, parent: Pid) -> anyhow::Result<()> {
    // The parent that is killed cannot end its children; so the kernel does.
    if !ends_with(parent, Signal::SIGTERM)? {
        return Ok(());
    }
    Signals::unblock()?;
    loop {
        let Some((connection, client)) = accept(listener)? else {
            continue;
        };
        say!("child {} serves {client}", getpid())?;
        if let Err(error) = serve(&connection) {
            complain!("Error: {:#}", anyhow::Error::new(error)); // this client's trouble, not the next one's
        }
    }
}
// ANCHOR_END: child
