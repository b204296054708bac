//! The solution of exercise 20/hears-both.

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

    // ANCHOR: answer
    // What we want to hear of. Made before the loop, and changed only when we do not want to hear of something any more.
    let mut wanted = FdSet::new();
    wanted.insert(connection.as_fd());
    wanted.insert(stdin.as_fd());
    loop {
        // The kernel writes its answer over the question: what is not ready now is taken out. So it gets a copy, each time.
        let mut ready = wanted;
        match select(None, &mut ready, None, None, None) {
            Err(Errno::EINTR) => continue,
            outcome => outcome.call("select")?,
        };
        if ready.contains(connection.as_fd()) && !print_answer(&connection)? {
            return Ok(());
        }
        if ready.contains(stdin.as_fd()) && !send_lines(&connection, &mut typed)? {
            shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;
            // At its end it is readable for ever. Taken out of the copy only, it would come back with the next one, and the loop
            // would spin.
            wanted.remove(stdin.as_fd());
        }
    }
    // ANCHOR_END: answer
}
