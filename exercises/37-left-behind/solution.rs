//! The solution of exercise 37/left-behind.

use std::io::stdin;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Peer;
use common::io::{Received, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

/// Calls a p2p-server of lesson 37, and chats
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: Peer,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

/// The child: sends each line that is typed. The end of the input ends our direction, and this process.
fn keyboard_to_connection(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut typed = LineBuffer::new();
    loop {
        let ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        while let Some(mut line) = typed.next_line() {
            line.push(b'\n');
            send_all(connection, &line).call("send")?;
        }
        if ended {
            return Ok(shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?);
        }
    }
}

/// The parent: prints each line that comes, until the other side has ended.
fn connection_to_terminal(connection: &OwnedFd) -> anyhow::Result<()> {
    let mut heard = LineBuffer::new();
    loop {
        let received = heard.fill(connection).call("read")?;
        while let Some(line) = heard.next_line() {
            say!("{}", printable(&line))?;
        }
        match received {
            Received::Data(_) => {}
            Received::EndOfFile => return Ok(say!("the other side has left")?),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    say!("connected to {}", tcp::peer_address(&connection)?)?;
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.call("fork")? {
        ForkResult::Child => keyboard_to_connection(&connection),
        ForkResult::Parent { child } => {
            say!("process {child} waits for the keyboard")?;
            // ANCHOR: answer
            let outcome = connection_to_terminal(&connection);
            // The child sits in a read from the keyboard that may never return, and holds the connection open with its copy. To
            // wait for it alone would be to sit there as well. It may have ended by itself: it is not waited for yet, so the
            // number is still its own.
            kill(child, Signal::SIGTERM).call("kill")?;
            waitpid(child, None).call("waitpid")?;
            outcome
            // ANCHOR_END: answer
        }
    }
}
