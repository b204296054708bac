//! A server with a child process for each client.

use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use common::address::Listen;
use common::io::send_all;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, fork};

use crate::children::{Reap, Signals, handle_sigchld, reap};
use crate::serve::serve;

/// Answers what each client sends, rot13, from a child process for each client
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// What to do about children that have ended
    #[arg(long, default_value = "waitpid")]
    reap: Reap,
    /// Do not close the parent's descriptor of a connection: wrong on purpose
    #[arg(long)]
    keep_connections: bool,
}

/// What a client hears for whom there is no process.
const BUSY: &[u8] = b"no process to be had, try again later\n";

pub fn run(args: &Args) -> anyhow::Result<()> {
    handle_sigchld(args.reap)?;
    let signals = match args.reap {
        Reap::Signalfd => Some(Signals::new()?),
        _ => None,
    };
    let listener = tcp::listen(&args.listen.address())?;
    if signals.is_some() {
        accept_without_waiting(&listener)?;
    }
    say!("listening on {}", tcp::local_address(&listener)?)?;
    let mut kept = Vec::new();
    loop {
        if let Some(signals) = &signals
            && stopped(signals, &listener)?
        {
            return Ok(());
        }
        // ANCHOR: fork
        let (connection, client) = match tcp::accept(&listener) {
            Err(error) if passes(&error) => continue,
            accepted => accepted?,
        };
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                // An open listener here would keep the port busy after the parent has gone.
                drop(listener);
                if signals.is_some() {
                    Signals::unblock()?;
                }
                // The return from main ends the child: it must not come back to accept.
                return Ok(serve(&connection)?);
            }
            Ok(ForkResult::Parent { child }) => say!("child {child} serves {client}")?,
            // fork fails by returning -1, and that is neither the child nor the parent of one.
            Err(error) => {
                complain!("Error: fork for {client}: {}", std::io::Error::from(error));
                let _ = send_all(&connection, BUSY); // it may have gone
            }
        }
        // Ours has to be closed, or the child's close would end nothing.
        match args.keep_connections {
            true => kept.push(connection),
            false => drop(connection),
        }
        // ANCHOR_END: fork
    }
}

/// Whether accept(2) failed for a reason that passes: a client that was not there any more, or no descriptor left.
pub fn passes(error: &CallError) -> bool {
    match error.errno() {
        Some(Errno::EAGAIN | Errno::ECONNABORTED | Errno::EPROTO) => true,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM) => {
            complain!("Error: {error}: no descriptor or memory is left");
            sleep(Duration::from_millis(100)); // it would fail again at once
            true
        }
        _ => false,
    }
}

/// The client for which poll(2) woke us may have gone, and a blocking accept would then wait for the next one.
fn accept_without_waiting(listener: &OwnedFd) -> Result<(), CallError> {
    let flags = fcntl(listener, FcntlArg::F_GETFL).call("fcntl F_GETFL")?;
    let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
    fcntl(listener, FcntlArg::F_SETFL(flags)).call("fcntl F_SETFL")?;
    Ok(())
}

// ANCHOR: stopped
/// Waits for a client. Signals that come meanwhile are events among others; true when one of them is Ctrl-C or SIGTERM.
fn stopped(signals: &Signals, listener: &OwnedFd) -> anyhow::Result<bool> {
    loop {
        let mut fds =
            [signals.as_fd(), listener.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            ready => ready.call("poll")?,
        };
        let called = fds[1].any() == Some(true);
        while let Some(signal) = signals.next()? {
            match signal {
                Signal::SIGCHLD => drop(reap()?),
                _ => return Ok(true),
            }
        }
        if called {
            return Ok(false);
        }
    }
}
// ANCHOR_END: stopped
