//! Exercise 11/half-close, 10 minutes: a client that hears the answer to its last words.
//!
//! It sends each line that is typed, and ends the connection when its input ends. The server takes a second for an answer.
//! Every answer is to be printed, also those that come after the last line; then the server ends, and so does the client.
//!
//! What goes wrong now: the client prints no answer at all, and the server ends with an error. Find out why, and mend it.
//!
//! `11/close` and `11/shutdown` show it. Man pages: close(2), shutdown(2), read(2).
//! Your program is checked by `scripts/exercise 11/half-close`, as often as you like.

use std::io::stdin;
use std::process::ExitCode;

use clap::Parser;
use common::address::Peer;
use common::io::{Received, send_all};
use common::lines::LineBuffer;
use common::{Call, say, tcp};

/// Sends each line that is typed, and prints the answers
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
    let mut ended = false;
    while !ended {
        ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        while let Some(line) = typed.next_line() {
            send_all(&connection, &line).call("send")?;
        }
    }

    // Everything is said.
    drop(connection);
    say!("the connection is ended")?;
    Ok(())
}
