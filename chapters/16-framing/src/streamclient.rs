//! A client that sends each line as a message, cut into segments as it is told.

use std::io::stdin;
use std::os::fd::{AsRawFd, OwnedFd};

use common::address::Peer;
use common::io::{Received, receive};
use common::lines::LineBuffer;
use common::text::printable;
use common::{Call, CallError, complain, say, tcp};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, send, setsockopt, shutdown, sockopt};

use crate::message::{LONGEST, TEXT, header};

/// Sends each line that is typed as a message, with its newline, until Ctrl-D
///
/// Lines that come in one read, as from a pipe, are sent in one go.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Peer,
    /// Send so many bytes at a time, each time in a segment of its own; of several numbers the last one counts for the rest
    #[arg(long, value_name = "N[,N…]", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    chunk: Vec<u16>,
    /// Announce this length in place of the true one: a lie
    #[arg(long, value_name = "LENGTH")]
    announce: Option<u32>,
    /// Leave the numbers of the header in this machine's order: wrong on purpose
    #[arg(long)]
    host_order: bool,
    /// Leave the newline out, so that an empty line is an empty message
    #[arg(long)]
    no_newline: bool,
    /// Send what is typed as it is, without any header
    #[arg(long, conflicts_with_all = ["announce", "host_order", "no_newline"])]
    plain: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let connection = tcp::connect(&args.server)?;
    if !args.chunk.is_empty() {
        // Without Nagle's algorithm, chapter 13: a chunk does not wait until the one before it is acknowledged.
        setsockopt(&connection, sockopt::TcpNoDelay, &true).call("setsockopt TCP_NODELAY")?;
    }
    if args.plain {
        let mut bytes = [0; 4096];
        while let Received::Data(length) =
            receive(stdin(), &mut bytes).call("read standard input")?
        {
            send_in_chunks(&connection, &bytes[..length], &args.chunk)?;
        }
    } else {
        send_messages(&connection, args)?;
    }
    await_end(&connection)
}

// ANCHOR: send_messages
fn send_messages(connection: &OwnedFd, args: &Args) -> anyhow::Result<()> {
    let mut typed = LineBuffer::new();
    let mut ended = false;
    while !ended {
        ended = typed.fill(stdin()).call("read standard input")? == Received::EndOfFile;
        let mut bytes = Vec::new();
        while let Some(mut body) = typed.next_line() {
            if !ended && !args.no_newline {
                body.push(b'\n'); // a last line that the end of input ended has none
            }
            match u32::try_from(body.len()) {
                Ok(length @ ..=LONGEST) => {
                    bytes.extend(args.header(length));
                    bytes.extend(body);
                }
                _ => complain!("not sent: {} bytes, the limit is {LONGEST}", body.len()),
            }
        }
        send_in_chunks(connection, &bytes, &args.chunk)?;
    }
    Ok(())
}
// ANCHOR_END: send_messages

impl Args {
    fn header(&self, length: u32) -> [u8; 8] {
        let length = self.announce.unwrap_or(length);
        match self.host_order {
            false => header(length, TEXT),
            // Swapped twice is not swapped: the bytes as they lie in memory. Where that is network order, it changes nothing.
            true => header(length.to_be(), TEXT.to_be()),
        }
    }
}

// ANCHOR: send_in_chunks
fn send_in_chunks(connection: &OwnedFd, bytes: &[u8], chunks: &[u16]) -> Result<(), CallError> {
    let mut sizes = chunks.iter().map(|&size| size.into());
    let mut size = bytes.len();
    let mut rest = bytes;
    while !rest.is_empty() {
        size = sizes.next().unwrap_or(size).min(rest.len());
        let (chunk, after) = rest.split_at(size);
        send_chunk(connection, chunk, chunks.is_empty())?;
        rest = after;
    }
    Ok(())
}

/// Sends all of a chunk. TCP has no records, but Linux takes MSG_EOR on a stream for a wish:
/// what is sent next does not go into the same segment.
fn send_chunk(connection: &OwnedFd, mut chunk: &[u8], joined: bool) -> Result<(), CallError> {
    let mut flags = MsgFlags::MSG_NOSIGNAL;
    flags.set(MsgFlags::MSG_EOR, !joined);
    while !chunk.is_empty() {
        match send(connection.as_raw_fd(), chunk, flags) {
            Ok(length) => chunk = &chunk[length..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error).call("send"),
        }
    }
    Ok(())
}
// ANCHOR_END: send_in_chunks

/// Ends our direction and waits for the server to end its own. A reset says that it did not take everything.
fn await_end(connection: &OwnedFd) -> anyhow::Result<()> {
    match shutdown(connection.as_raw_fd(), Shutdown::Write) {
        Err(Errno::ENOTCONN) => {} // reset meanwhile: the read tells
        outcome => outcome.call("shutdown")?,
    }
    let mut unexpected = [0; 4096];
    loop {
        match receive(connection, &mut unexpected).call("read")? {
            Received::Data(length) => say!("{}", printable(&unexpected[..length]))?,
            Received::EndOfFile => return Ok(()),
            Received::Reset | Received::WouldBlock => Err(Errno::ECONNRESET).call("read")?,
        }
    }
}
