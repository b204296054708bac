//! Exercise 20/hears-both, 10 minutes: a client that hears the keyboard and the server.
//!
//! It sends each line that is typed, and prints what the server sends, whichever comes first and in any order. At the end of its
//! input it ends its direction, waits for what still comes, and ends when the server does.
//!
//! What goes wrong now: the client prints no answer, and does not see that the server has gone.
//!
//! `20/two-sources` and `20/sets-are-overwritten` show it. Man pages: select(2), shutdown(2).
//! Your program is checked by `scripts/exercise 20/hears-both`, as often as you like.

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use clap::Parser;
use common::address::Peer;
use common::io::{Received, receive, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::sys::select::{FdSet, select};
use nix::sys::socket::{Shutdown, shutdown};

/// Sends each line that is typed, and prints what the server sends
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: Peer,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

/// Prints what the server has sent. False once it has ended.
fn print_answer(connection: &OwnedFd) -> anyhow::Result<bool> {
    let mut answer = [0; 4096];
    match receive(connection, &mut answer).call("read")? {
        Received::Data(length) => say!("{}", printable(&answer[..length]))?,
        Received::EndOfFile => {
            say!("server terminated")?;
            return Ok(false);
        }
        Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
    }
    Ok(true)
}

/// Sends the lines that were typed. False at the end of the input.
fn send_lines(connection: &OwnedFd, typed: &mut LineBuffer) -> anyhow::Result<bool> {
    let came = typed.fill(stdin()).call("read standard input")?;
    while let Some(line) = typed.next_line() {
        send_all(connection, &line).call("send")?;
    }
    Ok(came != Received::EndOfFile)
}

fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    let stdin = stdin();
    let mut typed = LineBuffer::new();

    let mut set = FdSet::new();
    set.insert(connection.as_fd());
    set.insert(stdin.as_fd());
    loop {
        match select(None, &mut set, None, None, None) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("select")?,
        };
        if set.contains(connection.as_fd()) && !print_answer(&connection)? {
            return Ok(());
        }
        if set.contains(stdin.as_fd()) && !send_lines(&connection, &mut typed)? {
            shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;
            set.remove(stdin.as_fd()); // at its end it is readable for ever
        }
    }
}
