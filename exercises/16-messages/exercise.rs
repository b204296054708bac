//! Exercise 16/messages, 10 minutes: a server that finds the messages in a stream.
//!
//! A message is what lesson 16 sends: the length of the body and a type, four bytes each in network order, and the body.
//! The server is to print each message once, however the stream was cut on its way. A message that ends too early is an error,
//! and is not printed.
//!
//! What goes wrong now: of two messages that come together it makes one, and of one that comes in pieces none.
//!
//! `16/three-splits`, `16/byte-by-byte` and `16/cut-off` show it. Man pages: read(2), tcp(7).
//! Your program is checked by `scripts/exercise 16/messages`, as often as you like.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive};
use common::text::printable;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;

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

/// Reads one message. `None` is the end of file between two messages, where it should be.
fn read_message(connection: &OwnedFd) -> anyhow::Result<Option<Vec<u8>>> {
    let mut message = [0; HEADER + LONGEST];
    let length = match receive(connection, &mut message).call("read")? {
        Received::Data(length) => length,
        Received::EndOfFile => return Ok(None),
        Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
    };
    ensure!(length >= HEADER, "{length} bytes are no header");
    let [a, b, c, d, ..] = message;
    let announced = u32::from_be_bytes([a, b, c, d]) as usize;
    ensure!(
        announced <= LONGEST,
        "a body of {announced} bytes is announced, the limit is {LONGEST}"
    );
    Ok(Some(message[HEADER..length].to_vec()))
}
