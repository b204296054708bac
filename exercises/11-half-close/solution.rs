//! The solution of exercise 11/half-close.

use std::io::stdin;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use clap::Parser;
use common::address::Peer;
use common::io::{Received, receive, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

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

    // ANCHOR: answer
    // Everything is said, and not everything is heard. Closing would end both directions, and the kernel would answer what
    // still comes with a reset. So only our own direction ends: this is the FIN.
    shutdown(connection.as_raw_fd(), Shutdown::Write).call("shutdown")?;

    // The server's FIN says that there are no more answers. Who counted them, or waited for a while, would have to know how
    // many there are, or how long the server may take.
    let mut answer = [0; 4096];
    loop {
        match receive(&connection, &mut answer).call("read")? {
            Received::Data(length) => say!("{}", printable(&answer[..length]))?,
            Received::EndOfFile => break,
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
    // ANCHOR_END: answer
    say!("the connection is ended")?;
    Ok(())
}
