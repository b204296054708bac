//! A server that gives each client a process of its own.

use std::os::fd::{AsRawFd, OwnedFd};

use common::address::Listen;
use common::io::{Received, receive, send_all};
use common::text::printable;
use common::{Call, CallError, complain, say, tcp};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{self, Backlog, SockaddrStorage, setsockopt, sockopt};
use nix::unistd::{ForkResult, fork, getpid};

/// Sends back what each client sends; a process for each client
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// Leave SO_REUSEADDR off, to see why it is there
    #[arg(long)]
    no_reuseaddr: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    leave_no_zombies()?;
    let listener = listen(args)?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        // ANCHOR: fork
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                drop(listener); // the child does not accept
                say!("client {client} has process {}", getpid())?;
                // A return from main ends the child. It must not go back to accept.
                return echo(&connection);
            }
            // Without this the connection would stay open when the child has closed it.
            Ok(ForkResult::Parent { .. }) => drop(connection),
            // No process to be had: this client is out of luck (it reads an end of file), the others are not.
            Err(error) => complain!("fork for {client}: {}", std::io::Error::from(error)),
        }
        // ANCHOR_END: fork
    }
}

// ANCHOR: listen
fn listen(args: &Args) -> Result<OwnedFd, CallError> {
    let address = args.listen.address();
    let listener = tcp::stream_socket(&address)?;
    if !args.no_reuseaddr {
        // Before bind, where it counts: connections of an earlier run may still be there, chapter 15.
        setsockopt(&listener, sockopt::ReuseAddr, &true).call("setsockopt SO_REUSEADDR")?;
    }
    let to = SockaddrStorage::from(address);
    socket::bind(listener.as_raw_fd(), &to).call(format_args!("bind {address}"))?;
    socket::listen(&listener, Backlog::MAXCONN).call(format_args!("listen {address}"))?;
    Ok(listener)
}
// ANCHOR_END: listen

// ANCHOR: zombies
/// A parent that ignores SIGCHLD has said that it will not ask how its children ended: they go without becoming
/// zombies, wait(2). Chapters 25 and 36 ask.
fn leave_no_zombies() -> Result<(), CallError> {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no code of ours runs for an ignored signal.
    unsafe { sigaction(Signal::SIGCHLD, &ignore) }.call("sigaction SIGCHLD")?;
    Ok(())
}
// ANCHOR_END: zombies

fn echo(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut data = [0; 512];
    loop {
        match receive(connection, &mut data).call("read")? {
            Received::Data(length) => {
                say!("received {length} bytes: {}", printable(&data[..length]))?;
                send_all(connection, &data[..length]).call("send")?;
            }
            Received::EndOfFile => break,
            Received::Reset | Received::WouldBlock => {
                say!("client reset the connection")?;
                return Ok(());
            }
        }
    }
    say!("client closed")?;
    Ok(())
}
