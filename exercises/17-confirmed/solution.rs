//! The solution of exercise 17/confirmed.

use std::io::stdin;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use common::address::Peer;
use common::io::{Filled, Received, readn, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

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

// ANCHOR: answer
/// Orders a line. It is done when this returns without an error.
fn order(connection: &OwnedFd, line: &[u8]) -> anyhow::Result<()> {
    send_all(connection, &[line, b"\n"].concat()).call("send")?;
    // That was our own kernel's word: it has the bytes. Even an acknowledgement is only that of the other kernel, which may have
    // nobody to give them to. Only the server itself can say what it has done.
    let patience = TimeVal::seconds(1);
    setsockopt(connection, sockopt::ReceiveTimeout, &patience).call("setsockopt SO_RCVTIMEO")?;
    // Three bytes may come in three pieces, and end of file is no answer. Each piece may take its time anew; there are few.
    let mut answer = [0; 3];
    match readn(connection, &mut answer).call("read")? {
        Filled::Full => ensure!(&answer == b"ok\n", "the server says {}", printable(&answer)),
        Filled::CutOff(_) | Filled::EndOfFile => bail!("the server has ended the connection"),
    }
    Ok(())
}
// ANCHOR_END: answer
