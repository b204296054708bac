//! The solution of exercise 36/zombies.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, send_all};
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Sends back what a client sends, from a child process for each client
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    handle_sigchld()?;
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                drop(listener); // or the port would stay busy when the parent has gone
                return echo(&connection);
            }
            Ok(ForkResult::Parent { child }) => say!("child {child} serves {client}")?,
            Err(error) => complain!("fork: {error}"), // this client goes, the others stay
        }
    }
}

fn echo(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut data = [0; 4096];
    loop {
        match receive(connection, &mut data).call("read")? {
            Received::Data(length) => send_all(connection, &data[..length]).call("send")?,
            Received::EndOfFile => return Ok(()),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
}

/// Has the handler called when a child has ended. SA_RESTART: accept goes on afterwards as if nothing had happened.
fn handle_sigchld() -> Result<(), CallError> {
    let flags = SaFlags::SA_RESTART | SaFlags::SA_NOCLDSTOP;
    let handler = SigHandler::Handler(on_sigchld);
    let action = SigAction::new(handler, flags, SigSet::empty());
    // SAFETY: the handler only calls wait4(2), which signal-safety(7) allows, and puts errno back.
    unsafe { sigaction(Signal::SIGCHLD, &action) }.call("sigaction SIGCHLD")?;
    Ok(())
}

// ANCHOR: answer
/// A child has ended, or several: asks how, so that nothing of them is left.
extern "C" fn on_sigchld(_: i32) {
    let errno = Errno::last(); // the program may be about to look at the one of its own call
    // A signal that comes while it is pending already is not counted: one SIGCHLD stands for any number of children. So ask
    // until nobody is left to ask for. WNOHANG, because others may still work: to wait for them here would stop the server.
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
    errno.set();
}
// ANCHOR_END: answer
