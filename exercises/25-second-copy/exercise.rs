//! Exercise 25/second-copy, 10 minutes: a server whose connections end when its children do.
//!
//! Each client has a child process. It answers one message, each letter moved by 13 places, and ends; then the client reads the
//! end of the connection.
//!
//! What goes wrong now: the client gets its answer, and never the end. The server runs out of descriptors in the long run.
//!
//! `25/leaked-fd` shows it. Man pages: fork(2), accept(2), close(2).
//! Your program is checked by `scripts/exercise 25/second-copy`, as often as you like.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, send_all};
use common::text::rot13;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{SockFlag, accept4};
use nix::unistd::{ForkResult, fork};

/// Answers one message of each client, from a child process
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

/// What a child does.
fn answer(connection: &OwnedFd) -> Result<(), CallError> {
    let mut message = [0; 4096];
    if let Received::Data(length) = receive(connection, &mut message).call("read")? {
        let text = &mut message[..length];
        text.iter_mut().for_each(|byte| *byte = rot13(*byte));
        send_all(connection, text).call("send")?;
    }
    Ok(())
}

fn run(args: &Args) -> anyhow::Result<()> {
    // SAFETY: no code of ours runs for an ignored signal. The children leave no zombies behind, wait(2).
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.call("signal SIGCHLD")?;
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let connection = match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
            outcome => outcome.call("accept")?,
        };
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                drop(listener); // or the port would stay busy when the parent has gone
                // SAFETY: the descriptor is the one that accept4 has just made, and nobody else closes it here.
                let connection = unsafe { OwnedFd::from_raw_fd(connection) };
                return Ok(answer(&connection)?);
            }
            Ok(ForkResult::Parent { child }) => say!("child {child} serves a client")?,
            Err(error) => complain!("fork: {error}"), // this client goes, the others stay
        }
    }
}
