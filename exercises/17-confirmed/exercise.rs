//! Exercise 17/confirmed, 15 minutes: a client that says "done" of what was done.
//!
//! It sends each line that is typed as an order. The server carries it out and then confirms it with the line `ok`. The client says
//! `done` when the confirmation has come. When the connection ends before, in whatever way, or when nothing has come for a second,
//! nobody knows what has become of the order: the client says so, and ends with an error.
//!
//! What goes wrong now: orders are "done" that the server has never seen.
//!
//! `17/write-then-read`, `17/acked-but-not-read` and `17/network-cut-idle` show it. Man pages: send(2), recv(2), socket(7).
//! Your program is checked by `scripts/exercise 17/confirmed`, as often as you like.

use std::io::stdin;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use common::address::Peer;
use common::io::{Received, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};

/// Orders each line that is typed
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    server: Peer,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    let mut typed = LineBuffer::new();
    while typed.fill(stdin()).call("read standard input")? != Received::EndOfFile {
        while let Some(line) = typed.next_line() {
            order(&connection, &line)
                .with_context(|| format!("unknown whether done: {}", printable(&line)))?;
            say!("done: {}", printable(&line))?;
        }
    }
    Ok(())
}

/// Orders a line. It is done when this returns without an error.
fn order(connection: &OwnedFd, line: &[u8]) -> anyhow::Result<()> {
    send_all(connection, &[line, b"\n"].concat()).call("send")?;
    Ok(())
}
