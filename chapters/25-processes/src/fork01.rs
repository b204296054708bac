//! A server with a child process for each client.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use common::address::Listen;
use common::io::{send_all, set_nonblocking};
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
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
        // The client for which poll(2) woke us may have gone, and a blocking accept would wait for the next one.
        set_nonblocking(&listener)?;
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
        let Some((connection, client)) = accept(&listener)? else {
            continue;
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

/// The next client. None if it has gone, and after a pause if there is no descriptor for it.
pub fn accept(listener: &OwnedFd) -> Result<Option<(OwnedFd, SocketAddr)>, CallError> {
    match tcp::accept_ready(listener) {
        Err(error) if error.is_shortage() => {
            complain!("Error: {:#}", anyhow::Error::new(error));
            sleep(Duration::from_millis(100)); // it would fail again at once
            Ok(None)
        }
        accepted => accepted,
    }
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
