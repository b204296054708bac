//! The solution of exercise 25/second-copy.

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
        // ANCHOR: answer
        let connection = match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Err(Errno::EINTR | Errno::ECONNABORTED) => continue,
            outcome => outcome.call("accept")?,
        };
        // Before fork, so that each process owns its copy, and closes it: the child when it ends, the parent at the end of this
        // turn, also when there is no child. A shutdown in the child would end the connection, and leave our copy open.
        // SAFETY: the descriptor is the one that accept4 has just made, and nobody else has it.
        let connection = unsafe { OwnedFd::from_raw_fd(connection) };
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                drop(listener); // or the port would stay busy when the parent has gone
                return Ok(answer(&connection)?);
            }
            Ok(ForkResult::Parent { child }) => say!("child {child} serves a client")?,
            Err(error) => complain!("fork: {error}"), // this client goes, the others stay
        }
        // ANCHOR_END: answer
    }
}
