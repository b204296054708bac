//! The solution of exercise 13/two-parts.

use std::io::stdin;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use common::address::Peer;
use common::io::{Filled, Received, readn, send_all};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, say, tcp};

/// The longest line.
const LONGEST: usize = 128;

/// Asks a server about each line that is typed
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
            ensure!(line.len() <= LONGEST, "a line of {} bytes", line.len());
            send_request(&connection, &line)?;
            say!("answer: {}", printable(&receive_answer(&connection)?))?;
        }
    }
    Ok(())
}

/// Waits for the answer to a request.
fn receive_answer(connection: &OwnedFd) -> anyhow::Result<Vec<u8>> {
    let mut length = [0; 4];
    let came = readn(connection, &mut length).call("read")?;
    ensure!(came == Filled::Full, "the server gives no answer");
    let length = u32::from_be_bytes(length) as usize;
    ensure!(length <= LONGEST, "an answer of {length} bytes");
    let mut answer = vec![0; length];
    let came = readn(connection, &mut answer).call("read")?;
    ensure!(came == Filled::Full, "the answer is cut off");
    Ok(answer)
}

// ANCHOR: answer
/// Sends a request.
fn send_request(connection: &OwnedFd, line: &[u8]) -> anyhow::Result<()> {
    let length = u32::try_from(line.len())?.to_be_bytes();
    // One call: when the kernel decides what goes into a segment, the whole request is there. Of two parts the second waits for
    // the ACK of the first, and the server's kernel keeps that ACK for an answer to carry, which waits for the second part.
    // TCP_NODELAY would end the wait, but each request would still be two segments. writev(2) would spare the copy; for
    // larger parts that is worth the loop that its short counts need.
    send_all(connection, &[&length, line].concat()).call("send")?;
    Ok(())
}
// ANCHOR_END: answer
