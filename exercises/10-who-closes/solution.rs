//! The solution of exercise 10/who-closes.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use clap::Parser;
use common::address::Listen;
use common::io::{Received, receive, send_all};
use common::{Call, complain, say, tcp};
use nix::errno::Errno;

/// The size of the text, in bytes.
const TEXT: usize = 256 * 1024;

/// Sends a long text to one client after the other
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    listen: Listen,
}

fn main() -> ExitCode {
    common::program::run(|| run(&Args::parse()))
}

fn run(args: &Args) -> anyhow::Result<()> {
    let text: Vec<u8> = (b'a'..=b'z').cycle().take(TEXT).collect();
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        match serve(connection, &text) {
            Ok(()) => say!("served {client}")?,
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {client}: {error:#}"),
        }
    }
}

// ANCHOR: answer
/// Sends the text, and ends the connection.
fn serve(connection: OwnedFd, text: &[u8]) -> anyhow::Result<()> {
    send_all(&connection, text).call("send")?;
    // The kernel has the text, and the client need not have it. A close with SO_LINGER 0 throws away what is still here, and a
    // plain close keeps the text but makes this end the first: the one that waits. So let the client be the first. Its end of
    // file says that it has everything.
    let mut more = [0; 4096];
    loop {
        match receive(&connection, &mut more).call("read")? {
            Received::Data(_) => {} // nobody asked for it, but unread it would turn our FIN into a reset
            Received::EndOfFile => return Ok(()),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
}
// ANCHOR_END: answer
