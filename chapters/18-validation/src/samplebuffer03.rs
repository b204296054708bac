//! A server that reads lines into a buffer of ten bytes, with one of three versions of the same function.

use std::os::fd::OwnedFd;

use common::address::Listen;
use common::output::OutputError;
use common::text::printable;
use common::{complain, say, tcp};

use crate::line_reader::{LineReader, Version};
use crate::room::{LARGEST, Room};

/// Prints the lines of one client after the other, each read into a buffer of a fixed size
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    listen: Listen,
    /// 1 reads byte by byte; 2 reads up to 512 bytes and forgets the 0 behind the line; 3 leaves room for it
    #[arg(long, default_value = "3", value_parser = version)]
    version: Version,
    /// The size of the buffer for a line
    #[arg(long, value_name = "BYTES", default_value = "10", value_parser = size)]
    size: usize,
    /// Put a page behind the buffer that nobody may touch, and check nothing, as in C: a byte too far ends the program
    #[arg(long)]
    guard: bool,
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
    let mut line = Room::new(args.size, args.guard)?;
    let mut reader = LineReader::new(connection, args.version);
    while let Some(length) = reader.read_line(&mut line)? {
        let text = printable(&line.bytes()[..length]);
        say!("received {length} bytes: {text}")?;
    }
    Ok(())
}

fn version(text: &str) -> Result<Version, &'static str> {
    match text {
        "1" => Ok(Version::One),
        "2" => Ok(Version::Two),
        "3" => Ok(Version::Three),
        _ => Err("there are 1, 2 and 3"),
    }
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size @ 1..=LARGEST) => Ok(size),
        _ => Err(format!("not a number from 1 to {LARGEST}")),
    }
}
