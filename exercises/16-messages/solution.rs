//! The solution of exercise 16/messages.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::Parser;
use common::address::Listen;
use common::io::{Filled, readn};
use common::text::printable;
use common::{Call, complain, say, tcp};

/// The length of the body, and the type.
const HEADER: usize = 4 + 4;
/// The longest body.
const LONGEST: usize = 128;

/// Prints the messages of one client after the other
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        loop {
            match read_message(&connection) {
                Ok(Some(body)) => say!("received {} bytes: {}", body.len(), printable(&body))?,
                Ok(None) => break say!("client closed")?,
                // The end of this client, and of nobody else.
                Err(error) => break complain!("client {client}: {error:#}"),
            }
        }
    }
}

// ANCHOR: answer
/// Reads one message. `None` is the end of file between two messages, where it should be.
fn read_message(connection: &OwnedFd) -> anyhow::Result<Option<Vec<u8>>> {
    // What one read(2) brings is as much as has come, and says nothing about who wrote what in one go. So we ask for exactly
    // the header first, as often as it takes; only the header knows how much follows.
    let mut header = [0; HEADER];
    match readn(connection, &mut header).call("read")? {
        Filled::Full => {}
        Filled::EndOfFile => return Ok(None),
        Filled::CutOff(came) => bail!("cut off after {came} bytes of a header"),
    }
    let [a, b, c, d, ..] = header;
    let announced = u32::from_be_bytes([a, b, c, d]) as usize;
    // Before the memory is taken: the number is the peer's.
    ensure!(
        announced <= LONGEST,
        "a body of {announced} bytes is announced, the limit is {LONGEST}"
    );
    // And then for exactly the body, so that what follows stays in the kernel's buffer, for the next call.
    let mut body = vec![0; announced];
    match readn(connection, &mut body).call("read")? {
        Filled::Full => Ok(Some(body)),
        Filled::EndOfFile => bail!("cut off before a body of {announced} bytes"),
        Filled::CutOff(came) => bail!("cut off after {came} of {announced} bytes"),
    }
}
// ANCHOR_END: answer
