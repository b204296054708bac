//! A server that finds the messages in a stream by the bytes that end them: CR, LF or CR LF.

use std::os::fd::OwnedFd;

use anyhow::bail;
use common::address::Listen;
use common::io::{Received, receive};
use common::output::OutputError;
use common::text::printable;
use common::{Call, complain, say, tcp};
use nix::errno::Errno;

use crate::lines::Lines;

/// Prints the lines of one client after the other, whichever way they end
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// The longest line that is accepted, without its ending
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    limit: usize,
    /// Forget a CR as soon as it has ended its line, so that CR LF ends two: wrong on purpose
    #[arg(long)]
    forget: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let listener = tcp::listen(&args.listen.address())?;
    say!("listening on {}", tcp::local_address(&listener)?)?;
    loop {
        let (connection, client) = tcp::accept(&listener)?;
        let outcome = print_lines(&connection, args);
        drop(connection); // close(2): the client need not wait for our words
        match outcome {
            Ok(()) => say!("client closed")?,
            Err(error) if error.is::<OutputError>() => return Err(error),
            // The end of this client, and of nobody else.
            Err(error) => complain!("client {client}: {error:#}"),
        }
    }
}

fn print_lines(connection: &OwnedFd, args: &Args) -> anyhow::Result<()> {
    let mut lines = Lines::default();
    let mut buffer = [0; 4096];
    loop {
        // Many bytes with one call. What follows the end of a line is in our buffer, not lost.
        let length = match receive(connection, &mut buffer).call("read")? {
            Received::Data(length) => length,
            Received::EndOfFile => break,
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        };
        for &byte in &buffer[..length] {
            if let Some(line) = lines.push(byte) {
                say!("received {} bytes: {}", line.len(), printable(&line))?;
            }
            if lines.unfinished() > args.limit {
                bail!("a line of more than {} bytes", args.limit);
            }
            if args.forget {
                lines.forget();
            }
        }
    }
    match lines.unfinished() {
        0 => Ok(()),
        came => bail!("cut off after {came} bytes of a line"),
    }
}
